// SPDX-License-Identifier: MIT
//
// Backward through all layers, on time-major views whose shapes have been checked. One layer is in
// layer_backward.hpp.
//
// Of one direction, all layers take a chunk of steps one after the other, so that of the gradients
// between them there is one chunk; of two, each layer takes all steps.
//
// Many sequences of few units go backwards in two groups, each from the top layer's last step to
// the bottom layer's first: two threads need not share a step, or a product. Both groups add to the
// same gradients, by turns: a layer's chunk to one half of their rows while the other group adds to
// the other half. (With all products shared by the threads, LSTM (28, 64, 28, 100, 3) trained 1.7
// times as fast with two threads as with one, (28, 128, 28, 10, 2) 1.2 times; so 1.96 and 1.6.) The
// groups depend on the sizes alone, so that the sums have one order whatever the threads.
#pragma once

#include <algorithm>  // std::fill_n, std::max, std::min
#include <array>
#include <optional>
#include <span>

#include "recur/kernels/chains.hpp"
#include "recur/layers/caller_arrays.hpp"
#include "recur/layers/dropout.hpp"
#include "recur/layers/layer_backward.hpp"
#include "recur/layers/network.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Groups of sequences that go backwards by themselves: two where each has eight sequences, and, of
/// all steps, as many rows as there are columns of gradients to add to, and where the weights,
/// which each group reads at every step, stay in a second-level cache. (Of fewer rows, two threads
/// gain a tenth, but one loses 2 %.)
template <math::Equations E, class Scalar>
Index sequence_groups(const Network<E, Scalar>& network, const Schedule& schedule) {
  constexpr Index enough_sequences = 16;
  constexpr Index in_cache = 512 * 1024 / static_cast<Index>(sizeof(Scalar));
  if (network.directions > 1 || !schedule.full() || schedule.batch < enough_sequences) {
    return 1;
  }
  for (Index k = 0; k < network.layers; ++k) {
    const CellSizes& n = network.sizes(k);
    if (n.gates * n.hidden * n.output > in_cache ||
        2 * (n.input + n.output) > schedule.steps * schedule.batch) {
      return 1;
    }
  }
  return 2;
}

/// `schedule`: of the batch; states: (L·D, B, ·), in the caller's order. Where the schedule is that
/// of a PackedSequence, every (T, B, ·) of the caller is its data (1, N, ·).
template <math::Equations E, class Scalar>
class BackwardPass {
 public:
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;
  using StateView = StateOf<E, ConstView>;
  using MutableState = StateOf<E, View>;
  using Group = SequenceGroup<Scalar>;
  using Layer = LayerBackward<E, Scalar>;

  BackwardPass(const Network<E, Scalar>& network, const Schedule& schedule)
      : network_(network), schedule_(schedule), groups_(sequence_groups(network, schedule)) {}

  /// Gradients by the output (absent: zeros) and by the final state → by the input (absent: not
  /// asked for) and by the initial state (overwritten; or absent) and by the parameters
  /// (overwritten with Start::zero, or added to). Reads the tape's records, uses its workspace.
  void run(Tape<Scalar>& tape, const ConstView& d_output, const StateView& d_final,
           const View& d_input, const MutableState& d_initial, kernels::Start start,
           std::span<CellParameters<Scalar>> gradients) const;

