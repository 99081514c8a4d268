// SPDX-License-Identifier: MIT
//
// The layers that most tests use, compiled once: in support/instances/.
#pragma once

#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/instances.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

RECUR_DECLARE_LAYER(recur::math::LSTM, float)
RECUR_DECLARE_LAYER(recur::math::LSTM, double)
RECUR_DECLARE_LAYER(recur::math::GRU, float)
RECUR_DECLARE_LAYER(recur::math::GRU, double)
RECUR_DECLARE_LAYER(recur::math::GRUResetBefore, float)
RECUR_DECLARE_LAYER(recur::math::GRUResetBefore, double)
RECUR_DECLARE_LAYER(recur::math::RNN, float)
RECUR_DECLARE_LAYER(recur::math::RNN, double)
