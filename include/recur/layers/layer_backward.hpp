// SPDX-License-Identifier: MIT
//
// One layer backwards, its one or two directions, over a chunk of steps: backpropagation through
// time. Works on time-major buffers; everything that users see is in stack.hpp.
//
//   for t, backwards: equations → d_slots; dh = d_slots W_hh
//   dx = d_slots W_ih; dW += d_slotsᵀ x, …    one product each
#pragma once

#include <array>
#include <numeric>  // std::iota
#include <optional>
#include <span>
#include <vector>

#include "recur/cells/parameter_gradients.hpp"
#include "recur/cells/step.hpp"
#include "recur/layers/chunks.hpp"
#include "recur/layers/layer_buffers.hpp"
#include "recur/layers/own_rows.hpp"
#include "recur/layers/sharing.hpp"
#include "recur/layers/tape.hpp"

namespace recur::inline RECUR_ABI::layers {

template <math::Equations E, class Scalar>
class LayerBackward {
 public:
  using Weights = cells::Weights<E, Scalar>;
  using Sums = cells::ParameterGradients<E, Scalar>;
  using Recorded = std::span<const DirectionBuffers<const Scalar>>;
  using Groups = std::span<const SequenceGroup<Scalar>>;

  /// `weights`: one for each direction; must outlive this. threads: at most so many.
  LayerBackward(std::span<const Weights> weights, const Schedule& schedule, int threads)
      : weights_(weights),
        schedule_(schedule),
        directions_(static_cast<Index>(weights.size())),
        sharing_(sharing_of<E, Scalar>(weights[0].sizes(), directions_, schedule, threads)) {}

  /// One chunk backwards, of all groups of sequences, which have done those behind it. layer: its
  /// place in the gradients by the states in work, rows layer · D, … of d_h and d_c: in: by the
  /// state behind the chunk; out: by the one before it (the initial one: if asked for). x: as in
  /// forward. recorded: what forward left. gradients: of each direction, added to, but for `start`
  /// where no step has run yet. If none runs, they are left alone.
  void run(const Chunk& chunk, Index layer, const Scalar* x, Index x_row, Recorded recorded,
           Groups groups, std::span<CellParameters<Scalar>> gradients, kernels::Start start,
           Workspace<Scalar>& work) const {
    scan(chunk, layer, recorded, groups, work);
    for (Index d = 0; d < directions_; ++d) {
      if (!groups[0].d_x.absent() && !d_x_in_tasks(groups)) {
        input_gradients(d, chunk, groups[0]);
      }
      weight_gradients(d, chunk, x, x_row, recorded[static_cast<std::size_t>(d)], groups,
                       gradients[static_cast<std::size_t>(d)],
                       begun(d, chunk) ? kernels::Start::accumulate : start);
    }
  }

  /// Of that, what comes before the gradients by the weights; of one of two groups, d_x as well.
  void scan(const Chunk& chunk, Index layer, Recorded recorded, Groups groups,
            Workspace<Scalar>& work) const {
    for (const SequenceGroup<Scalar>& group : groups) {
      reserve(chunk, group);
    }
    scan_backward(chunk, layer, recorded, groups, d_x_in_tasks(groups), work);
  }

  /// The gradients by the weights of direction d, over all steps of the chunk, still to be packed
  /// and added. Of two groups, the first half of the rows takes the sums of group 0 before those of
  /// group 1, the second half the other way round: so that two threads need not wait for each other
  /// while both are as fast.
  Sums sums(Index d, const Chunk& chunk, const Scalar* x, Index x_row,
            const DirectionBuffers<const Scalar>& record, const SequenceGroup<Scalar>& group,
            CellParameters<Scalar>& gradients) const {
    return {weights_[static_cast<std::size_t>(d)], gradient_rows(d, chunk, x, x_row, record, group),
            group.memory.packed, gradients};
  }

  /// The memory that a chunk needs of a group, but for that of the weight gradients' factors.
  void reserve(const Chunk& chunk, const SequenceGroup<Scalar>& group) const {
    ChunkMemory<Scalar>& memory = group.memory;
    const CellSizes& n = weights_[0].sizes();
    const bool whole = whole_batch(group);
    const Index rows = whole ? chunk.rows : chunk.rows / schedule_.batch * group.count();
    const auto give = [&](std::vector<Tensor3<Scalar>>& tensors, Index width) {
      tensors.resize(static_cast<std::size_t>(directions_));
      for (auto& tensor : tensors) {
        tensor.resize(1, width > 0 ? rows : 0, width);
      }
    };
    give(memory.slots, d_slots_row());
    give(memory.d_h_steps, n.projected() ? d_h_row() : 0);
    memory.d_x.resize(1, directions_ > 1 && !group.d_x.absent() ? rows : 0, n.input);
    memory.places.reserve(static_cast<std::size_t>(schedule_.full() ? 0 : rows));
  }

