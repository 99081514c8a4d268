// SPDX-License-Identifier: MIT
//
// Forward through all layers, on time-major views whose shapes have been checked. One layer is in
// layer_forward.hpp.
#pragma once

#include "recur/layers/caller_arrays.hpp"
#include "recur/layers/dropout.hpp"
#include "recur/layers/layer_forward.hpp"
#include "recur/layers/network.hpp"

namespace recur::inline RECUR_ABI::layers {

/// `schedule`: of the batch; states: (L·D, B, ·), in the caller's order. Where the schedule is that
/// of a PackedSequence, every (T, B, ·) of the caller is its data (1, N, ·).
template <math::Equations E, class Scalar>
class ForwardPass {
 public:
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;
  using StateView = StateOf<E, ConstView>;
  using MutableState = StateOf<E, View>;

  ForwardPass(const Network<E, Scalar>& network, const Schedule& schedule)
      : network_(network), schedule_(schedule) {}

  /// x (T, B, I) → output (T, B, D·output) and the final state, both overwritten; padding is zero.
  /// Either may be absent: not asked for. tape: null for inference.
  void run(const ConstView& x, const StateView& initial, const View& output,
           const MutableState& final, Workspace<Scalar>& work, Tape<Scalar>* tape) const;

 private:
  // ---- states, in the caller's order and in ours ----

  // Slot of the state before the first step, and after the last one, of a sequence.
  Index initial_slot(Index d, Index row) const { return d == 0 ? 0 : schedule_.length(row) + 1; }
  Index final_slot(Index d, Index row) const { return d == 0 ? schedule_.length(row) : 1; }

  void set_initial_state(const DirectionBuffers<Scalar>& buffer, Index layer, Index d,
                         const StateView& initial) const {
    for (Index row = 0; row < schedule_.batch; ++row) {
      network_.copy_state(initial, layer * network_.directions + d, schedule_.source(row),
                          buffer.initial_state(initial_slot(d, row), row));
    }
  }

  void get_final_state(const DirectionBuffers<Scalar>& buffer, Index layer, Index d,
                       const MutableState& final) const {
    for (Index row = 0; row < schedule_.batch; ++row) {
      network_.store_state(buffer.state(final_slot(d, row), row), final,
                           layer * network_.directions + d, schedule_.source(row));
    }
  }

  // Whether the steps of h can stand in the caller's output.
  bool stands_like_h(const View& output) const {
    const Index row = network_.directions * network_.output();
    return !output.absent() && output.stride(1) == row && output.stride(0) == schedule_.batch * row;
  }

