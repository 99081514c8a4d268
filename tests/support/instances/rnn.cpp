// SPDX-License-Identifier: MIT
#include "support/instances.hpp"

RECUR_DEFINE_LAYER(recur::math::RNN, float)
RECUR_DEFINE_LAYER(recur::math::RNN, double)
