// SPDX-License-Identifier: MIT
//
// A view of const elements is read only.
// expect: read-only location|cannot assign to return value
#include <recur/core/tensor.hpp>

void use(recur::Tensor3View<const float> view) { view(0, 0, 0) = 1.0F; }