 private:
  // From one row to the next, of the chunk's gradients by the slots and by what a projection gives.
  Index d_slots_row() const { return kernels::spread_row<Scalar>(weights_[0].slots()); }
  Index d_h_row() const { return kernels::spread_row<Scalar>(weights_[0].sizes().output); }

  bool whole_batch(const SequenceGroup<Scalar>& group) const {
    return group.count() == schedule_.batch;
  }

  // Of two directions d_x is a sum, which the tasks would have to take turns for.
  bool d_x_in_tasks(Groups groups) const {
    return directions_ == 1 && (sharing_.products_in_tasks || !whole_batch(groups[0]));
  }

  // Steps of the chunk, last step of each direction first: d_slots of the chunk into the groups'
  // memory; and d_x, if asked for, of a single direction.
  void scan_backward(const Chunk& chunk, Index layer, Recorded recorded, Groups groups,
                     bool with_d_x, Workspace<Scalar>& work) const {
    const auto count = static_cast<Index>(groups.size());
    const Index parts = count > 1 && sharing_.parts % count == 0 ? sharing_.parts / count
                                                                 : sharing_.parts;  // of each group
    const auto scan = [&](Index d, const SequenceGroup<Scalar>& group, Index part) {
      const auto [begin, end] = steps_of(schedule_, d, chunk.first, chunk.last);
      const Index from = part_begin(group, begin, end, part, parts);
      const Index to = part_begin(group, begin, end, part + 1, parts);
      scan_backward(d, layer, begin, end, from, to, recorded[static_cast<std::size_t>(d)], group,
                    directions_ * count * parts > 1 || !whole_batch(group), work);
      if (with_d_x && !group.d_x.absent()) {
        input_gradients_of_part(begin, end, from, to, group);
      }
    };
    kernels::parallel_ranges(
        sharing_.threads, directions_ * count * parts, 1, [&](Index first_task, Index last_task) {
          for (Index task = first_task; task < last_task; ++task) {
            scan(task / (count * parts), groups[static_cast<std::size_t>(task / parts % count)],
                 task % parts);
          }
        });
  }

  Index part_begin(const SequenceGroup<Scalar>& group, Index begin, Index end, Index part,
                   Index parts) const {
    return !schedule_.full() ? schedule_.part_begin(begin, end, part, parts)
           : parts == 1      ? group.first + group.count() * part
                             : group.first + group.count() * part / parts;
  }

  // Steps [begin, end) of direction d, sequences [from, to) of a group. shared: see OwnRows.
  void scan_backward(Index d, Index layer, Index begin, Index end, Index from, Index to,
                     const DirectionBuffers<const Scalar>& record,
                     const SequenceGroup<Scalar>& group, bool shared,
                     Workspace<Scalar>& work) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const CellSizes& n = w.sizes();
    const Index at_layer = layer * directions_ + d;
    const Index own = shared ? to - from : 0;
    OwnRows<Scalar> d_h(work.d_h.view().row(at_layer, from), own, work.d_h.size(2),
                        work.d_h.size(2));
    OwnRows<Scalar> d_c(E::has_c ? work.d_c.view().row(at_layer, from) : nullptr, own,
                        work.d_c.size(2), work.d_c.size(2));
    const kernels::StateRows<Scalar> d_state{d_h.data(), d_h.stride(), d_c.data(), d_c.stride()};
    Scalar* d_slots = group.memory.slots[static_cast<std::size_t>(d)].data();
    const Index sign = d == 0 ? -1 : 1;
    const Index all_rows = rows_of(group, begin, end);
    Index step_row = d == 0 ? all_rows : 0;  // in the chunk
    for (Index k = 0; k < end - begin;) {
      const Index t = d == 0 ? end - 1 - k : begin + k;
      const Index steps = schedule_.equal_steps(t, sign, end - begin - k);
      const Index running = rows_of(group, t, t + 1);
      const Index rows = std::min(to, schedule_.running(t)) - from;
      const Index chunk_row = from - group.first + (d == 0 ? step_row - running : step_row);
      step_row += sign * steps * running;
      k += steps;
      if (rows <= 0) {
        continue;
      }
      const Index row = t * schedule_.batch + from;  // in the whole layer
      const Index row_step = sign * schedule_.batch;
      cells::BackwardSteps<Scalar> at{
          {.rows = rows,
           .slots = {},
           .prev = record.state(state_slot_before(d, t), from),
           .next = record.state(t + 1, from),
           .d_slots = {d_slots + chunk_row * d_slots_row(), d_slots_row()},
           .d_output = {},
           .d_slots_step = sign * running * d_slots_row(),
           .h_step = sign * record.h_slot,
           .c_step = sign * record.c_slot,
           .d_before = group.d_initial || t + sign * steps != (d == 0 ? -1 : schedule_.steps)}};
      if constexpr (math::backward_reads_slots<E>) {
        at.slots = {record.slots + row * w.slots(), w.slots()};
        at.slots_step = row_step * w.slots();
      }
      if (!group.d_output.absent()) {
        at.d_output.h = group.d_output.row(t, from) + d * n.output;
        at.d_output.h_stride = group.d_output.view.stride(1);
        at.d_output_step = sign * group.d_output.view.stride(0);
      }
      if (n.projected()) {
        at.unprojected = record.unprojected + row * n.hidden;
        at.unprojected_step = row_step * n.hidden;
        at.d_h = group.memory.d_h_steps[static_cast<std::size_t>(d)].data() + chunk_row * d_h_row();
        at.d_h_stride = d_h_row();
        at.d_h_step = sign * running * d_h_row();
        at.d_unprojected = work.d_unprojected[d].data() + from * n.hidden;
      }
      cells::scan_backward<E, Scalar>(w, steps, at, d_state, sharing_.step_threads);
    }
  }

