// SPDX-License-Identifier: MIT
//
// How many time steps are taken at once: the products that need no state are computed for all of
// them, and what they leave stays in the second-level cache until the scan has used it.
#pragma once

#include <algorithm>  // std::clamp, std::max

#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Rows of `width` scalars that fit into about half a second-level cache, or so many as a product
/// needs to be efficient.
template <class Scalar>
Index chunk_rows(Index width) {
  constexpr Index target_bytes = 512 * 1024;
  constexpr Index enough_rows = 256;
  const Index row_bytes = std::max<Index>(1, width * static_cast<Index>(sizeof(Scalar)));
  return std::max(target_bytes / row_bytes, enough_rows);
}

/// Steps of B rows each that make a chunk; at least one.
template <class Scalar>
Index chunk_steps(const Schedule& schedule, Index slots_width) {
  return std::clamp<Index>(chunk_rows<Scalar>(slots_width) / std::max<Index>(1, schedule.batch), 1,
                           std::max<Index>(1, schedule.steps));
}

}  // namespace recur::inline RECUR_ABI::layers
