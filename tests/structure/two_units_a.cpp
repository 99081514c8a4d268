// SPDX-License-Identifier: MIT
//
// With two_units_b.cpp: the whole library in two translation units of one program. A function that
// lacks `inline` does not link; an object that lacks it exists twice.
#include <cstdio>

#include <recur/recur.hpp>

RECUR_DECLARE_LAYER(recur::math::RNN, double)  // defined in two_units_b.cpp

const char* version_of_b();
recur::Index output_size_of_b();

int main() {
  recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
  const recur::Tensor3<float> x(5, 2, 3);
  const auto result = lstm.forward(x);
  if (result.output.size(2) != output_size_of_b()) {
    std::puts("the two units disagree on the size of the output");
    return 1;
  }
  if (version_of_b() != static_cast<const char*>(recur::version)) {
    std::puts("recur::version exists twice");
    return 1;
  }
  // Forward and backward are in the other unit.
  recur::RNN<double> rnn({.input_size = 3, .hidden_size = 4});
  recur::RNN<double>::Tape tape;
  const auto [output, state] = rnn.forward(recur::Tensor3<double>(5, 2, 3), {}, tape);
  if (rnn.backward(tape, output).input.size(2) != 3) {
    std::puts("a layer of the other unit has another input");
    return 1;
  }
  return 0;
}
