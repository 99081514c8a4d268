// SPDX-License-Identifier: MIT
//
// Squares of registers of every width.
#include "recur/kernels/transpose.hpp"

#include <array>
#include <cstddef>

#include <gtest/gtest.h>

namespace transpose_test {
namespace {

using recur::kernels::native_width;
using recur::kernels::smallest_width;
using recur::kernels::Vec;

template <class Scalar, int Width>
void check() {
  if constexpr (Width > 1) {
    SCOPED_TRACE(Width);
    using V = Vec<Scalar, Width>;
    Scalar numbers[Width][Width];
    V square[Width];
    for (int i = 0; i < Width; ++i) {
      for (int j = 0; j < Width; ++j) {
        numbers[i][j] = static_cast<Scalar>(Width * i + j);
      }
      square[i] = V::load(numbers[i]);
    }
    transpose(square);
    for (int i = 0; i < Width; ++i) {
      std::array<Scalar, Width> lanes{};
      square[i].store(lanes.data());
      for (int j = 0; j < Width; ++j) {
        EXPECT_EQ(lanes[static_cast<std::size_t>(j)], numbers[j][i]) << i << ", " << j;
      }
    }
    if constexpr (Width > smallest_width<Scalar>) {
      check<Scalar, Width / 2>();
    }
  }
}

TEST(Transpose, Float) { check<float, native_width<float>>(); }

TEST(Transpose, Double) { check<double, native_width<double>>(); }

}  // namespace
}  // namespace transpose_test
