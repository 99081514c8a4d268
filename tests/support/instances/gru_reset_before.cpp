// SPDX-License-Identifier: MIT
#include "support/instances.hpp"

RECUR_DEFINE_LAYER(recur::math::GRUResetBefore, float)
RECUR_DEFINE_LAYER(recur::math::GRUResetBefore, double)
