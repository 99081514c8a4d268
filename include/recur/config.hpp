// SPDX-License-Identifier: MIT
//
// Compile-time settings: every RECUR_* macro of the library is defined here.
#pragma once

#include <Eigen/Core>

#if !EIGEN_VERSION_AT_LEAST(3, 4, 0)
#error "recur needs Eigen 3.4 or newer"
#endif

// Threads: on when the translation unit is compiled with OpenMP, unless RECUR_NO_OPENMP is defined.
#if defined(_OPENMP) && !defined(RECUR_NO_OPENMP)
#define RECUR_HAS_OPENMP 1
#else
#define RECUR_HAS_OPENMP 0
#endif

// Set from outside: RECUR_HAS_ZLIB, where zlib is there and linked (recur::io does it), so that
// compressed files can be read.

// For the few functions whose speed hangs on their being inlined into a register-blocked loop.
#if defined(__GNUC__) || defined(__clang__)
#define RECUR_ALWAYS_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define RECUR_ALWAYS_INLINE __forceinline
#else
#define RECUR_ALWAYS_INLINE inline
#endif

// Everything that the function calls is inlined into it: the equations of any cell, which a
// compiler may think too long.
#if defined(__GNUC__) || defined(__clang__)
#define RECUR_FLATTEN __attribute__((flatten))
#else
#define RECUR_FLATTEN
#endif

// Before a loop of few, constant iterations whose arrays must end up in registers.
#if defined(__clang__)
#define RECUR_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define RECUR_UNROLL _Pragma("GCC unroll 16")
#else
#define RECUR_UNROLL
#endif

namespace recur {

using Eigen::Dynamic;
using Eigen::Index;

}  // namespace recur
