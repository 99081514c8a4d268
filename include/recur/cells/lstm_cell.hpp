// SPDX-License-Identifier: MIT
//
// torch.nn.LSTMCell.
#pragma once

#include "recur/cells/cell.hpp"
#include "recur/math/lstm.hpp"

namespace recur::inline RECUR_ABI {

/// One step of the LSTM, equations in math/lstm.hpp; members in cells/cell.hpp (Cell).
///
///     recur::LSTMCell<float> cell({.input_size = 10, .hidden_size = 20});
///     recur::RowMatrix<float> x(8, 10);             // (B × I)
///     auto next = cell.forward(x, {h, c});          // next.h, next.c (8 × 20)
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using LSTMCell = Cell<math::LSTM, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
