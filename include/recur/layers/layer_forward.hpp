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
#include <utility>  // std::pair

#include "recur/cells/step.hpp"
#include "recur/kernels/forward_lanes.hpp"
#include "recur/layers/chunks.hpp"
#include "recur/layers/layer_buffers.hpp"
#include "recur/layers/own_rows.hpp"
#include "recur/layers/sharing.hpp"

namespace recur::inline RECUR_ABI::layers {

template <math::Equations E, class Scalar>
class LayerForward {
 public:
  using Weights = cells::Weights<E, Scalar>;
  using Buffers = DirectionBuffers<Scalar>;

  /// `weights`: one for each direction; must outlive this. chunk: steps that are taken at a time.
  /// threads: at most so many.
  LayerForward(std::span<const Weights> weights, const Schedule& schedule, Index chunk, int threads)
      : weights_(weights),
        schedule_(schedule),
        chunk_(chunk),
        directions_(static_cast<Index>(weights.size())),
        sharing_(sharing_of<E, Scalar>(weights[0].sizes(), directions_, schedule, threads)),
        in_lanes_(in_lanes(schedule.batch / sharing_.parts)) {}

  /// All steps. x: (T, B, I), row stride x_row. Overwrites h, c and the slots: with record = true
  /// by what backward needs, where it reads them. output (T, B, D·output): a copy of h, made while
  /// that is in the cache, of sequences of equal length; or absent.
  void run(const Scalar* x, Index x_row, bool record, std::span<const Buffers> buffers,
           const Tensor3View<Scalar>& output) const {
    const Index T = schedule_.steps;
    const auto scan = [&](const Part& part, const Buffers& buffer, Index first, Index last) {
      scan_forward(part, first, last, x, x_row, record, buffer);
      if (!output.absent()) {
        give_output(part, first, last, buffer, output);
      }
    };
    if (sharing_.products_in_tasks) {  // nobody waits for others before the last step
      for_each_task(0, T, [&](const Part& part) {
        with_own_c(part, buffers[static_cast<std::size_t>(part.d)], [&](const Buffers& buffer) {
          for (Index first = 0; first < T; first += chunk_) {
            const Index last = std::min(first + chunk_, T);
            const auto [begin, end] = steps_of(schedule_, part.d, first, last);
            if (!in_lanes_) {
              schedule_.for_each_block_of_part(
                  begin, end, part.from, part.to, [&, begin = begin](const Schedule::Block& block) {
                    multiply_inputs(part, begin, block, x, x_row, buffer);
                  });
            }
            scan(part, buffer, first, last);
          }
        });
      });
      return;
    }
    for (Index first = 0; first < T; first += chunk_) {
      const Index last = std::min(first + chunk_, T);
      for (Index d = 0; d < directions_ && !in_lanes_; ++d) {
        multiply_inputs(d, first, last, x, x_row, buffers[static_cast<std::size_t>(d)]);
      }
      for_each_task(first, last, [&](const Part& part) {
        scan(part, buffers[static_cast<std::size_t>(part.d)], first, last);
      });
    }
  }

 private:
  // What a thread has of a direction: sequences [from, to).
  struct Part {
    Index d;
    Index from;
    Index to;
  };

  // The rows of the slots from the one of step t and sequence b on, in a chunk that begins with
  // step `begin`, and how many later the next step's are. Where only those of a chunk are kept, and
  // every thread multiplies the inputs of its own sequences, these have theirs together: where two
  // threads write by turns, the processor fetches ahead for one what the other has just written.
  // (Two threads, eight sequences each: inference 1 to 8 % faster.)
  std::pair<Index, Index> slots_of(const Buffers& buffer, const Part& part, Index begin, Index t,
                                   Index b) const {
    const Index count = part.to - part.from;
    if (buffer.all_steps) {
      return {t * schedule_.batch + b, schedule_.batch};
    }
    if (!sharing_.products_in_tasks) {
      return {(t - begin) * schedule_.batch + b, schedule_.batch};
    }
    return {part.from * chunk_ + (t - begin) * count + b - part.from, count};
  }

  // f(buffer) with the buffers of a direction, whose c, where it is updated in place, is in memory
  // of the thread's own for the sequences of a part.
  template <class F>
  void with_own_c(const Part& part, const Buffers& buffer, F&& f) const {
    if constexpr (E::has_c) {
      if (sharing_.threads > 1 && buffer.c_slot == 0) {
        OwnRows<Scalar> c(buffer.c + part.from * buffer.c_row, part.to - part.from,
                          kernels::whole_registers<Scalar>(weights_[0].sizes().hidden),
                          buffer.c_row);
        Buffers own = buffer;
        own.c = c.data() - part.from * c.stride();
        own.c_row = c.stride();
        f(own);
        return;
      }
    }
    f(buffer);
  }

