// SPDX-License-Identifier: MIT
// expect: the matrix must hold the layer's scalar
#include "recur/layers/lstm.hpp"

void f() {
  const recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
  lstm.forward(recur::RowMatrix<double>(5, 3));
}
