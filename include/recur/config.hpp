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

// The instruction set and the use of threads are part of the name of everything in the library (an
// inline namespace). With one name for all, a program whose parts are compiled for different
// processors would keep one copy of each function, perhaps one that the processor cannot run; now
// each part has its own, and to hand a layer from one to the other does not link. recur::Error is
// the same for all. Eigen's own functions have one name all the same: such a program must set
// EIGEN_MAX_ALIGN_BYTES to one value everywhere, or memory is freed as it was not allocated.
#if defined(EIGEN_VECTORIZE_AVX512)
#define RECUR_INSTRUCTION_SET avx512
#elif defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA)
#define RECUR_INSTRUCTION_SET avx2_fma
#elif defined(EIGEN_VECTORIZE_AVX2)
#define RECUR_INSTRUCTION_SET avx2
#elif defined(EIGEN_VECTORIZE_AVX)
#define RECUR_INSTRUCTION_SET avx
#elif defined(EIGEN_VECTORIZE_SSE)
#define RECUR_INSTRUCTION_SET sse
#elif defined(EIGEN_VECTORIZE_NEON)
#define RECUR_INSTRUCTION_SET neon
#else
#define RECUR_INSTRUCTION_SET other
#endif
#define RECUR_JOIN_NAMES(a, b) a##_##b
#define RECUR_JOIN(a, b) RECUR_JOIN_NAMES(a, b)
#if RECUR_HAS_OPENMP
#define RECUR_ABI RECUR_JOIN(RECUR_INSTRUCTION_SET, openmp)
#else
#define RECUR_ABI RECUR_JOIN(RECUR_INSTRUCTION_SET, alone)
#endif

// Whether a · b + c is one instruction.
#if defined(EIGEN_VECTORIZE_FMA) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMA)
#define RECUR_HAS_MULTIPLY_ADD 1
#else
#define RECUR_HAS_MULTIPLY_ADD 0
#endif

// For the few functions whose speed hangs on their being inlined into a register-blocked loop.
#if defined(__GNUC__) || defined(__clang__)
#define RECUR_ALWAYS_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define RECUR_ALWAYS_INLINE __forceinline
#else
#define RECUR_ALWAYS_INLINE inline
#endif

// For what must stand in one place of a program.
#if defined(__GNUC__) || defined(__clang__)
#define RECUR_NEVER_INLINE inline __attribute__((noinline))
#elif defined(_MSC_VER)
#define RECUR_NEVER_INLINE inline __declspec(noinline)
#else
#define RECUR_NEVER_INLINE inline
#endif

// Everything that the function calls is inlined into it: the equations of any cell, which a
// compiler may think too long. RECUR_FLAT_FUNCTION: and it stays a function. (Where GCC inlines it
// elsewhere, it forgets what was asked for.)
#if defined(__GNUC__) || defined(__clang__)
#define RECUR_FLATTEN __attribute__((flatten))
#define RECUR_FLAT_FUNCTION __attribute__((flatten, noinline))
#else
#define RECUR_FLATTEN
#define RECUR_FLAT_FUNCTION
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
