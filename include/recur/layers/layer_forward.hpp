// SPDX-License-Identifier: MIT
//
// One layer forward, its one or two directions, over all time steps: the scan of a cell over time.
// Works on time-major buffers; everything that users see (shapes, batch_first, initial states,
// several layers) is in stack.hpp.
//
//   for each chunk of steps:   sums = W_ih x + b    one product for all steps of the chunk
//                              for t: sums += W_hh h[t-1]; equations
//
// A chunk (chunks.hpp) is a number of steps whose slots stay in the second-level cache.
#pragma once

#include <algorithm>  // std::copy_n, std::min
#include <span>

#include "recur/cells/step.hpp"
#include "recur/kernels/forward_lanes.hpp"
#include "recur/layers/chunks.hpp"
#include "recur/layers/layer_buffers.hpp"
#include "recur/layers/sharing.hpp"

namespace recur::inline RECUR_ABI::layers {

template <math::Equations E, class Scalar>
class LayerForward {
 public:
  using Weights = cells::Weights<E, Scalar>;

  /// `weights`: one for each direction; must outlive this. threads: at most so many.
  LayerForward(std::span<const Weights> weights, const Schedule& schedule, int threads)
      : weights_(weights),
        schedule_(schedule),
        directions_(static_cast<Index>(weights.size())),
        sharing_(sharing_of<E, Scalar>(weights[0].sizes(), directions_, schedule, threads)),
        in_lanes_(in_lanes(schedule.batch / sharing_.parts)) {}

  /// All steps, `chunk` at a time. x: (T, B, I), row stride x_row. Overwrites h, c and the slots:
  /// with record = true by what backward needs, where it reads them. output (T, B, D·output): a
  /// copy of h, made while that is in the cache, of sequences of equal length; or absent.
  void run(Index chunk, const Scalar* x, Index x_row, bool record,
           std::span<const DirectionBuffers<Scalar>> buffers,
           const Tensor3View<Scalar>& output) const {
    const Index T = schedule_.steps;
    const auto scan = [&](Index d, Index first, Index last, Index from, Index to) {
      scan_forward(d, first, last, from, to, x, x_row, record, buffers);
      if (!output.absent()) {
        give_output(d, first, last, from, to, buffers, output);
      }
    };
    if (sharing_.products_in_tasks) {  // nobody waits for others before the last step
      for_each_task(0, T, [&](Index d, Index from, Index to) {
        for (Index first = 0; first < T; first += chunk) {
          const Index last = std::min(first + chunk, T);
          const Index begin = steps_of(schedule_, d, first, last).first;
          const Index end = begin + last - first;
          if (!in_lanes_) {
            schedule_.for_each_block_of_part(begin, end, from, to,
                                             [&](const Schedule::Block& block) {
                                               multiply_inputs(d, begin, block, x, x_row, buffers);
                                             });
          }
          scan(d, first, last, from, to);
        }
      });
      return;
    }
    for (Index first = 0; first < T; first += chunk) {
      const Index last = std::min(first + chunk, T);
      for (Index d = 0; d < directions_ && !in_lanes_; ++d) {
        multiply_inputs(d, first, last, x, x_row, buffers);
      }
      for_each_task(first, last,
                    [&](Index d, Index from, Index to) { scan(d, first, last, from, to); });
    }
  }

 private:
  // f(direction, first row, last row): directions and parts of the batch, which need nothing of
  // each other, shared among the threads, for the steps that a direction takes as its [first,
  // last).
  template <class F>
  void for_each_task(Index first, Index last, F&& f) const {
    if (sharing_.threads == 1) {
      for (Index d = 0; d < directions_; ++d) {
        f(d, Index(0), schedule_.batch);
      }
      return;
    }
    kernels::parallel_ranges(sharing_.threads, directions_ * sharing_.parts, 1,
                             [&](Index from, Index to) {
                               for (Index task = from; task < to; ++task) {
                                 const Index d = task / sharing_.parts;
                                 const Index part = task % sharing_.parts;
                                 const auto [begin, end] = steps_of(schedule_, d, first, last);
                                 f(d, schedule_.part_begin(begin, end, part, sharing_.parts),
                                   schedule_.part_begin(begin, end, part + 1, sharing_.parts));
                               }
                             });
  }