  // f(part): directions and parts of the batch, which need nothing of each other, shared among the
  // threads, for the steps that a direction takes as its [first, last).
  template <class F>
  void for_each_task(Index first, Index last, F&& f) const {
    if (sharing_.threads == 1) {
      for (Index d = 0; d < directions_; ++d) {
        f(Part{d, 0, schedule_.batch});
      }
      return;
    }
    kernels::parallel_ranges(
        sharing_.threads, directions_ * sharing_.parts, 1, [&](Index from, Index to) {
          for (Index task = from; task < to; ++task) {
            const Index d = task / sharing_.parts;
            const Index part = task % sharing_.parts;
            const auto [begin, end] = steps_of(schedule_, d, first, last);
            f(Part{d, schedule_.part_begin(begin, end, part, sharing_.parts),
                   schedule_.part_begin(begin, end, part + 1, sharing_.parts)});
          }
        });
  }

  // The input's half of the sums, of the steps that direction d takes as its [first, last), by all
  // threads. Those that share the units of a step share the columns here, if they can evenly: so
  // each of them reads its part of the weights only. (Two threads, forward: 1,024 units, 64
  // sequences 4 to 5 % less time, 512, 32 sequences 1 to 2 %, 256, a single sequence 3 %.)
  void multiply_inputs(Index d, Index first, Index last, const Scalar* x, Index x_row,
                       const Buffers& buffer) const {
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
        multiply_inputs({d, 0, schedule_.batch}, begin, {.row = row, .rows = count}, x, x_row,
                        buffer, those);
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

  // The same of a block of rows of a part, of a chunk that begins with step `begin`.
  void multiply_inputs(const Part& part, Index begin, const Schedule::Block& block, const Scalar* x,
                       Index x_row, const Buffers& buffer,
                       const kernels::Columns& columns = {}) const {
    const auto& w = weights_[static_cast<std::size_t>(part.d)];
    const auto [row, step] =
        slots_of(buffer, part, begin, block.row / schedule_.batch, block.row % schedule_.batch);
    cells::input_sums(w, block.rows, x + block.row * x_row, x_row,
                      {buffer.slots + row * buffer.slots_row, buffer.slots_row},
                      {block.steps, block.row_step * x_row, step * buffer.slots_row}, columns,
                      buffer.all_steps ? kernels::Place::far : kernels::Place::unknown);
  }

  // Whether so many sequences are scanned with each of them in a lane; both directions are alike.
  bool in_lanes(Index rows) const { return kernels::sequences_in_lanes(weights_[0].packed, rows); }

  // The steps that the direction takes as its [first, last), rows of a part. In lanes, the products
  // with the inputs, too.
  void scan_forward(const Part& part, Index first, Index last, const Scalar* x, Index x_row,
                    bool record, const Buffers& buffer) const {
    const auto [d, from, to] = part;
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const Index hidden = w.sizes().hidden;
    const auto [begin, end] = steps_of(schedule_, d, first, last);
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
      const auto [row, slots_step] = slots_of(buffer, part, begin, t, from);
      cells::ForwardSteps<Scalar> at{
          {.rows = rows,
           .slots = {buffer.slots + row * buffer.slots_row, buffer.slots_row},
           .prev = apart ? buffer.initial_state(state_slot_before(d, t), from)
                         : buffer.state(state_slot_before(d, t), from),
           .next = buffer.state(t + 1, from),
           .slots_step = sign * slots_step * buffer.slots_row,
           .h_step = sign * buffer.h_slot,
           .c_step = sign * buffer.c_slot}};
      if (w.sizes().projected()) {
        at.unprojected = buffer.unprojected + row * hidden;
        at.unprojected_step = sign * slots_step * hidden;
      }
      if (in_lanes_) {
        if (in_lanes(rows)) {
          kernels::forward_scan_in_lanes<E, Scalar>(w.equations, w.packed, steps,
                                                    x + (t * schedule_.batch + from) * x_row, x_row,
                                                    row_step * x_row, at, keep);
          continue;
        }
        const Index earliest = d == 0 ? t : t - steps + 1;
        multiply_inputs(part, begin,
                        {.row = earliest * schedule_.batch + from,
                         .rows = rows,
                         .steps = steps,
                         .row_step = schedule_.batch},
                        x, x_row, buffer);
      }
      cells::scan_forward<E, Scalar>(w, steps, keep, at, sharing_.step_threads);
    }
  }

  // Their h to the caller.
  void give_output(const Part& part, Index first, Index last, const Buffers& buffer,
                   const Tensor3View<Scalar>& output) const {
    const auto [d, from, to] = part;
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
  Index chunk_;
  Index directions_;
  Sharing sharing_;
  bool in_lanes_;
};

}  // namespace recur::inline RECUR_ABI::layers
