// SPDX-License-Identifier: MIT
//
// Which sequences of a batch are running at which time step.
//
// Inside the library a batch is time-major and its sequences stand in order of falling length, so that
// those still running at step t are the first running(t) rows, and the work is proportional to the
// valid steps.
#pragma once

#include <vector>

#include "recur/config.hpp"

namespace recur {

struct Schedule {
  Index steps = 0;             ///< T
  Index batch = 0;             ///< B
  std::vector<Index> lengths;  ///< of the sequences, falling; empty: all have T steps
  std::vector<Index> active;   ///< sequences running at step t (PyTorch's batch_sizes); empty: all
  std::vector<Index> order;    ///< row k holds the caller's sequence order[k]; empty: the same order

  Index length(Index row) const { return lengths.empty() ? steps : lengths[static_cast<std::size_t>(row)]; }
  Index running(Index t) const { return active.empty() ? batch : active[static_cast<std::size_t>(t)]; }
  Index source(Index row) const { return order.empty() ? row : order[static_cast<std::size_t>(row)]; }

  /// Calls f(t, rows) on blocks of rows that follow each other in memory when a step has `batch`
  /// rows: several steps at once while all sequences run, then step by step.
  template <class F>
  void for_each_block(Index first, Index last, F&& f) const {
    Index t = first;
    while (t < last && running(t) == batch) {
      ++t;
    }
    if (t > first && batch > 0) {
      f(first, (t - first) * batch);
    }
    for (; t < last && running(t) > 0; ++t) {
      f(t, running(t));
    }
  }
};

}  // namespace recur
