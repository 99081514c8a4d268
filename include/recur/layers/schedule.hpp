// SPDX-License-Identifier: MIT
//
// Which sequences of a batch are running at which time step.
//
// Inside the library a batch is time-major and its sequences stand in order of falling length, so that
// those still running at step t are the first running(t) rows, and the work is proportional to the
// valid steps.
#pragma once

#include <algorithm>  // std::stable_sort
#include <numeric>    // std::iota
#include <span>
#include <vector>

#include "recur/core/check.hpp"

namespace recur {

struct Schedule {
  Index steps = 0;             ///< T
  Index batch = 0;             ///< B
  std::vector<Index> lengths;  ///< of the rows, falling; empty: all have T steps
  std::vector<Index> active;   ///< rows running at step t (PyTorch's batch_sizes); empty: all
  std::vector<Index> order;    ///< row k holds the caller's sequence order[k] (PyTorch's sorted_indices)

  /// All sequences have all steps.
  void assign(Index time_steps, Index batch_size) {
    steps = time_steps;
    batch = batch_size;
    lengths.clear();
    active.clear();
    order.clear();
  }

  /// Sequences of different lengths, 0 … time_steps, in any order.
  void assign(Index time_steps, Index batch_size, std::span<const Index> sequence_lengths) {
    const auto length_of = [&](Index k) { return sequence_lengths[static_cast<std::size_t>(k)]; };
    assign(time_steps, batch_size);
    order.resize(sequence_lengths.size());
    std::iota(order.begin(), order.end(), Index(0));
    std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return length_of(a) > length_of(b); });
    active.assign(static_cast<std::size_t>(steps), 0);
    Index row = batch;
    for (Index t = 0; t < steps; ++t) {
      while (row > 0 && length_of(order[static_cast<std::size_t>(row - 1)]) <= t) {
        --row;
      }
      active[static_cast<std::size_t>(t)] = row;
    }
    for (Index k : order) {
      lengths.push_back(length_of(k));
    }
  }

  Index length(Index row) const { return lengths.empty() ? steps : lengths[static_cast<std::size_t>(row)]; }
  Index running(Index t) const { return active.empty() ? batch : active[static_cast<std::size_t>(t)]; }
  Index source(Index row) const { return order.empty() ? row : order[static_cast<std::size_t>(row)]; }

  /// Calls f(t, rows) on blocks of running rows that follow each other in memory when a step has
  /// `batch` rows: several steps at once while all sequences run, then step by step.
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

/// Throws unless there is one length for each sequence, none below zero and none above `steps`.
inline void check_lengths(std::span<const Index> lengths, Index batch, Index steps) {
  check(static_cast<Index>(lengths.size()) == batch, "Expected `len(lengths)` to be equal to batch_size, but got ",
        lengths.size(), " (batch_size=", batch, ")");
  for (std::size_t k = 0; k < lengths.size(); ++k) {
    check(lengths[k] >= 0 && lengths[k] <= steps, "lengths[", k, "]: expected 0 … ", steps, " (the time steps of the input), got ",
          lengths[k]);
  }
}

}  // namespace recur
