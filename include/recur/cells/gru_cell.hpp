// SPDX-License-Identifier: MIT
//
// torch.nn.GRUCell.
#pragma once

#include "recur/cells/cell.hpp"
#include "recur/math/gru.hpp"

namespace recur::inline RECUR_ABI {

/// One step of the GRU, equations in math/gru.hpp; members in cells/cell.hpp (Cell).
///
///     recur::GRUCell<float> cell({.input_size = 10, .hidden_size = 20});
///     recur::RowMatrix<float> x(8, 10);             // (B × I)
///     auto next = cell.forward(x, {h});             // next.h (8 × 20)
template <class Scalar, int InputSize = Dynamic, int HiddenSize = Dynamic>
using GRUCell = Cell<math::GRU, Scalar, InputSize, HiddenSize>;

}  // namespace recur::inline RECUR_ABI
