// SPDX-License-Identifier: MIT
#include "support/instances.hpp"

RECUR_DEFINE_LAYER(recur::math::GRU, float)
RECUR_DEFINE_LAYER(recur::math::GRU, double)