 private:
  // Two groups. Where two threads do them, each layer of a chunk is two tasks of each group: the
  // last is half of what is added to the gradients, while the other group adds to the other half.
  void in_groups(Tape<Scalar>& tape, const ConstView& d_out, const View& d_in, bool d_initial,
                 kernels::Start start, std::span<CellParameters<Scalar>> gradients) const {
    Workspace<Scalar>& work = tape.workspace;
    const Index half = schedule_.batch / 2;
    std::array<Group, 2> groups{Group{0, half, work.chunks[0], {}, {}, d_initial},
                                Group{half, schedule_.batch, work.chunks[1], {}, {}, d_initial}};
    const int threads = kernels::useful_threads(multiply_adds());
    if (threads != 2) {
      go_back(groups, threads, d_out, d_in, start, gradients, tape);
      return;
    }
    for (const Group& group : groups) {
      reserve(group, d_in);  // here, as it may throw
    }
    const Index T = schedule_.steps;
    const Index L = network_.layers;
    const Index rows = most_rows();
    const Index steps = T - chunk_begin(schedule_, 1, T, rows);  // of a chunk
    std::array<std::optional<typename Layer::Sums>, 2> sums;
    const auto needed = [&](Index task) {  // the other half of this layer, all of the chunk behind
      return task % 2 == 1 ? task : task - 2 * (L - 1);
    };
    kernels::parallel_chains(2 * L * ((T + steps - 1) / steps), needed, [&](Index g, Index task) {
      const auto index = static_cast<std::size_t>(g);
      if (task % 2 == 1) {
        sums[index]->add(1 - g, 2, kernels::Start::accumulate);
        return;
      }
      const Index last = T - task / 2 / L * steps;
      const Index k = L - 1 - task / 2 % L;
      const Chunk chunk{std::max<Index>(0, last - steps), last, rows};
      const std::span<Group> group(&groups[index], 1);
      find_rows(chunk, k, group, d_out, d_in, work);
      with_layer(k, 1, tape, [&](const Layer& layer, const Scalar* x, Index x_row, auto recorded) {
        layer.scan(chunk, k, recorded, group, work);
        sums[index].emplace(layer.sums(0, chunk, x, x_row, recorded[0], group[0],
                                       gradients[static_cast<std::size_t>(k)]));
        sums[index]->pack(1);
      });
      drop_out_backward(schedule_, chunk.first, chunk.last, record_of(tape, k), group[0]);
      sums[index]->add(g, 2, last == T ? start : kernels::Start::accumulate);
    });
  }

  // All layers, from the last step to the first.
  void go_back(std::span<Group> groups, int threads, const ConstView& d_out, const View& d_in,
               kernels::Start start, std::span<CellParameters<Scalar>> gradients,
               Tape<Scalar>& tape) const {
    Workspace<Scalar>& work = tape.workspace;
    const Index D = network_.directions;
    const Index together = D == 1 ? network_.layers : 1;
    const Index rows = most_rows();
    for (Index above = network_.layers; above > 0; above -= together) {
      Index first = 0;
      for (Index last = schedule_.steps; last > 0; last = first) {
        first = chunk_begin(schedule_, D, last, rows);
        const Chunk chunk{first, last, rows};
        for (Index k = above - 1; k >= above - together; --k) {
          find_rows(chunk, k, groups, d_out, d_in, work);
          with_layer(k, threads, tape,
                     [&](const Layer& layer, const Scalar* x, Index x_row, auto recorded) {
                       layer.run(chunk, k, x, x_row, recorded, groups,
                                 gradients.subspan(static_cast<std::size_t>(k * D)), start, work);
                     });
          for (const Group& group : groups) {
            if (D == 1) {
              drop_out_backward(schedule_, first, last, record_of(tape, k), group);
            } else if (first == 0) {  // complete when all steps are done
              drop_out_backward(schedule_, 0, schedule_.steps, record_of(tape, k), group);
            }
          }
        }
      }
    }
  }

  // Where the gradients by the output and by the input of layer k are, of a chunk.
  void find_rows(const Chunk& chunk, Index k, std::span<Group> groups, const ConstView& d_out,
                 const View& d_in, Workspace<Scalar>& work) const {
    const Index D = network_.directions;
    const bool chunk_by_chunk = D == 1;
    for (Group& group : groups) {
      Tensor3<Scalar>& between = chunk_by_chunk ? group.memory.between : work.d_output[k % 2];
      const Tensor3<Scalar>& from_above =
          chunk_by_chunk ? group.memory.between : work.d_output[(k + 1) % 2];
      const Index step = chunk_by_chunk ? chunk.first : 0;  // the first that is there
      group.d_output = {d_out};
      if (k < network_.layers - 1) {
        group.d_output = {from_above.view(), step, group.first};
      }
      group.d_x = {d_in};
      if (k > 0) {
        between.resize(chunk_by_chunk ? chunk.last - chunk.first : schedule_.steps, group.count(),
                       D * network_.output());
        group.d_x = {between.view(), step, group.first};
      }
    }
    if (D > 1 && chunk.last == schedule_.steps && !groups[0].d_x.absent()) {
      const View d_x = groups[0].d_x.view;
      std::fill_n(d_x.data(), schedule_.steps * schedule_.batch * d_x.size(2), Scalar(0));
    }
  }

