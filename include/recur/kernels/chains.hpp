// SPDX-License-Identifier: MIT
//
// Two threads whose tasks depend on each other. Neither waits for one that is not there: whoever is
// there does what can be done, alone everything.
#pragma once

#include <array>
#include <atomic>

#include "recur/kernels/threads.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// Calls f(chain, task) for the tasks [0, tasks) of each of two chains, by a thread for each, or by
/// one for both until the other comes. Those of a chain are called one after the other; a task
/// begins when the other chain has done as many as needed(task), which must be such that one thread
/// can do them all. f must not throw.
template <class Needed, class F>
void parallel_chains(Index tasks, Needed&& needed, F&& f) {
  struct alignas(64) Chain {
    std::atomic<Index> begun{0};
    std::atomic<Index> done{0};
    std::atomic<bool> owned{false};  // by a thread that has come for it
  };
  std::array<Chain, 2> chains;
  const auto all_begun = [&] {
    return chains[0].begun.load() == tasks && chains[1].begun.load() == tasks;
  };
  // Takes the next task of a chain, if it can begin and nobody has.
  const auto take = [&](std::size_t c, Index& task) {
    task = chains[c].done.load(std::memory_order_acquire);
    Index begun = task;
    return task < tasks && chains[1 - c].done.load(std::memory_order_acquire) >= needed(task) &&
           chains[c].begun.compare_exchange_strong(begun, task + 1);
  };
  parallel_ranges(2, 2, 1, [&](Index part, Index /*last*/) {
    const auto own = static_cast<std::size_t>(part);
    const std::size_t other = 1 - own;
    chains[own].owned.store(true);
    for (;;) {
      std::size_t c = own;
      Index task = 0;
      bool taken = false;
      detail::spin_until([&] {
        taken = take(c = own, task) || (!chains[other].owned.load() && take(c = other, task));
        return taken || all_begun();
      });
      if (!taken) {
        return;
      }
      f(static_cast<Index>(c), task);
      chains[c].done.store(task + 1, std::memory_order_release);
    }
  });
}

}  // namespace recur::inline RECUR_ABI::kernels