  const Network<E, Scalar>& network_;
  const Schedule& schedule_;
};

// Not inline: see instances.hpp.
template <math::Equations E, class Scalar>
void ForwardPass<E, Scalar>::run(const ConstView& x, const StateView& initial, const View& output,
                                 const MutableState& final, Workspace<Scalar>& work,
                                 Tape<Scalar>* tape) const {
  const kernels::FlushDenormals flush;
  const Index T = schedule_.steps;
  const Index B = schedule_.batch;
  const Index D = network_.directions;
  const Index hidden = network_.hidden();
  const bool projected = network_.projected();
  const Index slots_width = math::slot_count<E> * hidden;
  const bool keep_slots = tape != nullptr && math::backward_reads_slots<E>;
  const bool all_steps = keep_slots || (tape != nullptr && projected);
  // RNN: the sums stand where h will be, which is all that backward reads of them.
  constexpr bool in_place = math::slot_count<E> == 1 && !math::backward_reads_slots<E>;
  const Index chunk = chunk_steps<Scalar>(schedule_, slots_width);
  if (tape != nullptr) {
    tape->layers.resize(static_cast<std::size_t>(network_.layers));
  }

  const Scalar* in = x.data();
  Index in_row = x.stride(B > 1 ? 1 : 0);
  const bool as_it_is = schedule_.full() && (T <= 1 || x.stride(0) == B * in_row);
  const bool borrow = tape != nullptr && tape->borrow_input && as_it_is;
  if (tape != nullptr) {
    tape->borrowed = borrow ? x : ConstView();
  }
  if (borrow) {
    tape->layers[0].input.resize(0, B, x.size(2));
  }
  if (!as_it_is || (tape != nullptr && !borrow)) {
    Tensor3<Scalar>& copy = tape != nullptr ? tape->layers[0].input : work.input;
    copy.resize(T, B, x.size(2));
    take_running<Scalar>(schedule_, x, copy);
    in = copy.data();
    in_row = copy.size(2);
  }

  for (Index k = 0; k < network_.layers; ++k) {
    LayerTape<Scalar>* record =
        tape != nullptr ? &tape->layers[static_cast<std::size_t>(k)] : nullptr;
    if (k > 0) {
      const Tensor3<Scalar>& below =
          record != nullptr ? tape->layers[static_cast<std::size_t>(k) - 1].h : work.h[(k - 1) % 2];
      in = below.data() + B * below.size(2);  // slots 1 … T
      in_row = below.size(2);
      if (record != nullptr) {
        in = drop_out(schedule_, network_.dropout, *tape, *record, in, in_row);
      }
    }
    const bool top = k == network_.layers - 1;
    // Not while the same memory is still to be read as the input.
    const bool give_at_once = top && schedule_.full() && output.data() != x.data();
    const bool in_output = give_at_once && record == nullptr && T > 0 && stands_like_h(output);
    Tensor3<Scalar>& h = record != nullptr ? record->h : work.h[k % 2];
    Tensor3<Scalar>& c = record != nullptr ? record->c : work.c;
    auto& slots = keep_slots ? record->slots : work.chunks[0].slots;
    auto& unprojected = record != nullptr ? record->unprojected : work.unprojected;
    h.resize(in_output ? 1 : T + D, B, D * network_.output());
    // In place, every row of c begins a register: what is loaded of one must not overlap what was
    // just stored of another, or it would wait for it.
    c.resize(E::has_c ? (record != nullptr ? T + D : 1) : 0, B,
             D * (record != nullptr ? hidden : kernels::whole_registers<Scalar>(hidden)));
    if (record != nullptr) {
      record->slots.resize(static_cast<std::size_t>(D));
    }
    slots.resize(static_cast<std::size_t>(D));
    unprojected.resize(static_cast<std::size_t>(D));
    PerDirection<DirectionBuffers<Scalar>> buffers;
    for (Index d = 0; d < D; ++d) {
      const auto at = static_cast<std::size_t>(d);
      slots[at].resize(in_place ? 0 : all_steps ? T : chunk, B, slots_width);
      if (record != nullptr && !keep_slots) {
        record->slots[at].resize(0, B, slots_width);
      }
      unprojected[at].resize(!projected ? 0 : all_steps ? T : chunk, B, hidden);
      network_.find_buffers(d, h, c, slots[at], unprojected[at], buffers[at]);
      buffers[at].all_steps = all_steps;
      if (in_output) {
        buffers[at].initial_h = buffers[at].h;
        buffers[at].h = output.data() + d * network_.output() - buffers[at].h_slot;
      }
      if (in_place) {
        buffers[at].slots = buffers[at].h + buffers[at].h_slot;
        buffers[at].slots_row = buffers[at].h_row;
        buffers[at].all_steps = true;
      }
      set_initial_state(buffers[at], k, d, initial);
    }

    const auto weights = network_.weights(k);
    const LayerForward<E, Scalar> layer(network_.in_use(weights), schedule_, chunk, max_threads());
    layer.run(in, in_row, record != nullptr, network_.in_use(buffers),
              give_at_once && !in_output ? output : View());
    for (Index d = 0; d < D && !final.h.absent(); ++d) {
      get_final_state(buffers[static_cast<std::size_t>(d)], k, d, final);
    }
    if (top && !give_at_once && !output.absent()) {
      give_running<Scalar>(schedule_, h.view().narrow(0, 1, T), output);
    }
  }
}

}  // namespace recur::inline RECUR_ABI::layers
