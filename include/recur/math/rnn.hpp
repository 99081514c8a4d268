// SPDX-License-Identifier: MIT
//
// The Elman network (torch.nn.RNN):
//
//   h' = tanh(W_ih x + b_ih + W_hh h + b_hh)      or relu instead of tanh
#pragma once

#include "recur/math/activations.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI {

/// The activation of an RNN.
enum class Nonlinearity { tanh, relu };

namespace math {

struct RNN {
  static constexpr const char* name = "RNN";
  static constexpr bool can_project = false;
  static constexpr int gates = 1;
  static constexpr int shared_gates = 1;
  static constexpr bool has_c = false;
  static constexpr bool backward_reads_slots = false;  // h' says it all

  Nonlinearity nonlinearity = Nonlinearity::tanh;

  template <class V>
  void forward(Slots<RNN, V>& slots, const UnitState<V>& /*prev*/, UnitState<V>& next) const {
    auto& [a] = slots;
    next.h = nonlinearity == Nonlinearity::tanh ? tanh(a) : relu(a);
  }

  template <class V>
  void backward(Slots<RNN, V>& slots, const UnitState<V>& /*prev*/, const UnitState<V>& next,
                UnitState<V>& d) const {
    auto& [da] = slots;
    da = nonlinearity == Nonlinearity::tanh ? d.h * d_tanh(next.h) : d_relu(next.h, d.h);
    d.h = V(0);
  }
};

}  // namespace math
}  // namespace recur::inline RECUR_ABI
