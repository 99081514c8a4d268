// SPDX-License-Identifier: MIT
//
// Begin to fetch the line of the cache that an address is in, where the processor does not foresee
// that it will be needed. The address need not be that of anything.
#pragma once

#include "recur/config.hpp"

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

}  // namespace recur::inline RECUR_ABI::kernels::detail
