// SPDX-License-Identifier: MIT
//
// torch.nn.LSTM.
#pragma once

#include "recur/layers/stack.hpp"
#include "recur/math/lstm.hpp"

namespace recur::inline RECUR_ABI {

/// Long short-term memory, equations in math/lstm.hpp; members in layers/stack.hpp (Recurrent).
///
///     #include <recur/recur.hpp>
///     int main() {
///       recur::LSTM<float> lstm({.input_size = 28, .hidden_size = 100, .num_layers = 2});
///       recur::Tensor3<float> x(50, 8, 28);             // (T, B, I)
///       auto [output, state] = lstm.forward(x);         // (50, 8, 100); state.h, .c (2, 8, 100)
///     }
///
/// Sizes may be given as template arguments: `recur::LSTM<float, 28, 100> lstm;`.
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using LSTM = Recurrent<math::LSTM, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
