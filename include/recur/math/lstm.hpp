// SPDX-License-Identifier: MIT
//
// Long short-term memory (torch.nn.LSTM; Hochreiter & Schmidhuber 1997, Gers et al. 2000):
//
//   i = σ(W_ii x + b_ii + W_hi h + b_hi)      input gate
//   f = σ(W_if x + b_if + W_hf h + b_hf)      forget gate
//   g = tanh(W_ig x + b_ig + W_hg h + b_hg)   candidate
//   o = σ(W_io x + b_io + W_ho h + b_ho)      output gate
//   c' = f c + i g
//   h' = o tanh(c')
//
// Rows of the weights: i, f, g, o. With a projection the stack multiplies h' by W_hr afterwards.
#pragma once

#include "recur/math/activations.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::math {

struct LSTM {
  static constexpr const char* name = "LSTM";
  static constexpr bool can_project = true;
  static constexpr int gates = 4;
  static constexpr int shared_gates = 4;
  static constexpr bool has_c = true;
  static constexpr const char* slot_names[] = {"i", "f", "g", "o"};

  template <class V>
  void forward(Slots<LSTM, V>& slots, const UnitState<V>& prev, UnitState<V>& next) const {
    auto& [i, f, g, o] = slots;
    i = sigmoid(i);
    f = sigmoid(f);
    g = tanh(g);
    o = sigmoid(o);
    next.c = f * prev.c + i * g;
    next.h = o * tanh(next.c);
  }

  template <class V>
  void backward(Slots<LSTM, V>& slots, const UnitState<V>& prev, const UnitState<V>& next,
                UnitState<V>& d) const {
    const auto [i, f, g, o] = slots;
    const V tanh_c = tanh(next.c);  // recomputed: cheaper than the memory to keep it
    const V dc = d.c + d.h * (o * d_tanh(tanh_c));
    auto& [di, df, dg, do_] = slots;
    di = dc * (g * d_sigmoid(i));
    df = dc * (prev.c * d_sigmoid(f));
    dg = dc * (i * d_tanh(g));
    do_ = d.h * (tanh_c * d_sigmoid(o));
    d.h = V(0);
    d.c = dc * f;
  }
};

}  // namespace recur::inline RECUR_ABI::math
