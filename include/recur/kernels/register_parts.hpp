// SPDX-License-Identifier: MIT
//
// Loads and stores of the first few lanes of a register, in the instructions of each machine. By
// way of a buffer, the load of the whole would wait until the pieces written there had reached the
// cache: with AVX2, 10 units and 128 sequences took twice as long, 33 units and 16 sequences up to
// two fifths longer. AVX-512 has masks. AVX has them, too, but AMD's processors store by them
// slowly (10 units, training: a third longer), so it stores pieces of four, two and one, as SSE and
// NEON do.
#pragma once

#include <cstdint>

#include "recur/config.hpp"

#if defined(EIGEN_VECTORIZE_SSE)
#include <immintrin.h>
#elif defined(EIGEN_VECTORIZE_NEON)
#include <arm_neon.h>
#endif

// GCC: vector types as template arguments lose their alignment attribute, which nothing here reads.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
#endif

namespace recur::inline RECUR_ABI::kernels {

/// load(from, count): the first `count` scalars, 0 … all; the other lanes are zero. store(x, to,
/// count): the first ones, and nothing else is written. Defined for the registers named below.
template <class Register>
struct RegisterParts;

#if defined(EIGEN_VECTORIZE_SSE)

template <>
struct RegisterParts<__m128> {
  static RECUR_ALWAYS_INLINE __m128 load(const float* from, Index count) {
    if (count == 4) {
      return _mm_loadu_ps(from);
    }
    if ((count & 2) == 0) {
      return (count & 1) != 0 ? _mm_load_ss(from) : _mm_setzero_ps();
    }
    const __m128 two = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
    return (count & 1) != 0 ? _mm_movelh_ps(two, _mm_load_ss(from + 2)) : two;
  }
  static RECUR_ALWAYS_INLINE void store(__m128 x, float* to, Index count) {
    if (count == 4) {
      _mm_storeu_ps(to, x);
      return;
    }
    if ((count & 2) != 0) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_castps_si128(x));
      x = _mm_movehl_ps(x, x);
      to += 2;
    }
    if ((count & 1) != 0) {
      _mm_store_ss(to, x);
    }
  }
};

template <>
struct RegisterParts<__m128d> {
  static RECUR_ALWAYS_INLINE __m128d load(const double* from, Index count) {
    return count == 2 ? _mm_loadu_pd(from) : count == 1 ? _mm_load_sd(from) : _mm_setzero_pd();
  }
  static RECUR_ALWAYS_INLINE void store(__m128d x, double* to, Index count) {
    if (count == 2) {
      _mm_storeu_pd(to, x);
    } else if (count == 1) {
      _mm_store_sd(to, x);
    }
  }
};

#endif
#if defined(EIGEN_VECTORIZE_AVX)

template <>
struct RegisterParts<__m256> {
  using Half = RegisterParts<__m128>;

  static RECUR_ALWAYS_INLINE __m256 load(const float* from, Index count) {
    static constexpr std::int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_maskload_ps(
        from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 8 - count)));
  }
  static RECUR_ALWAYS_INLINE void store(__m256 x, float* to, Index count) {
    if (count == 8) {
      _mm256_storeu_ps(to, x);
    } else if ((count & 4) != 0) {
      _mm_storeu_ps(to, _mm256_castps256_ps128(x));
      Half::store(_mm256_extractf128_ps(x, 1), to + 4, count & 3);
    } else {
      Half::store(_mm256_castps256_ps128(x), to, count);
    }
  }
};

template <>
struct RegisterParts<__m256d> {
  using Half = RegisterParts<__m128d>;

  static RECUR_ALWAYS_INLINE __m256d load(const double* from, Index count) {
    static constexpr std::int64_t lanes[8] = {-1, -1, -1, -1};
    return _mm256_maskload_pd(
        from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 4 - count)));
  }
  static RECUR_ALWAYS_INLINE void store(__m256d x, double* to, Index count) {
    if (count == 4) {
      _mm256_storeu_pd(to, x);
    } else if ((count & 2) != 0) {
      _mm_storeu_pd(to, _mm256_castpd256_pd128(x));
      Half::store(_mm256_extractf128_pd(x, 1), to + 2, count & 1);
    } else {
      Half::store(_mm256_castpd256_pd128(x), to, count);
    }
  }
};

#endif
#if defined(EIGEN_VECTORIZE_AVX512)

template <>
struct RegisterParts<__m512> {
  static RECUR_ALWAYS_INLINE __m512 load(const float* from, Index count) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), from);
  }
  static RECUR_ALWAYS_INLINE void store(__m512 x, float* to, Index count) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1), x);
  }
};

template <>
struct RegisterParts<__m512d> {
  static RECUR_ALWAYS_INLINE __m512d load(const double* from, Index count) {
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1U << count) - 1), from);
  }
  static RECUR_ALWAYS_INLINE void store(__m512d x, double* to, Index count) {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1U << count) - 1), x);
  }
};

#endif
#if defined(EIGEN_VECTORIZE_NEON)

template <>
struct RegisterParts<float32x4_t> {
  static RECUR_ALWAYS_INLINE float32x4_t load(const float* from, Index count) {
    if (count == 4) {
      return vld1q_f32(from);
    }
    const float32x2_t zeros = vdup_n_f32(0);
    if ((count & 2) == 0) {
      return vcombine_f32((count & 1) != 0 ? vld1_lane_f32(from, zeros, 0) : zeros, zeros);
    }
    return vcombine_f32(vld1_f32(from),
                        (count & 1) != 0 ? vld1_lane_f32(from + 2, zeros, 0) : zeros);
  }
  static RECUR_ALWAYS_INLINE void store(float32x4_t x, float* to, Index count) {
    if (count == 4) {
      vst1q_f32(to, x);
    } else if (count == 3) {
      vst1_f32(to, vget_low_f32(x));
      vst1q_lane_f32(to + 2, x, 2);
    } else if (count == 2) {
      vst1_f32(to, vget_low_f32(x));
    } else if (count == 1) {
      vst1q_lane_f32(to, x, 0);
    }
  }
};

#endif

}  // namespace recur::inline RECUR_ABI::kernels

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
