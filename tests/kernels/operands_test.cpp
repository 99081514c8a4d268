// SPDX-License-Identifier: MIT
//
// Where the rows of matrices stand.
#include "recur/kernels/operands.hpp"

#include <gtest/gtest.h>

namespace operands_test {
namespace {

using recur::Index;
using recur::kernels::RowsB;
using recur::kernels::RunsB;
using recur::kernels::ScatteredRowsB;

constexpr float numbers[40] = {};

TEST(Operands, RowsFollowEachOther) {
  const RowsB<float> rows{numbers + 1, 3};
  EXPECT_EQ(rows.row(0), numbers + 1);
  EXPECT_EQ(rows.row(5), numbers + 16);
}

// Two rows, one that nobody wants, two rows, …
TEST(Operands, RunsOfRows) {
  const RunsB<float> runs{{numbers, 3}, 2, 3};
  EXPECT_EQ(runs.row(0), numbers);
  EXPECT_EQ(runs.row(1), numbers + 3);
  EXPECT_EQ(runs.row(2), numbers + 9);
  EXPECT_EQ(runs.row(5), numbers + 21);
  EXPECT_EQ(runs.run(2).row(1), numbers + 21);
  EXPECT_EQ(runs.run(2).row_stride, 3);
  const RunsB<float> together{{numbers, 3}};
  EXPECT_EQ(together.row(11), numbers + 33);
}

TEST(Operands, ScatteredRows) {
  const Index places[] = {4, 0, 4};
  const ScatteredRowsB<float> rows{{numbers, 3}, places};
  EXPECT_EQ(rows.row(0), numbers + 12);
  EXPECT_EQ(rows.row(1), numbers);
  EXPECT_EQ(rows.row(2), numbers + 12);
}

}  // namespace
}  // namespace operands_test