  // Rows of a group that run in steps [first, last).
  Index rows_of(const SequenceGroup<Scalar>& group, Index first, Index last) const {
    return schedule_.full() ? (last - first) * group.count() : schedule_.running_rows(first, last);
  }

  // d_x of the one direction's sequences [from, to), where their d_slots are in the cache.
  void input_gradients_of_part(Index begin, Index end, Index from, Index to,
                               const SequenceGroup<Scalar>& group) const {
    const auto& w = weights_[0];
    const Index width = w.sizes().input;
    const kernels::SlotRows<const Scalar> d_slots{group.memory.slots[0].data(), d_slots_row()};
    const auto multiply = [&](Index counted, Index rows, Scalar* d_x,
                              const kernels::Repeat& steps) {
      cells::input_gradient<E, Scalar>(w, rows, d_slots.rows_from(counted), d_x, width, steps,
                                       kernels::Place::far);
    };
    const Index d_x_step = group.d_x.view.stride(0);
    if (schedule_.full() && to - from == group.count() && d_x_step == group.count() * width) {
      multiply(0, (end - begin) * group.count(), group.d_x.row(begin, from), {});
    } else if (schedule_.full()) {
      multiply(from - group.first, to - from, group.d_x.row(begin, from),
               {end - begin, group.count() * d_slots_row(), d_x_step});
    } else {
      schedule_.for_each_block_of_part(begin, end, from, to, [&](const Schedule::Block& block) {
        multiply(block.counted, block.rows, group.d_x.row(block.row / schedule_.batch, from),
                 {block.steps, block.counted_step * d_slots_row(), d_x_step});
      });
    }
  }

