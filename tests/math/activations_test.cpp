// SPDX-License-Identifier: MIT
#include "recur/math/activations.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace activations_test {
namespace {

namespace math = recur::math;

constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(Activations, KnownValues) {
  EXPECT_EQ(math::sigmoid(0.0), 0.5);
  EXPECT_DOUBLE_EQ(math::sigmoid(std::log(3.0)), 0.75);
  EXPECT_DOUBLE_EQ(math::tanh(std::log(2.0)), 0.6);
  EXPECT_EQ(math::relu(-1.5), 0.0);
  EXPECT_EQ(math::relu(1.5), 1.5);
  EXPECT_EQ(math::relu(0.0), 0.0);
}

TEST(Activations, Limits) {
  EXPECT_EQ(math::sigmoid(1000.0), 1.0);
  EXPECT_EQ(math::sigmoid(-1000.0), 0.0);
  EXPECT_EQ(math::sigmoid(infinity), 1.0);
  EXPECT_EQ(math::sigmoid(-infinity), 0.0);
  EXPECT_EQ(math::tanh(infinity), 1.0);
  EXPECT_EQ(math::tanh(-1000.0), -1.0);
  EXPECT_TRUE(std::isnan(math::sigmoid(std::nan(""))));
  EXPECT_TRUE(std::isnan(math::tanh(std::nan(""))));
  EXPECT_TRUE(std::isnan(math::relu(std::nan(""))));
}

// The derivatives are functions of the output.
TEST(Activations, DerivativesEqualDifferences) {
  const long double step = 1e-6L;
  for (long double x = -5; x <= 5; x += 0.37L) {
    const auto slope = [&](auto f) { return (f(x + step) - f(x - step)) / (2 * step); };
    const long double s = math::sigmoid(x);
    const long double t = math::tanh(x);
    const long double r = math::relu(x);
    EXPECT_NEAR(static_cast<double>(math::d_sigmoid(s)),
                static_cast<double>(slope([](long double v) { return math::sigmoid(v); })), 1e-12);
    EXPECT_NEAR(static_cast<double>(math::d_tanh(t)),
                static_cast<double>(slope([](long double v) { return math::tanh(v); })), 1e-12);
    EXPECT_NEAR(static_cast<double>(math::d_relu(r, 3.0L)),
                3 * static_cast<double>(slope([](long double v) { return math::relu(v); })), 1e-12);
  }
}

TEST(Activations, ReluHasNoGradientAtZero) { EXPECT_EQ(math::d_relu(0.0, 3.0), 0.0); }

}  // namespace
}  // namespace activations_test
