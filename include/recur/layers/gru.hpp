// SPDX-License-Identifier: MIT
//
// torch.nn.GRU.
#pragma once

#include "recur/layers/stack.hpp"
#include "recur/math/gru.hpp"

namespace recur::inline RECUR_ABI {

/// Gated recurrent unit, equations in math/gru.hpp; members in layers/stack.hpp (Recurrent).
///
///     recur::GRU<double> gru({.input_size = 3, .hidden_size = 5, .bidirectional = true});
///     recur::Tensor3<double> x(7, 2, 3);        // (T, B, I)
///     auto [output, state] = gru.forward(x);    // (7, 2, 10); state.h (2, 2, 5)
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using GRU = Recurrent<math::GRU, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
