// SPDX-License-Identifier: MIT
//
// The GRU whose reset gate acts before the product: Keras's reset_after=False, ONNX's
// linear_before_reset=0.
#pragma once

#include "recur/layers/stack.hpp"
#include "recur/math/gru_reset_before.hpp"

namespace recur::inline RECUR_ABI {

/// Gated recurrent unit, equations in math/gru_reset_before.hpp; members in layers/stack.hpp
/// (Recurrent); parameters by the names and with the shapes of torch.nn.GRU, which has the reset
/// gate behind the product and computes something else with them.
///
///     recur::GRUResetBefore<double> gru({.input_size = 3, .hidden_size = 5});
///     recur::Tensor3<double> x(7, 2, 3);        // (T, B, I)
///     auto [output, state] = gru.forward(x);    // (7, 2, 5); state.h (1, 2, 5)
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using GRUResetBefore = Recurrent<math::GRUResetBefore, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
