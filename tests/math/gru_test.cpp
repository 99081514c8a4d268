// SPDX-License-Identifier: MIT
#include "recur/math/gru.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace gru_test {
namespace {

namespace math = recur::math;

TEST(GRUEquations, HandComputed) {
  const double ln2 = std::log(2.0);
  const double ln3 = std::log(3.0);
  math::Slots<math::GRU, double> slots{0.0, ln3, ln2 - 0.5, 1.0};  // r z n W_hn h + b_hn
  const math::UnitState<double> prev{0.2, 0};
  math::UnitState<double> next{};
  math::GRU().forward(slots, prev, next);
  EXPECT_DOUBLE_EQ(slots[0], 0.5);
  EXPECT_DOUBLE_EQ(slots[1], 0.75);
  EXPECT_DOUBLE_EQ(slots[2], 0.6);  // tanh(ln 2 - 0.5 + 0.5 · 1)
  EXPECT_EQ(slots[3], 1.0);
  EXPECT_DOUBLE_EQ(next.h, 0.25 * 0.6 + 0.75 * 0.2);

  math::UnitState<double> d{2.0, 0};
  math::GRU().backward(slots, prev, next, d);
  const double dn = 2.0 * 0.25 * (1 - 0.36);
  EXPECT_DOUBLE_EQ(slots[0], dn * 1.0 * 0.25);
  EXPECT_DOUBLE_EQ(slots[1], 2.0 * (0.2 - 0.6) * 0.75 * 0.25);
  EXPECT_DOUBLE_EQ(slots[2], dn);
  EXPECT_DOUBLE_EQ(slots[3], dn * 0.5);
  EXPECT_DOUBLE_EQ(d.h, 2.0 * 0.75);  // besides what goes through W_hh
}

// z = 1 keeps the state: PyTorch's sign of z, which others turn round.
TEST(GRUEquations, OpenUpdateGateKeepsH) {
  math::Slots<math::GRU, double> slots{0, 1000, 3, 1};
  const math::UnitState<double> prev{0.3, 0};
  math::UnitState<double> next{};
  math::GRU().forward(slots, prev, next);
  EXPECT_DOUBLE_EQ(next.h, 0.3);
}

}  // namespace
}  // namespace gru_test
