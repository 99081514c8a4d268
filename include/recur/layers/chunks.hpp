// SPDX-License-Identifier: MIT
//
// How many time steps are taken at once: the products that need no state are computed for all of
// them, and what they leave stays in the second-level cache until the scan has used it.
#pragma once

#include <algorithm>  // std::clamp, std::max

#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Rows that are enough for a product to be efficient: forward the weights are read once for so
/// many rows, backward a matrix of gradients is read and written once. (Forward with as many as
/// backward, LSTM of 300 to 650 units: 1 to 2 % slower, as the slots leave the second level.)
inline constexpr Index enough_rows_forward = 96;
inline constexpr Index enough_rows_backward = 256;

/// Rows of `width` scalars that fit into about half a second-level cache, or `enough`.
template <class Scalar>
Index chunk_rows(Index width, Index enough) {
  constexpr Index target_bytes = 512 * 1024;
  const Index row_bytes = std::max<Index>(1, width * static_cast<Index>(sizeof(Scalar)));
  return std::max(target_bytes / row_bytes, enough);
}

/// Steps of B rows each that make a chunk forward; at least one.
template <class Scalar>
Index chunk_steps(const Schedule& schedule, Index slots_width) {
  const Index rows = chunk_rows<Scalar>(slots_width, enough_rows_forward);
  return std::clamp<Index>(rows / std::max<Index>(1, schedule.batch), 1,
                           std::max<Index>(1, schedule.steps));
}

}  // namespace recur::inline RECUR_ABI::layers
