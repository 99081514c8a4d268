// SPDX-License-Identifier: MIT
//
// A tensor that owns its elements can be written.
// expect: an owner's elements can be written
#include <recur/core/tensor.hpp>

recur::Index use(const recur::Tensor3<const float>& x) { return x.size(); }
