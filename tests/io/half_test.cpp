// SPDX-License-Identifier: MIT
#include "recur/io/half.hpp"

#include <bit>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

namespace half_test {
namespace {

using recur::detail::bfloat_to_float;
using recur::detail::half_to_float;
using recur::detail::to_bfloat;
using recur::detail::to_half;

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

// Every number comes back; NaN as one that is quiet.
TEST(Half, RoundTrip) {
  for (std::uint32_t k = 0; k < 0x10000; ++k) {
    const auto bits = static_cast<std::uint16_t>(k);
    const bool nan = (bits & 0x7FFFU) > 0x7C00;
    EXPECT_EQ(to_half(half_to_float(bits)), nan ? (bits & 0x8000U) | 0x7E00U : bits) << k;
    const bool brain_nan = (bits & 0x7FFFU) > 0x7F80;
    EXPECT_EQ(to_bfloat(bfloat_to_float(bits)), brain_nan ? (bits & 0x8000U) | 0x7FC0U : bits) << k;
  }
}

// Between each two neighbours (infinity taken for the power of two that follows): below the middle
// down, above up, in the middle to the even one.
template <class Round, class Widen>
void expect_nearest(std::uint16_t infinity, double beyond, Round round, Widen widen) {
  for (std::uint16_t bits = 0; bits < infinity; ++bits) {
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const double low = widen(bits);
    const double middle = low / 2 + (next == infinity ? beyond : widen(next)) / 2;
    for (const double sign : {1.0, -1.0}) {
      const std::uint16_t top = sign < 0 ? 0x8000 : 0;
      EXPECT_EQ(round(sign * middle), (bits % 2 == 0 ? bits : next) | top) << bits;
      EXPECT_EQ(round(sign * std::nextafter(middle, 0)), bits | top) << bits;
      EXPECT_EQ(round(sign * std::nextafter(middle, 1e300)), next | top) << bits;
    }
  }
}

TEST(Half, RoundsToTheNearest) {
  expect_nearest(0x7C00, 0x1p16, to_half, half_to_float);
  EXPECT_EQ(to_half(1e300), 0x7C00);
  EXPECT_EQ(to_half(-1e-300), 0x8000);
  EXPECT_EQ(to_half(0x1p-1074), 0);
}

TEST(BFloat, RoundsToTheNearest) {
  expect_nearest(0x7F80, 0x1p128, to_bfloat, bfloat_to_float);
  EXPECT_EQ(to_bfloat(1e300), 0x7F80);
  EXPECT_EQ(to_bfloat(-1e-300), 0x8000);
}

// 1 + 2⁻¹¹ + 2⁻³⁰ lies above the middle; rounded to float first it would lie in it, and fall to 1.
TEST(Half, RoundsDoublesOnce) {
  EXPECT_EQ(to_half(1 + 0x1p-11), 0x3C00);
  EXPECT_EQ(to_half(1 + 0x1p-11 + 0x1p-30), 0x3C01);
}

}  // namespace
}  // namespace half_test
