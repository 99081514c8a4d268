// SPDX-License-Identifier: MIT
//
// Begin to fetch the line of the cache that an address is in, where the processor does not foresee
// that it will be needed. The address need not be that of anything.
#pragma once

#include <algorithm>  // std::min

#include "recur/kernels/packet.hpp"

namespace recur::inline RECUR_ABI::kernels::detail {

// To be read soon.
RECUR_ALWAYS_INLINE void prefetch([[maybe_unused]] const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#endif
}

// To be read later: into the second level.
RECUR_ALWAYS_INLINE void prefetch_for_later([[maybe_unused]] const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address, 0, 2);
#endif
}

// To be changed soon.
RECUR_ALWAYS_INLINE void prefetch_to_change([[maybe_unused]] const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address, 1);
#endif
}

// What is read after a panel's tiles (gemm_tile.hpp), and comes too slowly to be waited for: they
// fetch it while they multiply, tile j a line of the cache for every row k of B, at data + j *
// tile_step + k * step.
template <class Scalar>
struct Ahead {
  const Scalar* data = nullptr;  // null: nothing
  Index step = 0;
  Index tile_step = 0;
};

// A panel of K rows, `width` wide, or null: each of the tiles an equal share. (Fetched by the first
// tiles alone, it comes in a burst that the memory is too slow for: H = 1,024, 64 sequences, 2 to 4
// %; not at all: 8 %.)
template <class Scalar>
Ahead<Scalar> panel_ahead(Index tiles, Index K, Index width, const Scalar* panel) {
  if (panel == nullptr) {
    return {};
  }
  const Index step = std::min<Index>((width + tiles - 1) / tiles, native_width<Scalar>);
  return {panel, step, K * step};
}

}  // namespace recur::inline RECUR_ABI::kernels::detail
