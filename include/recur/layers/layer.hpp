// SPDX-License-Identifier: MIT
//
// One layer, its one or two directions, over all time steps: the scan of a cell over time, and
// backpropagation through time. Works on time-major buffers; everything that users see (shapes,
// batch_first, initial states, several layers) is in stack.hpp.
//
//   forward, for each chunk of steps:   sums = W_ih x + b    one product for all steps of the chunk
//                                       for t: sums += W_hh h[t-1]; equations
//   backward, for each chunk:           for t, backwards: equations → d_slots; dh = d_slots W_hh
//                                       dx = d_slots W_ih; dW += d_slotsᵀ x, … one product each
//
// A chunk (chunks.hpp) is a number of steps whose slots stay in the second-level cache. The threads
// share the sequences of the batch (and directions), which needs no barrier: each multiplies the
// inputs of its own and scans them, while their slots are in its cache, forward from the first step
// to the last. Of too few sequences for that, they share the rows of the products; of a few
// sequences and many units, they share the units, and meet at every step. The gradients by the
// weights are always shared by their rows.
#pragma once

#include <algorithm>  // std::clamp, std::copy_n, std::min, std::max
#include <span>
#include <vector>

#include "recur/cells/step.hpp"
#include "recur/layers/chunks.hpp"
#include "recur/layers/layer_buffers.hpp"
#include "recur/layers/tape.hpp"

namespace recur::inline RECUR_ABI::layers {

template <math::Equations E, class Scalar>
class Layer {
 public:
  using Weights = cells::Weights<E, Scalar>;

  /// `weights`: one for each direction; must outlive the Layer.
  Layer(std::span<const Weights> weights, const Schedule& schedule)
      : weights_(weights), schedule_(schedule), directions_(static_cast<Index>(weights.size())) {
    const CellSizes& n = weights[0].sizes();
    constexpr Index equations =
        25 * math::slot_count<E>;  // of a unit, in multiply-adds of equal time
    threads_ = kernels::useful_threads(
        static_cast<double>(n.hidden * (n.gates * (n.input + n.output) + equations)) *
        static_cast<double>(schedule.steps * schedule.batch));
    // Too few sequences to share: the threads meet at every step, if there is enough in one, and
    // the units can be shared evenly. Where the weights stay in every thread's second-level cache,
    // four sequences a thread are enough.
    constexpr double worth_meeting = 1.5e5;  // multiply-adds: some 3 µs
    constexpr Index in_cache = 512 * 1024 / static_cast<Index>(sizeof(Scalar));
    const Index products = n.gates * n.hidden * n.output;
    const Index enough =
        4 * std::min(products <= in_cache ? threads_ : kernels::tile_rows, kernels::tile_rows);
    const Index share = kernels::largest_range(threads_, n.hidden, cells::unit_grain<E, Scalar>);
    const bool even = 4 * share * threads_ <= 5 * n.hidden;
    if (directions_ == 1 && schedule.batch < enough && even &&
        static_cast<double>(products * schedule.batch) >= worth_meeting) {
      step_threads_ = threads_;
    } else {
      // Two rows are multiplied about as fast as weights come from a second-level cache; from
      // farther away it takes a whole tile.
      const Index rows = products <= in_cache ? 2 : Index(kernels::tile_rows);
      parts_ =
          std::clamp<Index>(schedule.batch / rows, 1, std::max(threads_ / directions_, Index(1)));
      products_in_tasks_ = directions_ * parts_ > 1;
    }
  }

