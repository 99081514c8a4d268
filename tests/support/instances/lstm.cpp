// SPDX-License-Identifier: MIT
#include "support/instances.hpp"

RECUR_DEFINE_LAYER(recur::math::LSTM, float)
RECUR_DEFINE_LAYER(recur::math::LSTM, double)
