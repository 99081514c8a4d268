// SPDX-License-Identifier: MIT
//
// Squares of registers, turned: rows of numbers become columns.
#pragma once

#include "recur/kernels/packet.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

template <class Packet, int Width>
RECUR_ALWAYS_INLINE void turn(Packet (&square)[Width]) {
  packets::PacketBlock<Packet, Width> block;
  RECUR_UNROLL
  for (int k = 0; k < Width; ++k) {
    block.packet[k] = square[k];
  }
  packet_transpose(block);
  RECUR_UNROLL
  for (int k = 0; k < Width; ++k) {
    square[k] = block.packet[k];
  }
}

// AVX-512: in two thirds of the instructions that Eigen takes. Zero-masked forms: see packet.hpp.
#ifdef EIGEN_VECTORIZE_AVX512
// The quarters of four registers as a square of 4 × 4.
RECUR_ALWAYS_INLINE void turn_quarters(__m512 (&rows)[4]) {
  constexpr int even = 0x88;  // quarters 0 and 2 of both
  constexpr int odd = 0xdd;   // 1 and 3
  const __m512 evens[] = {_mm512_maskz_shuffle_f32x4(0xffff, rows[0], rows[1], even),
                          _mm512_maskz_shuffle_f32x4(0xffff, rows[2], rows[3], even)};
  const __m512 odds[] = {_mm512_maskz_shuffle_f32x4(0xffff, rows[0], rows[1], odd),
                         _mm512_maskz_shuffle_f32x4(0xffff, rows[2], rows[3], odd)};
  rows[0] = _mm512_maskz_shuffle_f32x4(0xffff, evens[0], evens[1], even);
  rows[1] = _mm512_maskz_shuffle_f32x4(0xffff, odds[0], odds[1], even);
  rows[2] = _mm512_maskz_shuffle_f32x4(0xffff, evens[0], evens[1], odd);
  rows[3] = _mm512_maskz_shuffle_f32x4(0xffff, odds[0], odds[1], odd);
}
// Four rows, inside of their quarters: column k holds in quarter q the numbers 4 q + k of all.
RECUR_ALWAYS_INLINE void turn_in_quarters(const __m512* rows, __m512 (&columns)[4]) {
  __m512d low[2];  // in each quarter the columns 0 and 1 of two rows; high: 2 and 3
  __m512d high[2];
  RECUR_UNROLL
  for (int pair = 0; pair < 2; ++pair) {
    const __m512* two = rows + 2 * pair;
    low[pair] = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xffff, two[0], two[1]));
    high[pair] = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xffff, two[0], two[1]));
  }
  columns[0] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, low[0], low[1]));
  columns[1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, low[0], low[1]));
  columns[2] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, high[0], high[1]));
  columns[3] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, high[0], high[1]));
}
// Inside of quarters first, then the quarters: 64 instructions, where Eigen takes 96.
RECUR_ALWAYS_INLINE void turn(__m512 (&square)[16]) {
  __m512 columns[4][4];  // [g][k]: in quarter q column 4 q + k of rows 4 g …
  RECUR_UNROLL
  for (int g = 0; g < 4; ++g) {
    turn_in_quarters(square + 4 * g, columns[g]);
  }
  RECUR_UNROLL
  for (int k = 0; k < 4; ++k) {
    __m512 rows[] = {columns[0][k], columns[1][k], columns[2][k], columns[3][k]};
    turn_quarters(rows);
    RECUR_UNROLL
    for (int q = 0; q < 4; ++q) {
      square[4 * q + k] = rows[q];
    }
  }
}
RECUR_ALWAYS_INLINE void turn(__m512d (&square)[8]) {
  __m512 columns[2][4];  // [k][pair]: in quarter q column 2 q + k of two rows
  RECUR_UNROLL
  for (int pair = 0; pair < 4; ++pair) {
    const __m512d* rows = square + 2 * pair;
    columns[0][pair] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, rows[0], rows[1]));
    columns[1][pair] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, rows[0], rows[1]));
  }
  RECUR_UNROLL
  for (int k = 0; k < 2; ++k) {
    turn_quarters(columns[k]);
    RECUR_UNROLL
    for (int q = 0; q < 4; ++q) {
      square[2 * q + k] = _mm512_castps_pd(columns[k][q]);
    }
  }
}
#endif

}  // namespace detail

/// Lane j of register i and lane i of register j change places.
template <class Scalar, int Width>
RECUR_ALWAYS_INLINE void transpose(Vec<Scalar, Width> (&rows)[Width]) requires(Width > 1) {
  typename Vec<Scalar, Width>::Packet square[Width];
  RECUR_UNROLL
  for (int k = 0; k < Width; ++k) {
    square[k] = rows[k].p;
  }
  detail::turn(square);
  RECUR_UNROLL
  for (int k = 0; k < Width; ++k) {
    rows[k].p = square[k];
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
