// SPDX-License-Identifier: MIT
#include "recur/math/gru_reset_before.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"

namespace gru_reset_before_test {
namespace {

namespace math = recur::math;
using Equations = math::GRUResetBefore;

static_assert(math::TwoProducts<Equations>);
static_assert(!math::TwoProducts<math::GRU>);

TEST(GRUResetBeforeEquations, HandComputed) {
  const double ln2 = std::log(2.0);
  const double ln3 = std::log(3.0);
  math::Slots<Equations, double> slots{0.0, ln3, 0, 0};  // r z n rh
  const math::UnitState<double> prev{0.2, 0};
  math::UnitState<double> next{};
  Equations().operand(slots, prev);
  EXPECT_DOUBLE_EQ(slots[0], 0.5);
  EXPECT_DOUBLE_EQ(slots[1], 0.75);
  EXPECT_DOUBLE_EQ(slots[3], 0.1);
  slots[2] = ln2;  // W_in x + W_hn rh + biases
  Equations().forward(slots, prev, next);
  EXPECT_DOUBLE_EQ(slots[2], 0.6);
  EXPECT_DOUBLE_EQ(next.h, 0.25 * 0.6 + 0.75 * 0.2);

  const auto recorded = slots;
  math::UnitState<double> d{2.0, 0};
  Equations().backward(slots, prev, next, d);
  EXPECT_DOUBLE_EQ(slots[1], 2.0 * (0.2 - 0.6) * 0.75 * 0.25);
  EXPECT_DOUBLE_EQ(slots[2], 2.0 * 0.25 * (1 - 0.36));
  EXPECT_DOUBLE_EQ(slots[3], 0.1);
  EXPECT_DOUBLE_EQ(d.h, 2.0 * 0.75);
  Equations().backward_operand(recorded, slots, 3.0, prev, d);
  EXPECT_DOUBLE_EQ(slots[0], 3.0 * 0.2 * 0.25);
  EXPECT_DOUBLE_EQ(d.h, 2.0 * 0.75 + 3.0 * 0.5);
}

}  // namespace
}  // namespace gru_reset_before_test
