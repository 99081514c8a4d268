// SPDX-License-Identifier: MIT
// expect: the weights must be of the layer's kind
#include "recur/io/keras.hpp"

void load(recur::GRU<float>& gru, const recur::KerasGRUResetBefore<float>& weights) {
  recur::load_keras(gru, weights);
}