  /// All steps, `chunk` at a time. x: (T, B, I), row stride x_row. Overwrites h, c and the slots:
  /// with record = true by what backward needs, where it reads them. output (T, B, D·output): a
  /// copy of h, made while that is in the cache, of sequences of equal length; or absent.
  void forward(Index chunk, const Scalar* x, Index x_row, bool record,
               std::span<const DirectionBuffers<Scalar>> buffers,
               Tensor3View<Scalar> output) const {
    const Index T = schedule_.steps;
    const auto scan = [&](Index d, Index first, Index last, Index from, Index to) {
      scan_forward(d, first, last, from, to, record, buffers);
      if (!output.absent()) {
        give_output(d, first, last, from, to, buffers, output);
      }
    };
    if (products_in_tasks_) {  // nobody waits for others before the last step
      for_each_task(0, T, [&](Index d, Index from, Index to) {
        for (Index first = 0; first < T; first += chunk) {
          const Index last = std::min(first + chunk, T);
          const Index begin = steps_of(schedule_, d, first, last).first;
          const Index end = begin + last - first;
          schedule_.for_each_block_of_part(begin, end, from, to, [&](const Schedule::Block& block) {
            multiply_inputs(d, begin, block, x, x_row, buffers);
          });
          scan(d, first, last, from, to);
        }
      });
      return;
    }
    for (Index first = 0; first < T; first += chunk) {
      const Index last = std::min(first + chunk, T);
      for (Index d = 0; d < directions_; ++d) {
        const CellSizes& n = weights_[static_cast<std::size_t>(d)].sizes();
        const Index begin = steps_of(schedule_, d, first, last).first;
        const Index end = begin + last - first;
        const Index rows = schedule_.running_rows(begin, end);
        const bool alone = step_threads_ == 1 && directions_ * parts_ == 1;  // in the scan
        const int threads = kernels::useful_threads(
            static_cast<double>(n.gates * n.hidden * n.input * rows), threads_, alone);
        kernels::parallel_ranges(threads, rows, kernels::tile_rows, [&](Index from, Index to) {
          schedule_.for_each_block(begin, end, from, to, [&](Index row, Index count) {
            multiply_inputs(d, begin, {.row = row, .rows = count}, x, x_row, buffers);
          });
        });
      }
      for_each_task(first, last,
                    [&](Index d, Index from, Index to) { scan(d, first, last, from, to); });
    }
  }

  /// One chunk backwards; those behind it are done. layer: whose gradients by the states are rows
  /// layer · D, … of work.d_h and work.d_c: in: by the state behind the chunk; out: by the one
  /// before it. x: as in forward. recorded: what forward left. gradients: one for each direction,
  /// overwritten (Start::zero) or added to; left alone, if no step has run.
  void backward(const Chunk& chunk, Index layer, const Scalar* x, Index x_row,
                std::span<const DirectionBuffers<const Scalar>> recorded,
                const GradientFlow<Scalar>& flow, Workspace<Scalar>& work, kernels::Start start,
                std::span<CellParameters<Scalar>* const> gradients) const {
    const CellSizes& n = weights_[0].sizes();
    // Of two directions d_x is a sum, which the tasks would have to take turns for.
    const bool d_x_in_tasks = products_in_tasks_ && directions_ == 1 && flow.d_x != nullptr;
    const bool d_x_apart = directions_ > 1 && flow.d_x != nullptr;
    reserve(work.slots, chunk.rows, weights_[0].slots());
    reserve(work.d_h_steps, n.projected() ? chunk.rows : 0, n.output);
    work.d_unprojected.resize(directions_, n.projected() ? schedule_.batch : 0, n.hidden);
    work.d_x_chunk.resize(1, d_x_apart ? chunk.rows : 0, n.input);
    scan_backward(chunk, layer, recorded, flow, d_x_in_tasks, work);
    for (Index d = 0; d < directions_; ++d) {
      const Index done = steps_of(schedule_, d, chunk.last, schedule_.steps).first;
      const bool begun = chunk.last < schedule_.steps && schedule_.running(done) > 0;
      products_backward(d, chunk, x, x_row, recorded, flow, d_x_in_tasks, work,
                        begun ? kernels::Start::accumulate : start,
                        *gradients[static_cast<std::size_t>(d)]);
    }
  }

