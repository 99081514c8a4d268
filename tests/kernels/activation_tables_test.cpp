// SPDX-License-Identifier: MIT
//
// The numbers of the tables against the standard library's double, on every processor, also where
// the tables are not used.
#include "recur/kernels/activation_tables.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <gtest/gtest.h>

namespace activation_tables_test {
namespace {

using recur::kernels::detail::power_of_two_bits;
using recur::kernels::detail::TanhTable;

TEST(ActivationTables, PowersOfTwo) {
  for (int k = -3; k <= 3; ++k) {
    for (std::uint32_t j = 0; j < 16; ++j) {
      const std::uint32_t moved = (static_cast<std::uint32_t>(16 * k) + j) << 19;
      const auto power = std::bit_cast<float>(power_of_two_bits[j] + moved);
      EXPECT_EQ(power, static_cast<float>(std::exp2(k + j / 16.0))) << k << ' ' << j;
    }
  }
}

// The polynomials without rounding, at points from end to end: 0.133 ulp, as stated.
TEST(ActivationTables, TanhOfEveryStretch) {
  double worst = 0;
  std::uint32_t seen = 0;
  constexpr int points = 100'000;
  for (int k = 1; k <= points; ++k) {
    const float a = TanhTable::end * static_cast<float>(k) / points;
    const auto place = std::bit_cast<std::uint32_t>(a + TanhTable::shift);
    const std::size_t column = (place >> (23 - TanhTable::mantissa_bits)) % 16;
    seen |= 1U << column;
    const double d = double{a} - double{TanhTable::centre[column]};
    double slope = 0;
    for (std::size_t power = 6; power-- > 0;) {
      slope = slope * d + double{TanhTable::c[power][column]};
    }
    const double y = double{TanhTable::value[column]} + d * slope;
    const double exact = std::tanh(double{a});
    const float below = std::min(static_cast<float>(exact), std::nextafter(1.0F, 0.0F));
    const double ulp = double{std::nextafter(below, 2.0F)} - double{below};
    worst = std::max(worst, std::abs(y - exact) / ulp);
  }
  EXPECT_LE(worst, 0.133);
  EXPECT_EQ(std::popcount(seen), 15);
}

// Near zero tanh a is a itself: nothing may be added to it, nor its slope differ from 1.
TEST(ActivationTables, FirstStretchBeginsAtZero) {
  const std::size_t first =
      (std::bit_cast<std::uint32_t>(TanhTable::shift) >> (23 - TanhTable::mantissa_bits)) % 16;
  EXPECT_EQ(TanhTable::centre[first], 0.0F);
  EXPECT_EQ(TanhTable::value[first], 0.0F);
  EXPECT_EQ(TanhTable::c[0][first], 1.0F);
}

}  // namespace
}  // namespace activation_tables_test
