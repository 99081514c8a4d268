// SPDX-License-Identifier: MIT
//
// A cell that the library does not have, in one struct, as a user would add it: the minimal gated
// unit (Zhou et al. 2016), here with the forget gate after the product, as the GRU's reset gate:
//
//   f = σ(W_if x + b_if + W_hf h + b_hf)
//   n = tanh(W_in x + b_in + f (W_hn h + b_hn))
//   h' = (1 - f) h + f n
#pragma once

#include "recur/math/activations.hpp"
#include "recur/math/cell.hpp"

namespace recur::test {

struct MinimalGatedUnit {
  static constexpr const char* name = "MGU";
  static constexpr bool can_project = false;
  static constexpr int gates = 2;
  static constexpr int shared_gates = 1;
  static constexpr bool has_c = false;
  static constexpr const char* slot_names[] = {"f", "n", "hn"};

  // hn = W_hn h + b_hn
  template <class V>
  void forward(math::Slots<MinimalGatedUnit, V>& slots, const math::UnitState<V>& prev,
               math::UnitState<V>& next) const {
    using math::sigmoid;
    using math::tanh;
    auto& [f, n, hn] = slots;
    f = sigmoid(f);
    n = tanh(n + f * hn);
    next.h = prev.h + f * (n - prev.h);
  }

  template <class V>
  void backward(math::Slots<MinimalGatedUnit, V>& slots, const math::UnitState<V>& prev,
                const math::UnitState<V>& /*next*/, math::UnitState<V>& d) const {
    using math::d_sigmoid;
    using math::d_tanh;
    const auto [f, n, hn] = slots;
    auto& [df, dn, dhn] = slots;
    dn = d.h * f * d_tanh(n);
    df = (d.h * (n - prev.h) + dn * hn) * d_sigmoid(f);
    dhn = dn * f;
    d.h = d.h * (V(1) - f);
  }
};

}  // namespace recur::test
