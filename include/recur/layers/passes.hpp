// SPDX-License-Identifier: MIT
//
// Forward and backward through all layers, on time-major views whose shapes have been checked. The
// module that users hold, with its options and checks, is in stack.hpp; one layer in layer.hpp.
#pragma once

#include <algorithm>  // std::copy_n, std::fill_n, std::max, std::min
#include <array>
#include <span>

#include "recur/core/state.hpp"
#include "recur/layers/caller_arrays.hpp"
#include "recur/layers/dropout.hpp"
#include "recur/layers/layer.hpp"
#include "recur/layers/stack_parameters.hpp"

namespace recur::inline RECUR_ABI::layers {

/// The layers of a module, as the passes see them.
template <math::Equations E, class Scalar>
struct Network {
  const E& equations;
  const StackParameters<Scalar>& parameters;
  std::span<const kernels::PackedWeights<E, Scalar>> packed;  ///< layer outer, direction inner
  Index layers;
  Index directions;
  double dropout;

  const CellSizes& sizes(Index layer) const {
    return packed[static_cast<std::size_t>(layer * directions)].sizes;
  }
};

/// One pass through a Network. `schedule`: of the batch; states: (L·D, B, ·), in the caller's
/// order. Where the schedule is that of a PackedSequence, every (T, B, ·) of the caller is its data
/// (1, N, ·).
template <math::Equations E, class Scalar>
class Passes {
 public:
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;
  using StateView = StateOf<E, ConstView>;
  using MutableState = StateOf<E, View>;
  using Weights = cells::Weights<E, Scalar>;

  Passes(const Network<E, Scalar>& network, const Schedule& schedule)
      : network_(network),
        schedule_(schedule),
        hidden_(network.sizes(0).hidden),
        output_(network.sizes(0).output) {}

  /// x (T, B, I) → output (T, B, D·output) and the final state, both overwritten; padding is zero.
  /// tape: null for inference.
  void forward(ConstView x, const StateView& initial, View output, const MutableState& final,
               Workspace<Scalar>& work, Tape<Scalar>* tape) const {
    const kernels::FlushDenormals flush;
    const Index T = schedule_.steps;
    const Index B = schedule_.batch;
    const Index D = network_.directions;
    const Index slots_width = math::slot_count<E> * hidden_;
    const bool keep_slots = tape != nullptr && math::backward_reads_slots<E>;
    const bool all_steps = keep_slots || (tape != nullptr && projected());
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
        const Tensor3<Scalar>& below = record != nullptr
                                           ? tape->layers[static_cast<std::size_t>(k) - 1].h
                                           : work.h[(k - 1) % 2];
        in = below.data() + B * below.size(2);  // slots 1 … T
        in_row = below.size(2);
        if (record != nullptr) {
          in = drop_out(schedule_, network_.dropout, *tape, *record, in, in_row);
        }
      }
      Tensor3<Scalar>& h = record != nullptr ? record->h : work.h[k % 2];
      Tensor3<Scalar>& c = record != nullptr ? record->c : work.c;
      auto& slots = keep_slots ? record->slots : work.slots;
      auto& unprojected = record != nullptr ? record->unprojected : work.unprojected;
      h.resize(T + 2, B, D * output_);
      // In place, every row of c begins a register: what is loaded of one must not overlap what was
      // just stored of another, or it would wait for it.
      c.resize(E::has_c ? (record != nullptr ? T + 2 : 1) : 0, B,
               D * (record != nullptr ? hidden_ : kernels::whole_registers<Scalar>(hidden_)));
      if (record != nullptr) {
        record->slots.resize(static_cast<std::size_t>(D));
      }
      slots.resize(static_cast<std::size_t>(D));
      unprojected.resize(static_cast<std::size_t>(D));
      PerDirection<DirectionBuffers<Scalar>> buffers;
      for (Index d = 0; d < D; ++d) {
        const auto at = static_cast<std::size_t>(d);
        slots[at].resize(all_steps ? T : chunk, B, slots_width);
        if (record != nullptr && !keep_slots) {
          record->slots[at].resize(0, B, slots_width);
        }
        unprojected[at].resize(!projected() ? 0 : all_steps ? T : chunk, B, hidden_);
        buffers[at] = direction_buffers<Scalar>(d, h, c, slots[at], unprojected[at]);
        buffers[at].all_steps = all_steps;
        set_initial_state(buffers[at], k, d, initial);
      }

