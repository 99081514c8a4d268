// SPDX-License-Identifier: MIT
// expect: constraint|Equations
#include "recur/layers/stack.hpp"

struct Forgetful {
  static constexpr const char* name = "Forgetful";
  static constexpr bool can_project = false;
  static constexpr int gates = 1;
  static constexpr int shared_gates = 1;
  static constexpr bool has_c = false;
  template <class V>
  void forward(recur::math::Slots<Forgetful, V>&, const recur::math::UnitState<V>&, recur::math::UnitState<V>&) const {}
};
recur::Recurrent<Forgetful, float>* layer;
