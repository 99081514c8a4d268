// SPDX-License-Identifier: MIT
#include "recur/layers/chunks.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace chunks_test {
namespace {

using recur::layers::chunk_begin;
using recur::layers::chunk_rows;
using recur::layers::chunk_steps;
using recur::layers::steps_of;

TEST(Chunks, FillAPartOfASecondLevelCacheOrAreLongEnough) {
  EXPECT_EQ(chunk_rows<float>(128, 256), 512);  // 512 bytes a row
  EXPECT_EQ(chunk_rows<double>(128, 256), 256);
  EXPECT_EQ(chunk_rows<float>(100000, 256), 256);
  EXPECT_EQ(chunk_rows<float>(0, 256), 256 * 1024);
}

TEST(Chunks, HoldFewerRowsForward) {
  recur::Schedule schedule;
  schedule.assign(100, 16);
  EXPECT_EQ(chunk_steps<float>(schedule, 512), 8);    // 128 rows are 256 KB
  EXPECT_EQ(chunk_steps<float>(schedule, 10000), 6);  // 96 rows, more than that
}

// Going back from the last step.
TEST(Chunks, BeginWhereTheirRowsFit) {
  recur::Schedule full;
  full.assign(10, 4);
  EXPECT_EQ(chunk_begin(full, 1, 10, 12), 7);
  EXPECT_EQ(chunk_begin(full, 2, 10, 12), 7);  // of each direction
  EXPECT_EQ(chunk_begin(full, 1, 2, 12), 0);
  EXPECT_EQ(chunk_begin(full, 1, 5, 3), 4);  // one step at least
  recur::Schedule lengths;
  const std::vector<recur::Index> values = {2, 6, 3};  // 3, 3, 2, 1, 1 and 1 run
  lengths.assign(6, 3, values);
  EXPECT_EQ(chunk_begin(lengths, 1, 6, 5), 2);
  EXPECT_EQ(chunk_begin(lengths, 1, 2, 5), 1);
  // The reverse direction takes the last step as its first: 1, 1, 1, 2, 3 and 3 run.
  EXPECT_EQ(chunk_begin(lengths, 2, 6, 5), 5);
  EXPECT_EQ(chunk_begin(lengths, 2, 5, 5), 3);
}

TEST(Chunks, TakeTheStepsOfBothDirections) {
  recur::Schedule schedule;
  schedule.assign(10, 1);
  EXPECT_EQ(steps_of(schedule, 0, 2, 5), std::pair(recur::Index(2), recur::Index(5)));
  EXPECT_EQ(steps_of(schedule, 1, 2, 5), std::pair(recur::Index(5), recur::Index(8)));
}

TEST(Chunks, HoldAtLeastOneStep) {
  recur::Schedule huge;
  huge.assign(10, 100000);
  EXPECT_EQ(chunk_steps<double>(huge, 4096), 1);
  recur::Schedule tiny;
  tiny.assign(10, 1);
  EXPECT_EQ(chunk_steps<double>(tiny, 4), 10);
  recur::Schedule empty;
  empty.assign(10, 0);
  EXPECT_EQ(chunk_steps<double>(empty, 4), 10);
}

}  // namespace
}  // namespace chunks_test
