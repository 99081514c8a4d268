// SPDX-License-Identifier: MIT
//
// Threads by OpenMP, where the program is compiled with it; otherwise everything runs in the caller.
#pragma once

#include <algorithm>  // std::min

#include "recur/config.hpp"

#if RECUR_HAS_OPENMP
#include <omp.h>
#endif

namespace recur {

/// Threads that a call from here may use: OpenMP's setting (OMP_NUM_THREADS, omp_set_num_threads).
/// Inside a parallel region of the caller it is 1.
inline int max_threads() {
#if RECUR_HAS_OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the number of threads for calls from this thread. Has no effect without OpenMP.
inline void set_num_threads([[maybe_unused]] int count) {
#if RECUR_HAS_OPENMP
  omp_set_num_threads(std::max(count, 1));
#endif
}

namespace kernels {

/// Threads worth starting for `multiply_adds`: one below about 20 µs of work.
inline int useful_threads(double multiply_adds) { return multiply_adds < 1e6 ? 1 : max_threads(); }

/// Calls f(first, last) on ranges that cover [0, count), one range a thread, sizes a multiple of
/// `grain` except for the last. f must not throw.
template <class F>
void parallel_ranges(int threads, Index count, Index grain, F&& f) {
  const Index blocks = (count + grain - 1) / grain;
  const Index parts = std::min<Index>(threads, blocks);
  if (parts <= 1) {
    f(Index(0), count);
    return;
  }
#if RECUR_HAS_OPENMP
#pragma omp parallel for num_threads(static_cast<int>(parts)) schedule(static, 1)
#endif
  for (Index part = 0; part < parts; ++part) {
    f(std::min(count, blocks * part / parts * grain), std::min(count, blocks * (part + 1) / parts * grain));
  }
}

}  // namespace kernels
}  // namespace recur