  // Those of a direction, of the whole batch, by all threads; of two directions added to the sum.
  void input_gradients(Index d, const Chunk& chunk, const SequenceGroup<Scalar>& group) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const Index width = w.sizes().input;
    const auto [begin, end] = steps_of(schedule_, d, chunk.first, chunk.last);
    const kernels::SlotRows<const Scalar> d_slots{
        group.memory.slots[static_cast<std::size_t>(d)].data(), d_slots_row()};
    const Index rows = schedule_.running_rows(begin, end);
    kernels::parallel_ranges(
        product_threads(rows), rows, kernels::tile_rows,
        [&, begin = begin, end = end](Index from, Index to) {
          schedule_.for_each_block(begin, end, from, to, [&](Index row, Index count) {
            Scalar* sum = group.d_x.row(row / schedule_.batch, row % schedule_.batch);
            // Which of two directions comes to a step first depends on the size of the chunks, and
            // that on the batch. Two whole products add up to the same bits in either order.
            Scalar* product = directions_ == 1 ? sum : group.memory.d_x.data() + from * width;
            cells::input_gradient<E, Scalar>(w, count, d_slots.rows_from(from), product, width, {},
                                             kernels::Place::far);
            if (product != sum) {
              Eigen::Map<Vector<Scalar>>(sum, count * width) +=
                  Eigen::Map<Vector<Scalar>>(product, count * width);
            }
            from += count;
          });
        });
  }

  // Whether steps behind the chunk have run.
  bool begun(Index d, const Chunk& chunk) const {
    const Index done = steps_of(schedule_, d, chunk.last, schedule_.steps).first;
    return chunk.last < schedule_.steps && schedule_.running(done) > 0;
  }

  // See sums.
  void weight_gradients(Index d, const Chunk& chunk, const Scalar* x, Index x_row,
                        const DirectionBuffers<const Scalar>& record, Groups groups,
                        CellParameters<Scalar>& gradients, kernels::Start start) const {
    const auto [begin, end] = steps_of(schedule_, d, chunk.first, chunk.last);
    const Index rows = schedule_.running_rows(begin, end);
    if (rows == 0) {
      return;
    }
    const int threads = product_threads(rows);
    const std::size_t count = groups.size();
    if (count == 1) {
      sums(d, chunk, x, x_row, record, groups[0], gradients).add(threads, start);
      return;
    }
    std::array<std::optional<Sums>, 2> of_group;
    for (std::size_t g = 0; g < count; ++g) {
      of_group[g].emplace(sums(d, chunk, x, x_row, record, groups[g], gradients));
    }
    const auto halves = static_cast<Index>(count);
    for (Index factor = 0; factor < of_group[0]->factor_count(); ++factor) {
      for (std::size_t g = 0; g < count; ++g) {
        of_group[g]->pack(factor, threads);
      }
      kernels::parallel_ranges(threads, threads, 1, [&](Index part, Index last) {
        for (; part < last; ++part) {
          for (Index half = 0; half < halves; ++half) {
            for (std::size_t k = 0; k < count; ++k) {
              of_group[(static_cast<std::size_t>(half) + k) % count]->add(
                  factor, half * threads + part, halves * threads,
                  k == 0 ? start : kernels::Start::accumulate);
            }
          }
        }
      });
    }
  }

  // Where the factors of a chunk's weight gradients are.
  cells::GradientRows<Scalar> gradient_rows(Index d, const Chunk& chunk, const Scalar* x,
                                            Index x_row,
                                            const DirectionBuffers<const Scalar>& record,
                                            const SequenceGroup<Scalar>& group) const {
    const auto& w = weights_[static_cast<std::size_t>(d)];
    const CellSizes& n = w.sizes();
    const auto [begin, end] = steps_of(schedule_, d, chunk.first, chunk.last);
    const Index rows = rows_of(group, begin, end);
    ChunkMemory<Scalar>& memory = group.memory;
    const Index* places = nullptr;
    if (!schedule_.full() && rows < (end - begin) * schedule_.batch) {
      memory.places.resize(static_cast<std::size_t>(rows));
      auto place = memory.places.begin();
      for (Index t = begin; t < end; ++t) {
        const Index running = rows_of(group, t, t + 1);
        std::iota(place, place + running, (t - begin) * schedule_.batch);
        place += running;
      }
      places = memory.places.data();
    }
    const Index first_row = begin * schedule_.batch + group.first;
    const auto prev = record.state(state_slot_before(d, begin), group.first);
    cells::GradientRows<Scalar> r{
        .rows = rows,
        .d_slots = {memory.slots[static_cast<std::size_t>(d)].data(), d_slots_row()},
        .run = schedule_.full() && !whole_batch(group) ? group.count() : rows,
        .run_step = schedule_.batch,
        .places = places,
        .x = x + first_row * x_row,
        .x_stride = x_row,
        .h_prev = prev.h,
        .h_stride = prev.h_stride};
    if (n.projected()) {
      r.unprojected = record.unprojected + first_row * n.hidden;
      r.unprojected_stride = n.hidden;
      r.d_h = memory.d_h_steps[static_cast<std::size_t>(d)].data();
      r.d_h_stride = d_h_row();
    }
    return r;
  }

  // For all products with so many rows of a chunk. The threads are at work already.
  int product_threads(Index rows) const {
    const CellSizes& n = weights_[0].sizes();
    return kernels::useful_threads(
        static_cast<double>(n.gates * n.hidden * (2 * n.input + n.output) * rows), sharing_.threads,
        false, 1);
  }

  std::span<const Weights> weights_;
  const Schedule& schedule_;
  Index directions_;
  Sharing sharing_;
};

}  // namespace recur::inline RECUR_ABI::layers
