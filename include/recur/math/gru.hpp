// SPDX-License-Identifier: MIT
//
// Gated recurrent unit (torch.nn.GRU; Cho et al. 2014, with the reset gate after the product):
//
//   r = σ(W_ir x + b_ir + W_hr h + b_hr)            reset gate
//   z = σ(W_iz x + b_iz + W_hz h + b_hz)            update gate
//   n = tanh(W_in x + b_in + r (W_hn h + b_hn))     candidate
//   h' = (1 - z) n + z h
//
// Rows of the weights: r, z, n. The two halves of n are needed apart.
#pragma once

#include "recur/math/activations.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::math {

struct GRU {
  static constexpr const char* name = "GRU";
  static constexpr bool can_project = false;
  static constexpr int gates = 3;
  static constexpr int shared_gates = 2;
  static constexpr bool has_c = false;
  static constexpr const char* slot_names[] = {"r", "z", "n", "hn"};

  // hn = W_hn h + b_hn
  template <class V>
  void forward(Slots<GRU, V>& slots, const UnitState<V>& prev, UnitState<V>& next) const {
    auto& [r, z, n, hn] = slots;
    r = sigmoid(r);
    z = sigmoid(z);
    n = tanh(n + r * hn);
    next.h = n + z * (prev.h - n);
  }

  template <class V>
  void backward(Slots<GRU, V>& slots, const UnitState<V>& prev, const UnitState<V>& /*next*/,
                UnitState<V>& d) const {
    const auto [r, z, n, hn] = slots;
    auto& [dr, dz, dn, dhn] = slots;
    dn = d.h * ((V(1) - z) * d_tanh(n));
    dz = d.h * ((prev.h - n) * d_sigmoid(z));
    dr = dn * (hn * d_sigmoid(r));
    dhn = dn * r;
    d.h = d.h * z;
  }
};

}  // namespace recur::inline RECUR_ABI::math
