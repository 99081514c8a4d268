// SPDX-License-Identifier: MIT
//
// What the system says of the processor's caches.
#pragma once

#include <algorithm>  // std::max

#if __has_include(<unistd.h>)
#include <unistd.h>  // sysconf
#endif

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// Bytes of a core's second-level cache; 0 where the system does not say (glibc on x86 does).
inline long second_level_bytes() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const long bytes = std::max(0L, sysconf(_SC_LEVEL2_CACHE_SIZE));
  return bytes;
#else
  return 0;
#endif
}

}  // namespace recur::inline RECUR_ABI::kernels
