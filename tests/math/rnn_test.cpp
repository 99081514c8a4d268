// SPDX-License-Identifier: MIT
#include "recur/math/rnn.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace rnn_test {
namespace {

namespace math = recur::math;
using recur::Nonlinearity;

TEST(RNNEquations, Tanh) {
  const math::RNN rnn;
  math::Slots<math::RNN, double> slots{std::log(2.0)};
  math::UnitState<double> next{};
  rnn.forward(slots, math::UnitState<double>{}, next);
  EXPECT_DOUBLE_EQ(next.h, 0.6);

  math::UnitState<double> d{2.0, 0};
  rnn.backward(slots, math::UnitState<double>{}, next, d);
  EXPECT_DOUBLE_EQ(slots[0], 2.0 * (1 - 0.36));
  EXPECT_EQ(d.h, 0.0);
}

TEST(RNNEquations, Relu) {
  const math::RNN rnn{Nonlinearity::relu};
  for (const double a : {1.5, -1.5, 0.0}) {
    math::Slots<math::RNN, double> slots{a};
    math::UnitState<double> next{};
    rnn.forward(slots, math::UnitState<double>{}, next);
    EXPECT_EQ(next.h, a > 0 ? a : 0.0);

    math::UnitState<double> d{2.0, 0};
    rnn.backward(slots, math::UnitState<double>{}, next, d);
    EXPECT_EQ(slots[0], a > 0 ? 2.0 : 0.0);
    EXPECT_EQ(d.h, 0.0);
  }
}

}  // namespace
}  // namespace rnn_test