  static const LayerTape<Scalar>& record_of(const Tape<Scalar>& tape, Index k) {
    return tape.layers[static_cast<std::size_t>(k)];
  }

  // f(layer, x, x_row, recorded): layer k, and what forward read and left.
  template <class F>
  void with_layer(Index k, int threads, const Tape<Scalar>& tape, F&& f) const {
    static const Tensor3<Scalar> nothing;
    const LayerTape<Scalar>& record = record_of(tape, k);
    const Index width = network_.sizes(k).input;
    const Scalar* in = record.input.data();
    Index in_row = width;
    if (k == 0 && !tape.borrowed.absent()) {
      in = tape.borrowed.data();
      in_row = tape.borrowed.stride(schedule_.batch > 1 ? 1 : 0);
    } else if (record.input.size(2) == 0) {  // not behind dropout: the output below
      in = record_of(tape, k - 1).h.data() + schedule_.batch * width;
    }
    PerDirection<DirectionBuffers<const Scalar>> recorded;
    for (std::size_t d = 0; d < network_.in_use(recorded).size(); ++d) {
      network_.find_buffers(static_cast<Index>(d), record.h, record.c, record.slots[d],
                            network_.projected() ? record.unprojected[d] : nothing, recorded[d]);
    }
    const auto weights = network_.weights(k);
    f(Layer(network_.in_use(weights), schedule_, threads), in, in_row, network_.in_use(recorded));
  }

  // The most rows of a chunk, the same for all layers: of each group as many as fit into a cache,
  // with x and h, which are copied beside the slots.
  Index most_rows() const {
    const Index all = schedule_.steps * schedule_.batch;
    if (all <= enough_rows_backward) {
      return all;
    }
    Index input = 0;
    for (Index k = 0; k < network_.layers; ++k) {
      input = std::max(input, network_.sizes(k).input);
    }
    const Index width = math::slot_count<E> * network_.hidden() + input + network_.output();
    const Index enough = groups_ > 1 ? enough_rows_of_group : enough_rows_beside_tape(all, input);
    const Index rows = chunk_rows<Scalar>(width * groups_, enough) * groups_;
    return std::min(std::max(rows, schedule_.batch), all);
  }

  // Those that a product needs, or fewer, whose memory is a twelfth of the tape's; but not so few
  // that they would be slow: then the tape is short.
  Index enough_rows_beside_tape(Index all, Index input) const {
    const Index D = network_.directions;
    const Index slots = math::slot_count<E> * network_.hidden();
    const Index recorded = network_.layers * D *
                           ((math::backward_reads_slots<E> ? slots : 0) +
                            (E::has_c ? network_.hidden() : 0) + network_.output());
    const Index in_use = D * slots + std::max(input, network_.output()) +
                         (D > 1                 ? input
                          : network_.layers > 1 ? network_.output()
                                                : 0);
    const Index rows = all * recorded / (12 * in_use);
    return rows < fewest_rows_backward ? enough_rows_backward
                                       : std::min(rows, enough_rows_backward);
  }

  double multiply_adds() const {
    double sum = 0;
    for (Index k = 0; k < network_.layers; ++k) {
      const CellSizes& n = network_.sizes(k);
      sum += static_cast<double>(n.gates * n.hidden * (n.input + n.output)) *
             static_cast<double>(schedule_.steps * schedule_.batch);
    }
    return 2 * sum;
  }

  // All that a group's way back needs.
  void reserve(Group group, const View& d_in) const {
    const Index rows = most_rows();
    const Chunk chunk{0, 0, rows};
    group.memory.between.resize(network_.layers > 1 ? rows / schedule_.batch : 0, group.count(),
                                network_.output());
    group.d_x = {d_in};
    for (Index k = 0; k < network_.layers; ++k) {
      const auto weights = network_.weights(k);
      Layer(network_.in_use(weights), schedule_, 1).reserve(chunk, group);
      cells::reserve_factors<E>(network_.sizes(k), rows / schedule_.batch * group.count(),
                                group.memory.packed);
    }
  }

