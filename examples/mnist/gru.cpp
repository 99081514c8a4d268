// SPDX-License-Identifier: MIT
#include "run.hpp"

void mnist::run_gru(const Settings& s, const Mnist& data) {
  run<recur::GRU>(s, data,
                  recur::RecurrentOptions{.input_size = image_side,
                                          .hidden_size = s.hidden,
                                          .num_layers = s.layers,
                                          .batch_first = true,
                                          .dropout = s.dropout,
                                          .bidirectional = s.bidirectional});
}
