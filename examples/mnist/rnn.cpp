// SPDX-License-Identifier: MIT
#include "run.hpp"

void mnist::run_rnn(const Settings& s, const Mnist& data) {
  run<recur::RNN>(s, data,
                  recur::RNNOptions{.input_size = image_side,
                                    .hidden_size = s.hidden,
                                    .num_layers = s.layers,
                                    .nonlinearity = s.cell == "rnn" ? recur::Nonlinearity::tanh
                                                                    : recur::Nonlinearity::relu,
                                    .batch_first = true,
                                    .dropout = s.dropout,
                                    .bidirectional = s.bidirectional});
}
