// SPDX-License-Identifier: MIT
// expect: a size given as template argument must be positive
#include "recur/layers/gru.hpp"

recur::GRU<float, 3, 0> gru;
