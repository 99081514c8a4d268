// SPDX-License-Identifier: MIT
#include "recur/io/half.hpp"

#include <bit>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

namespace {

using recur::detail::bfloat_to_float;
using recur::detail::half_to_float;

// Every one of the 65,536, put together from sign, exponent and fraction by arithmetic.
TEST(Half, EveryNumber) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float actual = half_to_float(static_cast<std::uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31U);
    const float fraction = static_cast<float>(bits & 1023U);
    EXPECT_EQ(std::signbit(actual), bits >= 0x8000) << bits;
    if (exponent == 31) {
      EXPECT_TRUE(fraction == 0 ? std::isinf(actual) : std::isnan(actual)) << bits;
      continue;
    }
    const float magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    EXPECT_EQ(std::abs(actual), magnitude) << bits;
  }
}

TEST(BFloat, IsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(bfloat_to_float(static_cast<std::uint16_t>(bits))),
              bits << 16);
  }
}

}  // namespace
