// SPDX-License-Identifier: MIT
//
// How many time steps are taken at once: the products that need no state are computed for all of
// them, and what they leave stays in the second-level cache until the scan has used it.
#pragma once

#include <algorithm>  // std::clamp, std::max
#include <utility>    // std::pair

#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Rows that are enough for a product to be efficient: forward the weights are read once for so
/// many rows, backward a matrix of gradients is read and written once, by each group of sequences.
/// (Forward with more, LSTM of 300 to 650 units: 1 to 2 % slower, as the slots leave the second
/// level. Backward with 256, of 512 to 1,024 units: 1 to 2 % slower; with 320, whose sums of
/// gradients are shorter, 0 to 1 % slower.)
inline constexpr Index enough_rows_forward = 96;
inline constexpr Index enough_rows_backward = 288;

/// Backward, fewer are taken where the tape is so short that its scratch memory would be more than
/// a tenth of it, but not fewer than these.
inline constexpr Index fewest_rows_backward = 128;

/// The same of each of two groups of sequences, whose chunks are there at the same time. (With 320,
/// three layers of 100 units: 0 to 1 % faster, and half as much memory again.)
inline constexpr Index enough_rows_of_group = 160;

/// Rows of `width` scalars that fit into about an eighth of a second-level cache, or `enough`.
/// (With twice as many, 64 sequences of 256 units took two steps at a time: of a cache of 2 MB,
/// LSTM inference 3 % slower, two threads 5, training 2 to 3. Of half as many, 10 units: 2 to 3 %.)
template <class Scalar>
Index chunk_rows(Index width, Index enough) {
  constexpr Index target_bytes = 256 * 1024;
  const Index row_bytes = std::max<Index>(1, width * static_cast<Index>(sizeof(Scalar)));
  return std::max(target_bytes / row_bytes, enough);
}

/// Steps of B rows each that make a chunk forward; at least one. (Of as many rows for each of two
/// threads that share the batch, 256 units: 2 to 4 % slower.)
template <class Scalar>
Index chunk_steps(const Schedule& schedule, Index slots_width) {
  if (schedule.steps <= 1) {
    return 1;
  }
  const Index rows = chunk_rows<Scalar>(slots_width, enough_rows_forward);
  return std::clamp<Index>(rows / std::max<Index>(1, schedule.batch), 1, schedule.steps);
}

/// The steps that each direction takes as its [first, last). rows: the most that run in a chunk.
struct Chunk {
  Index first;
  Index last;
  Index rows;
};

/// Steps [first, second) of time that direction d takes as its [first, last).
inline std::pair<Index, Index> steps_of(const Schedule& schedule, Index d, Index first,
                                        Index last) {
  return d == 0 ? std::pair(first, last) : std::pair(schedule.steps - last, schedule.steps - first);
}

/// Where the chunk begins that ends with step `last` - 1: of the steps that each of `directions`
/// takes as its [first, last), at most `rows` rows run; of one step it may be more.
inline Index chunk_begin(const Schedule& schedule, Index directions, Index last, Index rows) {
  if (last * schedule.batch <= rows) {
    return 0;
  }
  if (schedule.full()) {
    return std::max<Index>(0, last - std::max<Index>(1, rows / std::max<Index>(1, schedule.batch)));
  }
  Index first = last;
  for (Index counted[2] = {0, 0}; first > 0; --first) {
    bool fits = true;
    for (Index d = 0; d < directions; ++d) {
      counted[d] += schedule.running(steps_of(schedule, d, first - 1, first).first);
      fits = fits && counted[d] <= rows;
    }
    if (!fits && first < last) {
      break;
    }
  }
  return first;
}

}  // namespace recur::inline RECUR_ABI::layers