  // ---- states, in the caller's order and in ours ----

  // Gradients by the states, of all layers, layer outer and direction inner.
  kernels::StateRows<Scalar> d_state_of(Workspace<Scalar>& work, Index index, Index row) const {
    kernels::StateRows<Scalar> state{work.d_h.view().row(index, row), work.d_h.size(2), nullptr, 0};
    if constexpr (E::has_c) {
      state.c = work.d_c.view().row(index, row);
    }
    return state;
  }

  void get_final_gradients(const StateView& d_final, Workspace<Scalar>& work) const {
    const Index B = schedule_.batch;
    const Index hidden = network_.hidden();
    const Index count = network_.layers * network_.directions;
    work.d_h.resize(count, B, kernels::whole_registers<Scalar>(network_.output()));
    work.d_c.resize(E::has_c ? count : 0, B, kernels::whole_registers<Scalar>(hidden));
    work.d_unprojected.resize(network_.directions, network_.projected() ? B : 0, hidden);
    for (Index index = 0; index < count; ++index) {
      for (Index row = 0; row < B; ++row) {
        network_.copy_state(d_final, index, schedule_.source(row), d_state_of(work, index, row));
      }
    }
  }

  void give_initial_gradients(Workspace<Scalar>& work, const MutableState& d_initial) const {
    for (Index index = 0; index < network_.layers * network_.directions; ++index) {
      for (Index row = 0; row < schedule_.batch; ++row) {
        network_.store_state(d_state_of(work, index, row), d_initial, index, schedule_.source(row));
      }
    }
  }

  const Network<E, Scalar>& network_;
  const Schedule& schedule_;
  Index groups_;
};

// Not inline: see instances.hpp.
template <math::Equations E, class Scalar>
void BackwardPass<E, Scalar>::run(Tape<Scalar>& tape, const ConstView& d_output,
                                  const StateView& d_final, const View& d_input,
                                  const MutableState& d_initial, kernels::Start start,
                                  std::span<CellParameters<Scalar>> gradients) const {
  const kernels::FlushDenormals flush;
  Workspace<Scalar>& work = tape.workspace;
  const Index T = schedule_.steps;
  const Index B = schedule_.batch;
  const Index D = network_.directions;
  const bool by_initial = !d_initial.h.absent();

  // The caller's arrays are used as they are, where their rows are ours.
  ConstView d_out = d_output;
  if (!d_out.absent() && !schedule_.full()) {
    Tensor3<Scalar>& copy = work.d_output[network_.layers % 2];
    copy.resize(T, B, D * network_.output());
    take_running<Scalar>(schedule_, d_out, copy);
    d_out = copy.view();
  }
  const bool to_caller = schedule_.full() && is_time_major<Scalar>(schedule_, d_input) &&
                         d_input.data() != d_output.data();
  View d_in = d_input;
  if (!(to_caller || d_input.absent())) {
    work.d_x.resize(T, B, network_.sizes(0).input);
    d_in = work.d_x.view();
  }
  get_final_gradients(d_final, work);
  if (start == kernels::Start::zero && (T == 0 || schedule_.running(0) == 0)) {  // no step runs
    for (CellParameters<Scalar>& gradient : gradients) {
      set_zero(gradient);
    }
  }

  if (groups_ == 1) {
    Group group{0, B, work.chunks[0], {}, {}, by_initial};
    go_back({&group, 1}, max_threads(), d_out, d_in, start, gradients, tape);
  } else {
    in_groups(tape, d_out, d_in, by_initial, start, gradients);
  }
  if (by_initial) {
    give_initial_gradients(work, d_initial);
  }
  if (!to_caller && !d_input.absent()) {
    give_running<Scalar>(schedule_, d_in, d_input);
  }
}

}  // namespace recur::inline RECUR_ABI::layers
