// SPDX-License-Identifier: MIT
// expect: the gradients of a module have the type of its Parameters
#include "recur/layers/lstm.hpp"

void f(recur::LSTM<float>& lstm, const recur::LSTM<double>::Parameters& gradients) {
  recur::update_parameters_with(lstm, [](auto&, const auto&) {}, gradients);
}
