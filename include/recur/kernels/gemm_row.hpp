// SPDX-License-Identifier: MIT
//
// One row of a product, several panels at once: a single row of one panel has too few sums to hide
// the latency of an addition, and one stream from memory where several would come faster. The bits
// are those of the tiles in gemm_tile.hpp.
#pragma once

#include "recur/kernels/gemm_tile.hpp"

namespace recur::inline RECUR_ABI::kernels::detail {

// sum = one row of A times `Panels` whole panels, `panel_stride` apart, `Vectors` registers each.
template <int Panels, int Vectors, class V, class Scalar>
RECUR_ALWAYS_INLINE void sums_of_row(Index K, const Scalar* a, Index a_stride, const Scalar* b,
                                     Index panel_stride, V (&sum)[Panels * Vectors]) {
  RECUR_UNROLL
  for (V& element : sum) {
    element = V(Scalar(0));
  }
  const Scalar* panels[Panels];
  RECUR_UNROLL
  for (int p = 0; p < Panels; ++p) {
    panels[p] = b + p * panel_stride;
    keep_in_general_register(panels[p]);
  }
  for (Index k = K; k > 0; --k) {
    const V factor(*a);
    RECUR_UNROLL
    for (int v = 0; v < Panels * Vectors; ++v) {
      sum[v] = multiply_add(factor, V::load(panels[v / Vectors] + v % Vectors * V::width), sum[v]);
    }
    keep_in_general_register(a_stride);
    a += a_stride;
    RECUR_UNROLL
    for (int p = 0; p < Panels; ++p) {
      panels[p] += Vectors * V::width;
    }
  }
}

// One row of C, so summed.
template <class V, int Count, class Scalar>
RECUR_ALWAYS_INLINE void give_row(V (&sum)[Count], Scalar* c, Start start, const Scalar* bias) {
  RECUR_UNROLL
  for (int v = 0; v < Count; ++v) {
    if (start != Start::zero) {
      sum[v] = sum[v] + V::load((start == Start::bias ? bias : c) + v * V::width);
    }
    sum[v].store(c + v * V::width);
  }
}
template <class V, int Panels, int Vectors, class Scalar>
void gemm_row(Index K, const Scalar* a, Index a_stride, const Scalar* b, Index panel_stride,
              Scalar* c, Start start, const Scalar* bias = nullptr) {
  V sum[Panels * Vectors];
  sums_of_row<Panels, Vectors>(K, a, a_stride, b, panel_stride, sum);
  give_row(sum, c, start, bias);
}

// The same of a whole panel and of what stands behind it, `Vectors` registers.
template <class V, int Vectors, class Scalar>
void gemm_row_of_two(Index K, const Scalar* a, Index a_stride, const Scalar* b, Index panel_stride,
                     Scalar* c, Start start, const Scalar* bias) {
  V sum[tile_vectors + Vectors];
  RECUR_UNROLL
  for (V& element : sum) {
    element = V(Scalar(0));
  }
  const Scalar* behind = b + panel_stride;
  for (Index k = K; k > 0; --k) {
    const V factor(*a);
    RECUR_UNROLL
    for (int v = 0; v < tile_vectors + Vectors; ++v) {
      const Scalar* row =
          v < tile_vectors ? b + v * V::width : behind + (v - tile_vectors) * V::width;
      sum[v] = multiply_add(factor, V::load(row), sum[v]);
    }
    keep_in_general_register(a_stride);
    a += a_stride;
    b += tile_vectors * V::width;
    behind += Vectors * V::width;
  }
  give_row(sum, c, start, bias);
}

}  // namespace recur::inline RECUR_ABI::kernels::detail