 private:
  // Slot of the state before step t.
  static Index previous_slot(Index d, Index t) { return d == 0 ? t : t + 2; }

  void reserve(std::vector<Tensor3<Scalar>>& tensors, Index rows, Index width) const {
    tensors.resize(static_cast<std::size_t>(directions_));
    for (auto& tensor : tensors) {
      tensor.resize(1, rows, width);
    }
  }

  // f(direction, first row, last row): directions and parts of the batch, which need nothing of
  // each other, shared among the threads, for the steps that a direction takes as its [first,
  // last).
  template <class F>
  void for_each_task(Index first, Index last, F&& f) const {
    kernels::parallel_ranges(threads_, directions_ * parts_, 1, [&](Index from, Index to) {
      for (Index task = from; task < to; ++task) {
        const Index d = task / parts_;
        const Index part = task % parts_;
        const auto [begin, end] = steps_of(schedule_, d, first, last);
        f(d, schedule_.part_begin(begin, end, part, parts_),
          schedule_.part_begin(begin, end, part + 1, parts_));
      }
    });
  }

  // The input's half of the sums of a block of rows, of a chunk that begins with step `begin`.
  void multiply_inputs(Index d, Index begin, const Schedule::Block& block, const Scalar* x,
                       Index x_row, std::span<const DirectionBuffers<Scalar>> buffers) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const auto& buffer = buffers[static_cast<std::size_t>(d)];
    const Index slot_row = block.row - (buffer.all_steps ? 0 : begin) * schedule_.batch;
    cells::input_sums(w, block.rows, x + block.row * x_row, x_row,
                      {buffer.slots + slot_row * w.slots(), w.slots()},
                      {block.steps, block.row_step * x_row, block.row_step * w.slots()});
  }

