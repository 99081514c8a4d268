// SPDX-License-Identifier: MIT
#include "recur/kernels/registers.hpp"

#include <array>
#include <limits>

#include <gtest/gtest.h>

namespace registers_test {
namespace {

using recur::Index;
using recur::kernels::detail::keep_in_general_register;

TEST(Registers, KeepsTheValue) {
  Index index = std::numeric_limits<Index>::min() + 3;
  keep_in_general_register(index);
  EXPECT_EQ(index, std::numeric_limits<Index>::min() + 3);

  std::array<double, 3> numbers{1.0, 2.0, 3.0};
  double* place = numbers.data();
  for (const double expected : {1.0, 2.0, 3.0}) {
    keep_in_general_register(place);
    EXPECT_EQ(*place, expected);
    *place++ = -expected;
  }
  EXPECT_EQ(place, numbers.data() + 3);
  EXPECT_EQ(numbers, (std::array<double, 3>{-1.0, -2.0, -3.0}));
}

}  // namespace
}  // namespace registers_test