      const PerDirection<Weights> weights = layer_weights(k);
      const Layer<E, Scalar> layer(in_use(weights), schedule_);
      const bool top = k == network_.layers - 1;
      // Not while the same memory is still to be read as the input.
      const bool give_at_once = top && schedule_.full() && output.data() != x.data();
      layer.forward(chunk, in, in_row, record != nullptr, in_use(buffers),
                    give_at_once ? output : View());
      for (Index d = 0; d < D; ++d) {
        get_final_state(buffers[static_cast<std::size_t>(d)], k, d, final);
      }
      if (top && !give_at_once) {
        give_running<Scalar>(schedule_, h.view().narrow(0, 1, T), output);
      }
    }
  }

  /// Gradients by the output (absent: zeros) and by the final state → by the input (absent: not
  /// asked for) and by the initial state (overwritten) and by the parameters (overwritten with
  /// Start::zero, or added to). Reads the tape's records, uses its workspace.
  void backward(Tape<Scalar>& tape, ConstView d_output, const StateView& d_final, View d_input,
                const MutableState& d_initial, kernels::Start start,
                std::span<CellParameters<Scalar>> gradients) const {
    const kernels::FlushDenormals flush;
    Workspace<Scalar>& work = tape.workspace;
    const Index T = schedule_.steps;
    const Index B = schedule_.batch;
    const Index D = network_.directions;

    // Of one direction, all layers take a chunk of steps one after the other, so that of the
    // gradients between them there is one chunk; of two, each layer takes all steps.
    const bool chunk_by_chunk = D == 1;
    const Index most_rows = most_rows_backward();
    const auto between = [&](Index k) -> Tensor3<Scalar>& {  // by the input of layer k
      return work.d_output[chunk_by_chunk ? 0 : k % 2];
    };
    // The caller's arrays are used as they are, where their rows are ours.
    ConstView d_out = d_output;
    if (!d_out.absent() && !schedule_.full()) {
      Tensor3<Scalar>& copy = work.d_output[chunk_by_chunk ? 1 : network_.layers % 2];
      copy.resize(T, B, D * output_);
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

    const Index together = chunk_by_chunk ? network_.layers : 1;
    for (Index above = network_.layers; above > 0; above -= together) {
      Index first = 0;
      for (Index last = T; last > 0; last = first) {
        first = chunk_begin(schedule_, D, last, most_rows);
        const Chunk chunk{first, last, most_rows};
        for (Index k = above - 1; k >= above - together; --k) {
          const bool top = k == network_.layers - 1;
          const Index from = chunk_by_chunk ? first : 0;  // the first step that `between` holds
          GradientFlow<Scalar> flow;
          flow.d_output = top ? d_out : ConstView(between(k + 1).view());
          flow.output_first = top ? 0 : from;
          if (k == 0) {
            flow.d_x = d_in.data();
          } else {
            between(k).resize(chunk_by_chunk ? last - first : T, B, D * output_);
            flow.d_x = between(k).data();
            flow.x_first = from;
          }
          if (D > 1 && last == T && flow.d_x != nullptr) {
            std::fill_n(flow.d_x, T * B * network_.sizes(k).input, Scalar(0));
          }
          layer_backward(chunk, k, tape, flow, start, gradients);
        }
      }
    }
    give_initial_gradients(work, d_initial);
    if (!to_caller && !d_input.absent()) {
      give_running<Scalar>(schedule_, d_in, d_input);
    }
  }

 private:
  // One of something for each direction; without a second direction the last is not used.
  template <class T>
  using PerDirection = std::array<T, 2>;
  template <class T>
  std::span<const T> in_use(const PerDirection<T>& both) const {
    return {both.data(), static_cast<std::size_t>(network_.directions)};
  }

  bool projected() const { return output_ != hidden_; }

  // The most rows of a chunk of backward, the same for all layers: x and h are copied beside the
  // slots.
  Index most_rows_backward() const {
    Index input = 0;
    for (Index k = 0; k < network_.layers; ++k) {
      input = std::max(input, network_.sizes(k).input);
    }
    const Index width = math::slot_count<E> * hidden_ + input + output_;
    const Index rows = chunk_rows<Scalar>(width, enough_rows_backward);
    return std::min(std::max(rows, schedule_.batch), schedule_.steps * schedule_.batch);
  }

  // One layer, one chunk.
  void layer_backward(const Chunk& chunk, Index k, Tape<Scalar>& tape,
                      const GradientFlow<Scalar>& flow, kernels::Start start,
                      std::span<CellParameters<Scalar>> gradients) const {
    static const Tensor3<Scalar> nothing;
    const LayerTape<Scalar>& record = tape.layers[static_cast<std::size_t>(k)];
    const Index B = schedule_.batch;
    const Index width = network_.sizes(k).input;
    const Scalar* in = record.input.data();
    Index in_row = width;
    if (k == 0 && !tape.borrowed.absent()) {
      in = tape.borrowed.data();
      in_row = tape.borrowed.stride(B > 1 ? 1 : 0);
    } else if (record.input.size(2) == 0) {  // not behind dropout: the output below
      in = tape.layers[static_cast<std::size_t>(k) - 1].h.data() + B * width;
    }
    PerDirection<DirectionBuffers<const Scalar>> recorded;
    PerDirection<CellParameters<Scalar>*> cell_gradients{};
    const auto directions = static_cast<std::size_t>(network_.directions);
    for (std::size_t d = 0; d < std::min(directions, recorded.size()); ++d) {
      recorded[d] = direction_buffers<const Scalar>(static_cast<Index>(d), record.h, record.c,
                                                    record.slots[d],
                                                    projected() ? record.unprojected[d] : nothing);
      cell_gradients[d] = &gradients[static_cast<std::size_t>(k) * directions + d];
    }
    const PerDirection<Weights> weights = layer_weights(k);
    Layer<E, Scalar>(in_use(weights), schedule_)
        .backward(chunk, k, in, in_row, in_use(recorded), flow, tape.workspace, start,
                  in_use(cell_gradients));
    if (network_.directions == 1) {
      drop_out_backward(schedule_, chunk.first, chunk.last, record, flow.d_x, flow.x_first);
    } else if (chunk.first == 0) {  // complete when all steps are done
      drop_out_backward(schedule_, 0, schedule_.steps, record, flow.d_x, flow.x_first);
    }
  }

  PerDirection<Weights> layer_weights(Index layer) const {
    const auto weights = [&](Index d) {
      const auto k = static_cast<std::size_t>(layer * network_.directions + d);
      return Weights{network_.equations, network_.packed[k]};
    };
    return {weights(0), weights(network_.directions - 1)};
  }

  // One direction's part of a layer's tensors. A c of one slot is updated in place.
  template <class Element, class Tensor>
  DirectionBuffers<Element> direction_buffers(Index d, Tensor& h, Tensor& c, Tensor& slots,
                                              Tensor& unprojected) const {
    DirectionBuffers<Element> b;
    b.h = h.data() + d * output_;
    b.h_row = h.size(2);
    b.h_slot = h.size(1) * h.size(2);
    if constexpr (E::has_c) {
      b.c = c.data() + d * (c.size(2) / network_.directions);
      b.c_row = c.size(2);
      b.c_slot = c.size(0) == 1 ? 0 : c.size(1) * c.size(2);
    }
    b.slots = slots.data();
    b.unprojected = projected() ? unprojected.data() : nullptr;
    return b;
  }

  // ---- states, in the caller's order and in ours ----

  // Slot of the state before the first step, and after the last one, of a sequence.
  Index initial_slot(Index d, Index row) const { return d == 0 ? 0 : schedule_.length(row) + 1; }
  Index final_slot(Index d, Index row) const { return d == 0 ? schedule_.length(row) : 1; }

  void set_initial_state(const DirectionBuffers<Scalar>& buffer, Index layer, Index d,
                         const StateView& initial) const {
    for (Index row = 0; row < schedule_.batch; ++row) {
      copy_state(initial, layer * network_.directions + d, schedule_.source(row),
                 buffer.state(initial_slot(d, row), row));
    }
  }

  void get_final_state(const DirectionBuffers<Scalar>& buffer, Index layer, Index d,
                       const MutableState& final) const {
    for (Index row = 0; row < schedule_.batch; ++row) {
      store_state(buffer.state(final_slot(d, row), row), final, layer * network_.directions + d,
                  schedule_.source(row));
    }
  }

  // Gradients by the states, of all layers, layer outer and direction inner.
  kernels::StateRows<Scalar> d_state_of(Workspace<Scalar>& work, Index index, Index row) const {
    kernels::StateRows<Scalar> state{work.d_h.view().row(index, row), work.d_h.size(2), nullptr, 0};
    if constexpr (E::has_c) {
      state.c = work.d_c.view().row(index, row);
    }
    return state;
  }

  void get_final_gradients(const StateView& d_final, Workspace<Scalar>& work) const {
    const Index count = network_.layers * network_.directions;
    work.d_h.resize(count, schedule_.batch, kernels::whole_registers<Scalar>(output_));
    work.d_c.resize(E::has_c ? count : 0, schedule_.batch,
                    kernels::whole_registers<Scalar>(hidden_));
    for (Index index = 0; index < count; ++index) {
      for (Index row = 0; row < schedule_.batch; ++row) {
        copy_state(d_final, index, schedule_.source(row), d_state_of(work, index, row));
      }
    }
  }

  void give_initial_gradients(Workspace<Scalar>& work, const MutableState& d_initial) const {
    for (Index index = 0; index < network_.layers * network_.directions; ++index) {
      for (Index row = 0; row < schedule_.batch; ++row) {
        store_state(d_state_of(work, index, row), d_initial, index, schedule_.source(row));
      }
    }
  }

  void copy_state(const StateView& from, Index index, Index sequence,
                  const kernels::StateRows<Scalar>& to) const {
    copy_or_zero(from.h, index, sequence, to.h, output_);
    if constexpr (E::has_c) {
      copy_or_zero(from.c, index, sequence, to.c, hidden_);
    }
  }

  static void copy_or_zero(ConstView from, Index index, Index sequence, Scalar* to, Index count) {
    if (from.absent()) {
      std::fill_n(to, count, Scalar(0));
    } else {
      std::copy_n(from.row(index, sequence), count, to);
    }
  }

  void store_state(const kernels::StateRows<Scalar>& from, const MutableState& to, Index index,
                   Index sequence) const {
    std::copy_n(from.h, output_, to.h.row(index, sequence));
    if constexpr (E::has_c) {
      std::copy_n(from.c, hidden_, to.c.row(index, sequence));
    }
  }

  const Network<E, Scalar>& network_;
  const Schedule& schedule_;
  Index hidden_;
  Index output_;
};

}  // namespace recur::inline RECUR_ABI::layers
