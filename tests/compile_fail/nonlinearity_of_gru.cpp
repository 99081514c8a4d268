// SPDX-License-Identifier: MIT
// expect: nonlinearity
#include "recur/layers/gru.hpp"

recur::GRU<float> gru({.input_size = 3, .hidden_size = 4, .nonlinearity = recur::Nonlinearity::relu});