  // The input's half of the sums, of the steps that direction d takes as its [first, last), by all
  // threads. Those that share the units of a step share the columns here, if they can evenly: so
  // each of them reads its part of the weights only. (Two threads, forward: 1,024 units, 64
  // sequences 4 to 5 % less time, 512, 32 sequences 1 to 2 %, 256, a single sequence 3 %.)
  void multiply_inputs(Index d, Index first, Index last, const Scalar* x, Index x_row,
                       std::span<const DirectionBuffers<Scalar>> buffers) const {
    const CellSizes& n = weights_[static_cast<std::size_t>(d)].sizes();
    const Index columns = n.gates * n.hidden;
    const Index begin = steps_of(schedule_, d, first, last).first;
    const Index end = begin + last - first;
    const Index rows = schedule_.running_rows(begin, end);
    const bool alone =
        sharing_.step_threads == 1 && directions_ * sharing_.parts == 1;  // in the scan
    const int threads = kernels::useful_threads(static_cast<double>(columns * n.input * rows),
                                                sharing_.threads, alone, 1);
    const auto multiply = [&](Index from, Index to, const kernels::Columns& those) {
      schedule_.for_each_block(begin, end, from, to, [&](Index row, Index count) {
        multiply_inputs(d, begin, {.row = row, .rows = count}, x, x_row, buffers, those);
      });
    };
    const kernels::Panels<Scalar> panels(
        columns - weights_[static_cast<std::size_t>(d)].packed.ih.operand().dots);
    const Index share =
        kernels::largest_range(threads, panels.count(), 1) * kernels::tile_columns<Scalar>;
    if (sharing_.step_threads > 1 && 20 * share * threads <= 21 * columns) {
      kernels::parallel_ranges(threads, panels.count(), 1, [&](Index from, Index to) {
        multiply(0, rows, {panels.begin(from), to < panels.count() ? panels.begin(to) : columns});
      });
    } else {
      kernels::parallel_ranges(threads, rows, kernels::tile_rows,
                               [&](Index from, Index to) { multiply(from, to, {}); });
    }
  }

  // The same of a block of rows, of a chunk that begins with step `begin`.
  void multiply_inputs(Index d, Index begin, const Schedule::Block& block, const Scalar* x,
                       Index x_row, std::span<const DirectionBuffers<Scalar>> buffers,
                       const kernels::Columns& columns = {}) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const auto& buffer = buffers[static_cast<std::size_t>(d)];
    const Index slot_row = block.row - (buffer.all_steps ? 0 : begin) * schedule_.batch;
    cells::input_sums(w, block.rows, x + block.row * x_row, x_row,
                      {buffer.slots + slot_row * buffer.slots_row, buffer.slots_row},
                      {block.steps, block.row_step * x_row, block.row_step * buffer.slots_row},
                      columns, buffer.all_steps ? kernels::Place::far : kernels::Place::unknown);
  }

  // Whether so many sequences are scanned with each of them in a lane; both directions are alike.
  bool in_lanes(Index rows) const { return kernels::sequences_in_lanes(weights_[0].packed, rows); }

  // The steps that direction d takes as its [first, last), rows [from, to). In lanes, the products
  // with the inputs, too.
  void scan_forward(Index d, Index first, Index last, Index from, Index to, const Scalar* x,
                    Index x_row, bool record,
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
      const bool apart = buffer.initial_h != nullptr && t == (d == 0 ? 0 : schedule_.steps - 1);
      const Index steps = apart ? 1 : schedule_.equal_steps(t, sign, end - begin - k);
      const Index rows = std::min(to, schedule_.running(t)) - from;
      k += steps;
      if (rows <= 0) {
        continue;
      }
      const Index row = (t - slots_first) * schedule_.batch + from;
      cells::ForwardSteps<Scalar> at{
          {.rows = rows,
           .slots = {buffer.slots + row * buffer.slots_row, buffer.slots_row},
           .prev = apart ? buffer.initial_state(state_slot_before(d, t), from)
                         : buffer.state(state_slot_before(d, t), from),
           .next = buffer.state(t + 1, from),
           .slots_step = row_step * buffer.slots_row,
           .h_step = sign * buffer.h_slot,
           .c_step = sign * buffer.c_slot}};
      if (w.sizes().projected()) {
        at.unprojected = buffer.unprojected + row * hidden;
        at.unprojected_step = row_step * hidden;
      }
      if (in_lanes_) {
        if (in_lanes(rows)) {
          kernels::forward_scan_in_lanes<E, Scalar>(w.equations, w.packed, steps,
                                                    x + (t * schedule_.batch + from) * x_row, x_row,
                                                    row_step * x_row, at, keep);
          continue;
        }
        const Index earliest = d == 0 ? t : t - steps + 1;
        multiply_inputs(d, begin,
                        {.row = earliest * schedule_.batch + from,
                         .rows = rows,
                         .steps = steps,
                         .row_step = schedule_.batch},
                        x, x_row, buffers);
      }
      cells::scan_forward<E, Scalar>(w, steps, keep, at, sharing_.step_threads);
    }
  }

  // Their h to the caller.
  void give_output(Index d, Index first, Index last, Index from, Index to,
                   std::span<const DirectionBuffers<Scalar>> buffers,
                   const Tensor3View<Scalar>& output) const {
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

  std::span<const Weights> weights_;
  const Schedule& schedule_;
  Index directions_;
  Sharing sharing_;
  bool in_lanes_;
};

}  // namespace recur::inline RECUR_ABI::layers