  // The steps that direction d takes as its [first, last), rows [from, to).
  void scan_forward(Index d, Index first, Index last, Index from, Index to, bool record,
                    std::span<const DirectionBuffers<Scalar>> buffers) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const auto& buffer = buffers[static_cast<std::size_t>(d)];
    const Index hidden = w.sizes().hidden;
    const auto [begin, end] = steps_of(schedule_, d, first, last);
    const Index slots_first = buffer.all_steps ? 0 : begin;
    const bool keep = record && math::backward_reads_slots<E>;
    const Index sign = d == 0 ? 1 : -1;
    const Index row_step = sign * schedule_.batch;
    for (Index k = 0; k < end - begin;) {
      const Index t = d == 0 ? begin + k : end - 1 - k;
      const Index steps = schedule_.equal_steps(t, sign, end - begin - k);
      const Index rows = std::min(to, schedule_.running(t)) - from;
      k += steps;
      if (rows <= 0) {
        continue;
      }
      const Index row = (t - slots_first) * schedule_.batch + from;
      cells::ForwardSteps<Scalar> at{{.rows = rows,
                                      .slots = {buffer.slots + row * w.slots(), w.slots()},
                                      .prev = buffer.state(previous_slot(d, t), from),
                                      .next = buffer.state(t + 1, from),
                                      .slots_step = row_step * w.slots(),
                                      .h_step = sign * buffer.h_slot,
                                      .c_step = sign * buffer.c_slot}};
      if (w.sizes().projected()) {
        at.unprojected = buffer.unprojected + row * hidden;
        at.unprojected_step = row_step * hidden;
      }
      cells::scan_forward<E, Scalar>(w, steps, keep, at, step_threads_);
    }
  }

  // Their h to the caller.
  void give_output(Index d, Index first, Index last, Index from, Index to,
                   std::span<const DirectionBuffers<Scalar>> buffers,
                   Tensor3View<Scalar> output) const {
    const auto& buffer = buffers[static_cast<std::size_t>(d)];
    const Index width = weights_[0].sizes().output;
    const auto [begin, end] = steps_of(schedule_, d, first, last);
    const bool rows_together = buffer.h_row == width && output.stride(1) == width;
    const bool steps_together =
        rows_together && from == 0 && to == schedule_.batch && output.stride(0) == buffer.h_slot;
    const Index steps = steps_together ? end - begin : 1;  // that are copied at once
    const Index rows = rows_together ? to - from : 1;
    for (Index t = begin; t < end; t += steps) {
      for (Index row = from; row < to; row += rows) {
        std::copy_n(buffer.state(t + 1, row).h, steps * rows * width,
                    output.row(t, row) + d * width);
      }
    }
  }

  // Steps of the chunk, last step of each direction first: d_slots of the chunk into work.slots;
  // and d_x, if asked for, of a single direction.
  void scan_backward(const Chunk& chunk, Index layer,
                     std::span<const DirectionBuffers<const Scalar>> recorded,
                     const GradientFlow<Scalar>& flow, bool with_d_x,
                     Workspace<Scalar>& work) const {
    const auto& d_output = flow.d_output;
    for_each_task(chunk.first, chunk.last, [&](Index d, Index from, Index to) {
      const auto& w = weights_[static_cast<std::size_t>(d)];
      const auto& record = recorded[static_cast<std::size_t>(d)];
      const CellSizes& n = w.sizes();
      const auto [begin, end] = steps_of(schedule_, d, chunk.first, chunk.last);
      const Index at_layer = layer * directions_ + d;
      const kernels::StateRows<Scalar> d_state{
          work.d_h.view().row(at_layer, from), work.d_h.size(2),
          E::has_c ? work.d_c.view().row(at_layer, from) : nullptr,
          E::has_c ? work.d_c.size(2) : 0};
      Scalar* d_slots = work.slots[static_cast<std::size_t>(d)].data();
      const Index sign = d == 0 ? -1 : 1;
      Index step_row = d == 0 ? schedule_.running_rows(begin, end) : 0;  // in the chunk
      for (Index k = 0; k < end - begin;) {
        const Index t = d == 0 ? end - 1 - k : begin + k;
        const Index steps = schedule_.equal_steps(t, sign, end - begin - k);
        const Index running = schedule_.running(t);
        const Index rows = std::min(to, running) - from;
        const Index chunk_row = from + (d == 0 ? step_row - running : step_row);
        step_row += sign * steps * running;
        k += steps;
        if (rows <= 0) {
          continue;
        }
        const Index row = t * schedule_.batch + from;  // in the whole layer
        const Index row_step = sign * schedule_.batch;
        cells::BackwardSteps<Scalar> at{{.rows = rows,
                                         .slots = {},
                                         .prev = record.state(previous_slot(d, t), from),
                                         .next = record.state(t + 1, from),
                                         .d_slots = {d_slots + chunk_row * w.slots(), w.slots()},
                                         .d_output = {},
                                         .d_slots_step = sign * running * w.slots(),
                                         .h_step = sign * record.h_slot,
                                         .c_step = sign * record.c_slot}};
        if constexpr (math::backward_reads_slots<E>) {
          at.slots = {record.slots + row * w.slots(), w.slots()};
          at.slots_step = row_step * w.slots();
        }
        if (!d_output.absent()) {
          at.d_output.h = d_output.row(t - flow.output_first, from) + d * n.output;
          at.d_output.h_stride = d_output.stride(1);
          at.d_output_step = sign * d_output.stride(0);
        }
        if (n.projected()) {
          at.unprojected = record.unprojected + row * n.hidden;
          at.unprojected_step = row_step * n.hidden;
          at.d_h = work.d_h_steps[static_cast<std::size_t>(d)].data() + chunk_row * n.output;
          at.d_h_step = sign * running * n.output;
          at.d_unprojected = work.d_unprojected[d].data() + from * n.hidden;
        }
        cells::scan_backward<E, Scalar>(w, steps, at, d_state, step_threads_);
      }
      if (with_d_x) {
        const Index first_row = flow.x_first * schedule_.batch;
        schedule_.for_each_block_of_part(begin, end, from, to, [&](const Schedule::Block& block) {
          cells::input_gradient<E, Scalar>(
              w, block.rows, {d_slots + block.counted * w.slots(), w.slots()},
              flow.d_x + (block.row - first_row) * n.input, n.input,
              {block.steps, block.counted_step * w.slots(), block.row_step * n.input});
        });
      }
    });
  }

  // The products over all steps of the chunk; without d_x, if that is done.
  void products_backward(Index d, const Chunk& chunk, const Scalar* x, Index x_row,
                         std::span<const DirectionBuffers<const Scalar>> recorded,
                         const GradientFlow<Scalar>& flow, bool without_d_x,
                         Workspace<Scalar>& work, kernels::Start start,
                         CellParameters<Scalar>& gradients) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const auto& record = recorded[static_cast<std::size_t>(d)];
    const CellSizes& n = w.sizes();
    const Index begin = steps_of(schedule_, d, chunk.first, chunk.last).first;
    const Index end = begin + chunk.last - chunk.first;
    const Index rows = schedule_.running_rows(begin, end);
    if (rows == 0) {
      return;
    }
    const kernels::SlotRows<const Scalar> d_slots{work.slots[static_cast<std::size_t>(d)].data(),
                                                  w.slots()};
    const int threads = kernels::useful_threads(  // for all products
        static_cast<double>(n.gates * n.hidden * (2 * n.input + n.output) * rows), threads_);
    if (flow.d_x != nullptr && !without_d_x) {
      const Index x_first_row = flow.x_first * schedule_.batch;
      kernels::parallel_ranges(threads, rows, kernels::tile_rows, [&](Index from, Index to) {
        schedule_.for_each_block(begin, end, from, to, [&](Index row, Index count) {
          Scalar* sum = flow.d_x + (row - x_first_row) * n.input;
          // Which of two directions comes to a step first depends on the size of the chunks, and
          // that on the batch. Two whole products add up to the same bits in either order.
          Scalar* product = directions_ == 1 ? sum : work.d_x_chunk.data() + from * n.input;
          cells::input_gradient<E, Scalar>(w, count, d_slots.rows_from(from), product, n.input);
          if (product != sum) {
            Eigen::Map<Vector<Scalar>>(sum, count * n.input) +=
                Eigen::Map<Vector<Scalar>>(product, count * n.input);
          }
          from += count;
        });
      });
    }

    const Index first_row = begin * schedule_.batch;
    const Index* places = nullptr;
    if (rows < (end - begin) * schedule_.batch) {
      work.places.clear();
      schedule_.for_each_block(begin, end, [&](Index row, Index count) {
        for (Index k = 0; k < count; ++k) {
          work.places.push_back(row + k - first_row);
        }
      });
      places = work.places.data();
    }
    const auto prev = record.state(previous_slot(d, begin), 0);
    cells::GradientRows<Scalar> r{.rows = rows,
                                  .d_slots = d_slots,
                                  .places = places,
                                  .x = x + first_row * x_row,
                                  .x_stride = x_row,
                                  .h_prev = prev.h,
                                  .h_stride = prev.h_stride};
    if (n.projected()) {
      r.unprojected = record.unprojected + first_row * n.hidden;
      r.unprojected_stride = n.hidden;
      r.d_h = work.d_h_steps[static_cast<std::size_t>(d)].data();
    }
    cells::parameter_gradients(w, r, start, threads, work.packed, gradients);
  }

  std::span<const Weights> weights_;
  const Schedule& schedule_;
  Index directions_;
  int threads_ = 1;
  int step_threads_ = 1;            // that share the units of a single step
  Index parts_ = 1;                 // of the batch, that are scanned at the same time
  bool products_in_tasks_ = false;  // products with the inputs, and gradients by them, by sequences
};

}  // namespace recur::inline RECUR_ABI::layers
