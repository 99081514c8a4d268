// SPDX-License-Identifier: MIT
//
// The second unit, see two_units_a.cpp.
#include <recur/recur.hpp>

RECUR_DEFINE_LAYER(recur::math::RNN, double)

const char* version_of_b();
recur::Index output_size_of_b();

const char* version_of_b() { return recur::version; }

recur::Index output_size_of_b() {
  recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
  const recur::Tensor3<float> x(5, 2, 3);
  const auto result = lstm.forward(x);
  return result.output.size(2);
}
