// SPDX-License-Identifier: MIT
//
// Gated recurrent unit as it was first published (Cho et al. 2014): the reset gate acts on the
// state, before the product. PyTorch's GRU (math/gru.hpp) has it behind the product and cannot
// compute this one; in Keras it is reset_after=False, in ONNX linear_before_reset=0.
//
//   r = σ(W_ir x + b_ir + W_hr h + b_hr)            reset gate
//   z = σ(W_iz x + b_iz + W_hz h + b_hz)            update gate
//   n = tanh(W_in x + b_in + W_hn (r h) + b_hn)     candidate
//   h' = (1 - z) n + z h
//
// Rows of the weights: r, z, n, as PyTorch's GRU. Two products, one after the other, a step.
#pragma once

#include "recur/math/activations.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::math {

struct GRUResetBefore {
  static constexpr const char* name = "GRUResetBefore";
  static constexpr bool can_project = false;
  static constexpr int gates = 3;
  static constexpr int shared_gates = 2;
  static constexpr bool has_c = false;
  static constexpr const char* slot_names[] = {"r", "z", "n", "rh"};

  // rh = r h, what W_hn is multiplied by
  template <class V>
  void operand(Slots<GRUResetBefore, V>& slots, const UnitState<V>& prev) const {
    auto& [r, z, n, rh] = slots;
    r = sigmoid(r);
    z = sigmoid(z);
    rh = r * prev.h;
  }

  template <class V>
  void forward(Slots<GRUResetBefore, V>& slots, const UnitState<V>& prev,
               UnitState<V>& next) const {
    auto& [r, z, n, rh] = slots;
    n = tanh(n);
    next.h = n + z * (prev.h - n);
  }

  template <class V>
  void backward(Slots<GRUResetBefore, V>& slots, const UnitState<V>& prev,
                const UnitState<V>& /*next*/, UnitState<V>& d) const {
    const auto [r, z, n, rh] = slots;
    slots[1] = d.h * (prev.h - n) * d_sigmoid(z);
    slots[2] = d.h * (V(1) - z) * d_tanh(n);
    d.h = d.h * z;
  }

  template <class V>
  void backward_operand(const Slots<GRUResetBefore, V>& recorded, Slots<GRUResetBefore, V>& slots,
                        const V& d_rh, const UnitState<V>& prev, UnitState<V>& d) const {
    const V r = recorded[0];
    slots[0] = d_rh * prev.h * d_sigmoid(r);
    d.h = d.h + d_rh * r;
  }
};

}  // namespace recur::inline RECUR_ABI::math
