// SPDX-License-Identifier: MIT
//
// The activations and their derivatives, for any scalar. A derivative is a function of the *output*
// of its activation, which is what the forward pass keeps.
#pragma once

#include <cmath>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::math {

/// σ(x) = 1 / (1 + exp(-x))
template <class V>
V sigmoid(const V& x) {
  using std::exp;
  return V(1) / (V(1) + exp(-x));
}

/// tanh(x)
template <class V>
V tanh(const V& x) {
  using std::tanh;
  return tanh(x);
}

/// max(x, 0); NaN stays NaN
template <class V>
V relu(const V& x) {
  return x < V(0) ? V(0) : x;
}

/// dσ/dx, s = σ(x)
template <class V>
V d_sigmoid(const V& s) {
  return s * (V(1) - s);
}

/// d tanh/dx, t = tanh(x)
template <class V>
V d_tanh(const V& t) {
  return V(1) - t * t;
}

/// d relu/dx · dy, y = relu(x)
template <class V>
V d_relu(const V& y, const V& dy) {
  return y > V(0) ? dy : V(0);
}

}  // namespace recur::inline RECUR_ABI::math
