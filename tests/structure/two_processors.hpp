// SPDX-License-Identifier: MIT
//
// What both units of the program two_processors do, each compiled for another processor.
#pragma once

#include <typeinfo>

#include <recur/core/random.hpp>
#include <recur/layers/lstm.hpp>

struct Outcome {
  const char* type;  ///< of the layer
  double output;
};

/// An LSTM with the weights of seed 0, over five steps of ones; and an error that is thrown.
static Outcome run_here(bool wrong_input) {
  recur::manual_seed(0);
  const recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 20});
  recur::Tensor3<double> x(5, 2, wrong_input ? 4 : 3);
  x.rows().setOnes();
  return {typeid(lstm).name(), lstm.forward(x).output(4, 1, 7)};
}
