// SPDX-License-Identifier: MIT
//
// The control: what the other snippets do wrong, done right.
// expect: success
#include <recur/core/tensor.hpp>

float use() {
  recur::Tensor3<float> x(5, 2, 3);
  x(4, 1, 2) = 1.0F;
  const recur::Tensor3View<const float> view = x;
  return view(4, 1, 2);
}
