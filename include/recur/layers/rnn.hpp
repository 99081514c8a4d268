// SPDX-License-Identifier: MIT
//
// torch.nn.RNN.
#pragma once

#include "recur/layers/stack.hpp"
#include "recur/math/rnn.hpp"

namespace recur::inline RECUR_ABI {

/// Elman network, equations in math/rnn.hpp; members in layers/stack.hpp (Recurrent).
///
///     recur::RNN<float> rnn({.input_size = 3,
///                            .hidden_size = 5,
///                            .nonlinearity = recur::Nonlinearity::relu});
///     recur::Tensor3<float> x(7, 2, 3);         // (T, B, I)
///     auto [output, state] = rnn.forward(x);    // (7, 2, 5); state.h (1, 2, 5)
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using RNN = Recurrent<math::RNN, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
