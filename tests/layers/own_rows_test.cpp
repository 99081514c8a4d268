// SPDX-License-Identifier: MIT
#include "recur/layers/own_rows.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace own_rows_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::layers::OwnRows;
using recur::test::random_matrix;

TEST(OwnRows, GiveBackWhatWasChanged) {
  recur::Generator generator(1);
  const auto rows = random_matrix<double>(generator, 9, 24);
  RowMatrix<double> changed = rows;
  {
    OwnRows<double> own(changed.data() + 2 * 24, 5, 20, 24);
    ASSERT_NE(own.data(), changed.data() + 2 * 24);
    for (Index row = 0; row < 5; ++row) {
      for (Index column = 0; column < 20; ++column) {
        EXPECT_EQ(own.data()[row * own.stride() + column], rows(row + 2, column));
        own.data()[row * own.stride() + column] *= 2;
      }
    }
    EXPECT_TRUE(changed == rows) << "nobody else sees it before the end";
  }
  RowMatrix<double> expected = rows;
  expected.block(2, 0, 5, 20) *= 2;
  EXPECT_TRUE(changed == expected);
}

// Too many for the stack are used where they are; so is nothing.
TEST(OwnRows, StayWhereTheyAre) {
  std::vector<float> many(40 * 300, 1);
  {
    OwnRows<float> own(many.data(), 40, 300, 300);
    EXPECT_EQ(own.data(), many.data());
    EXPECT_EQ(own.stride(), 300);
    own.data()[7] = 3;
  }
  EXPECT_EQ(many[7], 3);
  OwnRows<float> none(nullptr, 4, 16, 16);
  EXPECT_EQ(none.data(), nullptr);
  OwnRows<float> no_rows(many.data(), 0, 300, 300);
  EXPECT_EQ(no_rows.data(), many.data());
}

}  // namespace
}  // namespace own_rows_test
