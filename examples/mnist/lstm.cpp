// SPDX-License-Identifier: MIT
#include "run.hpp"

void mnist::run_lstm(const Settings& s, const Mnist& data) {
  run<recur::LSTM>(s, data,
                   recur::RecurrentOptions{.input_size = image_side,
                                           .hidden_size = s.hidden,
                                           .num_layers = s.layers,
                                           .batch_first = true,
                                           .dropout = s.dropout,
                                           .bidirectional = s.bidirectional});
}
