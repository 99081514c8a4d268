// SPDX-License-Identifier: MIT
#include "recur/math/lstm.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace lstm_test {
namespace {

namespace math = recur::math;

// σ(ln 3) = 3/4, σ(0) = 1/2, σ(-ln 3) = 1/4, tanh(ln 2) = 3/5.
TEST(LSTMEquations, HandComputed) {
  const double ln2 = std::log(2.0);
  const double ln3 = std::log(3.0);
  math::Slots<math::LSTM, double> slots{ln3, 0.0, ln2, -ln3};  // i f g o
  const math::UnitState<double> prev{0.1, 2 * ln2 - 0.9};
  math::UnitState<double> next{};
  math::LSTM().forward(slots, prev, next);
  EXPECT_DOUBLE_EQ(slots[0], 0.75);
  EXPECT_DOUBLE_EQ(slots[1], 0.5);
  EXPECT_DOUBLE_EQ(slots[2], 0.6);
  EXPECT_DOUBLE_EQ(slots[3], 0.25);
  EXPECT_DOUBLE_EQ(next.c, ln2);         // 0.5 (2 ln 2 - 0.9) + 0.75 · 0.6
  EXPECT_DOUBLE_EQ(next.h, 0.25 * 0.6);  // o tanh(ln 2)

  math::UnitState<double> d{2.0, 0.5};
  math::LSTM().backward(slots, prev, next, d);
  const double dc = 0.5 + 2.0 * 0.25 * (1 - 0.36);
  EXPECT_DOUBLE_EQ(slots[0], dc * 0.6 * 0.75 * 0.25);
  EXPECT_DOUBLE_EQ(slots[1], dc * prev.c * 0.25);
  EXPECT_DOUBLE_EQ(slots[2], dc * 0.75 * (1 - 0.36));
  EXPECT_DOUBLE_EQ(slots[3], 2.0 * 0.6 * 0.25 * 0.75);
  EXPECT_EQ(d.h, 0.0);  // h goes through W_hh only
  EXPECT_DOUBLE_EQ(d.c, dc * 0.5);
}

TEST(LSTMEquations, OpenForgetGateKeepsC) {
  math::Slots<math::LSTM, double> slots{-1000, 1000, 3, 0};
  const math::UnitState<double> prev{0, 1.25};
  math::UnitState<double> next{};
  math::LSTM().forward(slots, prev, next);
  EXPECT_EQ(next.c, 1.25);
}

}  // namespace
}  // namespace lstm_test
