// SPDX-License-Identifier: MIT
#include "recur/layers/chunks.hpp"

#include <gtest/gtest.h>

namespace {

using recur::layers::chunk_rows;
using recur::layers::chunk_steps;

TEST(Chunks, FillHalfASecondLevelCacheOrAreLongEnough) {
  EXPECT_EQ(chunk_rows<float>(128, 256), 1024);  // 512 bytes a row
  EXPECT_EQ(chunk_rows<double>(128, 256), 512);
  EXPECT_EQ(chunk_rows<float>(100000, 256), 256);
  EXPECT_EQ(chunk_rows<float>(0, 256), 512 * 1024);
}

TEST(Chunks, HoldFewerRowsForward) {
  recur::Schedule schedule;
  schedule.assign(100, 16);
  EXPECT_EQ(chunk_steps<float>(schedule, 1024), 8);   // 128 rows are 512 KB
  EXPECT_EQ(chunk_steps<float>(schedule, 10000), 6);  // 96 rows, more than that
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
