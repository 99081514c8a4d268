// SPDX-License-Identifier: MIT
//
// Two chains of tasks: what runs when, by one thread and by two.
#include "recur/kernels/chains.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "recur/kernels/threads.hpp"

namespace chains_test {
namespace {

using recur::Index;
using recur::kernels::parallel_chains;

// Every task once, those of a chain in order and one at a time, none before what it needs.
void check(Index tasks, Index layers) {
  SCOPED_TRACE(testing::Message() << tasks << " tasks, " << layers << " layers");
  const auto needed = [&](Index task) { return task % 2 == 1 ? task : task - 2 * (layers - 1); };
  struct Chain {
    std::atomic<Index> begun{0};
    std::atomic<Index> done{0};
  };
  Chain chains[2];
  std::atomic<int> wrong{0};
  parallel_chains(tasks, needed, [&](Index c, Index task) {
    const bool first = chains[c].begun.fetch_add(1) == task && chains[c].done.load() == task;
    if (!first || chains[1 - c].done.load() < needed(task)) {
      wrong.fetch_add(1);
    }
    if (task % 3 == c) {  // that the chains are not always equally fast
      std::this_thread::yield();
    }
    chains[c].done.fetch_add(1);
  });
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(chains[0].done.load(), tasks);
  EXPECT_EQ(chains[1].done.load(), tasks);
}

TEST(ParallelChains, CallsEveryTaskWhenItMayBegin) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    for (const Index tasks : {0, 2, 6, 24}) {
      check(tasks, 1);
      check(tasks, 3);
    }
  }
}

// Where the other threads are at work for somebody else, the caller does both chains alone.
TEST(ParallelChains, NeedsOneThreadOnly) {
  std::atomic<bool> taken{false};
  std::atomic<bool> end{false};
  std::thread somebody([&] {
    recur::kernels::parallel_ranges(2, 2, 1, [&](Index /*first*/, Index /*last*/) {
      taken.store(true);
      while (!end.load()) {
        std::this_thread::yield();
      }
    });
  });
  while (!taken.load()) {
    std::this_thread::yield();
  }
  std::vector<Index> order;
  parallel_chains(
      4, [](Index task) { return task; },
      [&](Index c, Index task) { order.push_back(10 * c + task); });
  end.store(true);
  somebody.join();
  ASSERT_EQ(order.size(), 8U);
  std::vector<Index> next{0, 0};
  for (const Index called : order) {
    const auto c = static_cast<std::size_t>(called / 10);
    EXPECT_EQ(called % 10, next[c]++);
    EXPECT_GE(next[1 - c], called % 10);
  }
}

}  // namespace
}  // namespace chains_test
