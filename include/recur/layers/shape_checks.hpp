// SPDX-License-Identifier: MIT
//
// The checks of what a recurrent module is given, before anything is written. The texts are
// PyTorch's where it has one.
#pragma once

#include <initializer_list>

#include "recur/core/state.hpp"
#include "recur/layers/tape.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::layers {

/// The sizes of a module.
struct ModuleSizes {
  Index input = 0;   ///< I
  Index hidden = 0;  ///< H
  Index output = 0;  ///< H_out: proj_size or H
  Index layers = 1;
  Index directions = 1;

  Index states() const { return layers * directions; }    ///< rows of h and c
  Index features() const { return directions * output; }  ///< of the output
};

/// Checks against these sizes; each throws Error unless they fit.
template <math::Equations E, class Scalar>
struct ShapeChecks {
  using ConstView = Tensor3View<const Scalar>;
  using StateView = StateOf<E, ConstView>;

  ModuleSizes n;

  /// Of forward, in PyTorch's order: the input's features, the initial states, the time steps.
  void input(Index features, const StateView& state, Index batch, Index steps) const {
    check(features == n.input, "input.size(-1) must be equal to input_size. Expected ", n.input,
          ", got ", features);
    optional(E::has_c ? "hidden[0]" : "hidden", state.h, {n.states(), batch, n.output});
    if constexpr (E::has_c) {
      optional("hidden[1]", state.c, {n.states(), batch, n.hidden});
    }
    check(steps > 0, "Expected sequence length to be larger than 0 in RNN");
  }

  void state_gradients(const StateView& d_state, Index batch) const {
    optional("d_state.h", d_state.h, {n.states(), batch, n.output});
    if constexpr (E::has_c) {
      optional("d_state.c", d_state.c, {n.states(), batch, n.hidden});
    }
  }

  /// An array that may be left out.
  static void optional(const char* what, const ConstView& given,
                       std::initializer_list<Index> expected) {
    const Index* e = expected.begin();
    if (!given.absent() &&
        (given.size(0) != e[0] || given.size(1) != e[1] || given.size(2) != e[2])) {
      fail("Expected ", what, " size ", shape_string(expected), ", got [", given.size(0), ", ",
           given.size(1), ", ", given.size(2), "]");
    }
  }

  /// A tape of another layer, or of none, would be read out of bounds.
  void tape(const Tape<Scalar>& tape, const char* function) const {
    check(tape.layers.size() == static_cast<std::size_t>(n.layers), E::name, "::", function,
          ": expected a tape of ", n.layers, " layers, got ", tape.layers.size(),
          " (call forward with this tape first)");
    const LayerTape<Scalar>& first = tape.layers[0];
    check(first.input.size(2) == n.input && first.h.size(2) == n.features() &&
              first.slots.size() == static_cast<std::size_t>(n.directions) &&
              first.slots[0].size(2) == math::slot_count<E> * n.hidden &&
              // LSTM and GRU have as many slots
              first.c.size(0) == (E::has_c ? tape.schedule.steps + n.directions : 0),
          E::name, "::", function, ": the tape was recorded by a layer of other sizes");
  }
};

}  // namespace recur::inline RECUR_ABI::layers
