// SPDX-License-Identifier: MIT
#include "recur/kernels/threads.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace threads_test {
namespace {

using recur::Index;
using Ranges = std::vector<std::pair<Index, Index>>;

Ranges ranges_of(int threads, Index count, Index grain) {
  Ranges ranges;
  std::mutex mutex;
  recur::kernels::parallel_ranges(threads, count, grain, [&](Index first, Index last) {
    const std::lock_guard<std::mutex> lock(mutex);
    ranges.emplace_back(first, last);
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(Threads, RangesCoverEverythingOnce) {
  for (const int threads : {1, 2, 3, 7, 64}) {
    for (const Index grain : {1, 4, 6}) {
      for (Index count = 1; count <= 70; ++count) {
        const Ranges ranges = ranges_of(threads, count, grain);
        EXPECT_LE(ranges.size(), static_cast<std::size_t>(threads));
        Index end = 0;
        for (const auto& [first, last] : ranges) {
          EXPECT_EQ(first, end);
          EXPECT_LT(first, last);
          EXPECT_EQ(first % grain, 0);
          end = last;
        }
        EXPECT_EQ(end, count);
      }
    }
  }
}

TEST(Threads, RangesAreEqualToOneGrain) {
  EXPECT_EQ(ranges_of(3, 36, 6), (Ranges{{0, 12}, {12, 24}, {24, 36}}));
  EXPECT_EQ(ranges_of(4, 20, 6), (Ranges{{0, 6}, {6, 12}, {12, 18}, {18, 20}}));
}

TEST(Threads, LargestRange) {
  for (const Index count : {1, 6, 72, 100, 300}) {
    for (const Index grain : {1, 16, 64}) {
      for (const int threads : {1, 2, 3, 8}) {
        Index largest = 0;
        for (const auto& [first, last] : ranges_of(threads, count, grain)) {
          largest = std::max(largest, last - first);
        }
        // Of fewer blocks than threads parallel_ranges makes fewer ranges: none is greater.
        EXPECT_GE(recur::kernels::largest_range(threads, count, grain), largest);
        EXPECT_LE(recur::kernels::largest_range(threads, count, grain), std::max(largest, grain));
      }
    }
  }
  EXPECT_EQ(recur::kernels::largest_range(2, 100, 64), 64);
  EXPECT_EQ(recur::kernels::largest_range(2, 72, 16), 40);
}

// Nothing to do is one empty range, in the caller.
TEST(Threads, AreUsefulForSoMuchWork) {
  using recur::kernels::useful_threads;
  EXPECT_EQ(useful_threads(1.9e6, 4, false, 1), 1);
  EXPECT_EQ(useful_threads(2e6, 4, false, 1), 4);
  EXPECT_EQ(useful_threads(2e6, 4, true, 1), 1);
  EXPECT_EQ(useful_threads(1e7, 4, true, 1), 4);
  EXPECT_EQ(useful_threads(1.1e7, 4, false, 6), 1);  // where meeting is dear
  EXPECT_EQ(useful_threads(1.2e7, 4, false, 6), 4);
  EXPECT_EQ(useful_threads(1e9, 1), 1);
}

// How long it takes is the machine's affair. Sooner or later the answer stays the same.
TEST(Threads, CostOfMeeting) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    recur::kernels::cost_of_meeting();
  }
  const double cost = recur::kernels::cost_of_meeting();
  EXPECT_GE(cost, 1);
  EXPECT_LE(cost, 10);
  EXPECT_EQ(recur::kernels::cost_of_meeting(), cost);
}

TEST(Threads, NothingToDo) { EXPECT_EQ(ranges_of(4, 0, 6), (Ranges{{0, 0}})); }

TEST(Threads, NumberCanBeSet) {
  const int before = recur::max_threads();
  EXPECT_GE(before, 1);
  recur::set_num_threads(3);
  EXPECT_EQ(recur::max_threads(), RECUR_HAS_OPENMP ? 3 : 1);
  recur::set_num_threads(0);
  EXPECT_EQ(recur::max_threads(), 1);
  recur::set_num_threads(before);
}

#if RECUR_HAS_OPENMP
TEST(Threads, OneInsideAParallelRegion) {
  int inside = 0;
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    inside = recur::max_threads();
  }
  EXPECT_EQ(inside, 1);
}
#endif

}  // namespace
}  // namespace threads_test
