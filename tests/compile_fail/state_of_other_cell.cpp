// SPDX-License-Identifier: MIT
// expect: convert|no matching
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"

void f(const recur::LSTM<float>& lstm, const recur::Tensor3<float>& x, const recur::GRU<float>::State& state) {
  lstm.forward(x, state);
}
