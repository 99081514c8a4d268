// SPDX-License-Identifier: MIT
//
// The program for each kind of cell; s.cell says whether an RNN's activation is tanh or relu.
#pragma once

#include "idx.hpp"
#include "settings.hpp"

namespace mnist {

void run_lstm(const Settings& s, const Mnist& data);
void run_gru(const Settings& s, const Mnist& data);
void run_rnn(const Settings& s, const Mnist& data);

}  // namespace mnist
