// SPDX-License-Identifier: MIT
//
// Which sequences of a batch are running at which time step.
//
// Inside the library a batch is time-major and its sequences stand in order of falling length, so
// that those still running at step t are the first running(t) rows, and the work is proportional to
// the valid steps.
#pragma once

#include <algorithm>  // std::clamp, std::fill_n, std::max, std::min, std::sort
#include <concepts>   // std::convertible_to
#include <numeric>    // std::accumulate, std::iota
#include <span>
#include <vector>

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI {

/// How many steps of each sequence count: made from a std::vector<Index> or anything alike. Refers
/// to it.
struct Lengths {
  std::span<const Index> values;

  template <class Range>
  requires std::convertible_to<const Range&, std::span<const Index>> Lengths(const Range& lengths)
      : values(lengths) {}  // NOLINT(google-explicit-constructor)
};

struct Schedule {
  Index steps = 0;             ///< T
  Index batch = 0;             ///< B
  std::vector<Index> lengths;  ///< of the rows, falling; empty: all have T steps
  std::vector<Index> active;   ///< rows running at step t (PyTorch's batch_sizes); empty: all
  std::vector<Index> order;    ///< row k holds the caller's sequence order[k]; empty: sequence k
  std::vector<Index> offsets;  ///< of a PackedSequence: row of its data where step t begins

  /// All sequences have all steps.
  void assign(Index time_steps, Index batch_size) {
    steps = time_steps;
    batch = batch_size;
    lengths.clear();
    active.clear();
    order.clear();
    offsets.clear();
  }

  /// Sequences of different lengths, 0 … time_steps, in any order.
  void assign(Index time_steps, Index batch_size, std::span<const Index> sequence_lengths) {
    const auto length_of = [&](Index k) { return sequence_lengths[static_cast<std::size_t>(k)]; };
    assign(time_steps, batch_size);
    order.resize(sequence_lengths.size());
    std::iota(order.begin(), order.end(), Index(0));
    // Equal lengths in the caller's order; std::stable_sort would allocate.
    std::sort(order.begin(), order.end(), [&](Index a, Index b) {
      return length_of(a) != length_of(b) ? length_of(a) > length_of(b) : a < b;
    });
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

  /// A PackedSequence: its batch_sizes (at least one, positive, falling) and sorted_indices.
  void assign_packed(std::span<const Index> batch_sizes, std::span<const Index> sorted_indices) {
    assign(static_cast<Index>(batch_sizes.size()), batch_sizes[0]);
    active.assign(batch_sizes.begin(), batch_sizes.end());
    order.assign(sorted_indices.begin(), sorted_indices.end());
    lengths.resize(static_cast<std::size_t>(batch));
    Index offset = 0;
    for (Index t = 0; t < steps; ++t) {
      offsets.push_back(offset);
      offset += running(t);
      std::fill_n(lengths.begin(), running(t), t + 1);
    }
  }

  /// All sequences have all steps, and stand in the caller's order.
  bool full() const { return active.empty(); }
  /// What the caller gives and gets has the rows of a PackedSequence, not of a padded batch.
  bool packed() const { return !offsets.empty(); }

  Index length(Index row) const {
    return lengths.empty() ? steps : lengths[static_cast<std::size_t>(row)];
  }
  Index running(Index t) const {
    return active.empty() ? batch : active[static_cast<std::size_t>(t)];
  }
  Index source(Index row) const {
    return order.empty() ? row : order[static_cast<std::size_t>(row)];
  }

  /// How many steps from t on, `most` at most, forwards (direction 1) or backwards (-1), have as
  /// many running rows as t.
  Index equal_steps(Index t, Index direction, Index most) const {
    if (full()) {
      return most;
    }
    Index count = 1;
    while (count < most && running(t + direction * count) == running(t)) {
      ++count;
    }
    return count;
  }

  /// Rows that run in steps [first, last), those of all steps together.
  Index running_rows(Index first, Index last) const {
    return full() ? (last - first) * batch
                  : std::accumulate(active.begin() + first, active.begin() + last, Index(0));
  }

  /// Of those rows, counted step by step, [from, to): calls f(row, count) on blocks of rows that
  /// follow each other in a (T·B × ·) matrix, several steps at once while all sequences run.
  template <class F>
  void for_each_block(Index first, Index last, Index from, Index to, F&& f) const {
    Index t = first;
    while (t < last && running(t) == batch) {
      ++t;
    }
    Index counted = 0;  // rows of the steps before
    const auto block = [&](Index step, Index rows) {
      const Index begin = std::max(from - counted, Index(0));
      const Index end = std::min(to - counted, rows);
      if (begin < end) {
        f(step * batch + begin, end - begin);
      }
      counted += rows;
    };
    block(first, (t - first) * batch);
    for (; t < last && counted < to; ++t) {
      block(t, running(t));
    }
  }

  /// The same for all of them.
  template <class F>
  void for_each_block(Index first, Index last, F&& f) const {
    for_each_block(first, last, 0, (last - first) * batch, f);
  }

  /// Rows of several steps: `rows` of each one, the next step's `row_step` farther on in a (T·B ×
  /// ·) matrix, and `counted_step` where only the rows that run are counted.
  struct Block {
    Index row = 0;
    Index counted = 0;  ///< rows that run before the block, from the first step asked for
    Index rows = 0;
    Index steps = 1;
    Index row_step = 0;
    Index counted_step = 0;
    bool operator==(const Block&) const = default;
  };

  /// Of the steps [first, last), the rows [from, to) that run: calls f(Block). Where all sequences
  /// run, the rows of several steps follow each other, and count as those of one.
  template <class F>
  void for_each_block_of_part(Index first, Index last, Index from, Index to, F&& f) const {
    Index before = 0;
    for (Index t = first; t < last;) {
      const Index equal = equal_steps(t, 1, last - t);
      const Index rows = std::min(to, running(t)) - from;
      if (rows == batch && rows > 0) {
        const Index all = equal * batch;
        f(Block{t * batch, before, all, 1, all, all});
      } else if (rows > 0) {
        f(Block{t * batch + from, before + from, rows, equal, batch, running(t)});
      }
      before += equal * running(t);
      t += equal;
    }
  }

  /// Row at which part `part` of `parts` begins, when steps [first, last) are shared by sequences:
  /// every part has about as many running rows.
  Index part_begin(Index first, Index last, Index part, Index parts) const {
    if (parts == 1) {
      return part * batch;
    }
    if (full()) {
      return batch * part / parts;
    }
    const Index share = running_rows(first, last) * part / parts;
    Index row = 0;
    for (Index counted = 0; row < batch && counted < share; ++row) {
      counted += std::clamp<Index>(length(row) - first, 0, last - first);
    }
    return row;
  }
};

/// Throws unless there is one length for each sequence, none below zero and none above `steps`.
inline void check_lengths(std::span<const Index> lengths, Index batch, Index steps) {
  check(static_cast<Index>(lengths.size()) == batch,
        "Expected `len(lengths)` to be equal to batch_size, but got ", lengths.size(),
        " (batch_size=", batch, ")");
  for (std::size_t k = 0; k < lengths.size(); ++k) {
    check(lengths[k] >= 0 && lengths[k] <= steps, "lengths[", k, "]: expected 0 to ", steps,
          " (the time steps of the input), got ", lengths[k]);
  }
}

}  // namespace recur::inline RECUR_ABI
