// SPDX-License-Identifier: MIT
//
// Matrix products of the shapes that recurrent layers need: C (M × N) = start + A B, where the rows
// of B are contiguous. C is held in registers, a tile of `tile_rows` rows and up to `tile_vectors`
// vector registers; A is read scalar by scalar and broadcast, B vector by vector. Nothing is packed
// or allocated in a call: Eigen's own products pack both operands every time and allocate above 128
// KB, which costs more than the product itself at one time step.
//
// Every element of C is start + a_0 b_0 + a_1 b_1 + … in this order, whatever the sizes and the
// tile it falls into: results do not depend on the batch size, nor on how rows are split among
// threads.
#pragma once

#include <algorithm>  // std::min

#include "recur/kernels/packet.hpp"

namespace recur::kernels {

/// A (M × K): element (m, k) at data[m * row_stride + k * column_stride].
template <class Scalar>
struct GemmA {
  const Scalar* data;
  Index row_stride;
  Index column_stride;
};

/// B (K × N) in panels of `tile_columns` columns: element (k, n) at
/// data[n / tile_columns * panel_stride + k * row_stride + n % tile_columns].
template <class Scalar>
struct GemmB {
  const Scalar* data;
  Index row_stride;
  Index panel_stride;
};

/// C (M × N): element (m, n) at data[m * row_stride + n].
template <class Scalar>
struct GemmC {
  Scalar* data;
  Index row_stride;
};

/// What C starts from.
enum class Start { zero, bias, accumulate };

// Registers: tile_rows × tile_vectors sums, tile_vectors of B, one of A.
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = register_count >= 32 ? 4 : 2;
template <class Scalar>
inline constexpr Index tile_columns = tile_vectors* native_width<Scalar>;

/// A plain row-major matrix as B: its columns taken in place.
template <class Scalar>
GemmB<Scalar> rows_of(const Scalar* data, Index row_stride) {
  return {data, row_stride, tile_columns<Scalar>};
}

namespace detail {

template <class V, int Rows, int Vectors, Start From, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile(Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                                   GemmC<Scalar> c, const Scalar* bias) {
  V sum[Rows][Vectors];
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      if constexpr (From == Start::zero) {
        sum[m][v] = V(Scalar(0));
      } else if constexpr (From == Start::bias) {
        sum[m][v] = V::load(bias + v * V::width);
      } else {
        sum[m][v] = V::load(c.data + m * c.row_stride + v * V::width);
      }
    }
  }
  for (Index k = 0; k < K; ++k) {
    V row[Vectors];
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      row[v] = V::load(b + v * V::width);
    }
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const V factor(a.data[m * a.row_stride]);
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        sum[m][v] = multiply_add(factor, row[v], sum[m][v]);
      }
    }
    a.data += a.column_stride;
    b += b_stride;
  }
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[m][v].store(c.data + m * c.row_stride + v * V::width);
    }
  }
}

// All rows of one column block, in tiles whose heights differ by at most one.
template <class V, int Vectors, Start From, class Scalar>
void gemm_columns(Index M, Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                  GemmC<Scalar> c, const Scalar* bias) {
  const Index tiles = (M + tile_rows - 1) / tile_rows;
  for (Index tile = 0; tile < tiles; ++tile) {
    const Index first = M * tile / tiles;
    const Index rows = M * (tile + 1) / tiles - first;
    const GemmA<Scalar> a_tile{a.data + first * a.row_stride, a.row_stride, a.column_stride};
    const GemmC<Scalar> c_tile{c.data + first * c.row_stride, c.row_stride};
    switch (rows) {
      case 1:
        gemm_tile<V, 1, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
      case 2:
        gemm_tile<V, 2, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
      case 3:
        gemm_tile<V, 3, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
      case 4:
        gemm_tile<V, 4, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
      case 5:
        gemm_tile<V, 5, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
      default:
        gemm_tile<V, 6, Vectors, From>(K, a_tile, b, b_stride, c_tile, bias);
        break;
    }
  }
}

// `columns` columns of one panel, widest registers first, single scalars last.
template <int Width, int Vectors, Start From, class Scalar>
void gemm_panel(Index M, Index columns, Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                GemmC<Scalar> c, const Scalar* bias) {
  constexpr Index block = Index(Width) * Vectors;
  while (columns >= block) {
    gemm_columns<Vec<Scalar, Width>, Vectors, From>(M, K, a, b, b_stride, c, bias);
    columns -= block;
    b += block;
    c.data += block;
    bias += From == Start::bias ? block : 0;
  }
  if (columns > 0) {
    if constexpr (Vectors > 1) {
      gemm_panel<Width, Vectors / 2, From>(M, columns, K, a, b, b_stride, c, bias);
    } else if constexpr (Width > smallest_width<Scalar>) {
      gemm_panel<Width / 2, 1, From>(M, columns, K, a, b, b_stride, c, bias);
    } else if constexpr (Width > 1) {
      gemm_panel<1, 1, From>(M, columns, K, a, b, b_stride, c, bias);
    }
  }
}

template <Start From, class Scalar>
void gemm_start(Index M, Index N, Index K, GemmA<Scalar> a, GemmB<Scalar> b, GemmC<Scalar> c,
                const Scalar* bias) {
  constexpr Index panel = tile_columns<Scalar>;
  for (Index n = 0; n < N; n += panel) {
    gemm_panel<native_width<Scalar>, tile_vectors, From>(
        M, std::min(panel, N - n), K, a, b.data + n / panel * b.panel_stride, b.row_stride,
        {c.data + n, c.row_stride}, bias == nullptr ? bias : bias + n);
  }
}

}  // namespace detail

/// C = start + A B; `bias` (N) is read only where C starts from it. C is overwritten, or added to
/// with Start::accumulate. C must not overlap A or B.
template <class Scalar>
void gemm(Index M, Index N, Index K, GemmA<Scalar> a, GemmB<Scalar> b, GemmC<Scalar> c, Start start,
          const Scalar* bias = nullptr) {
  // Blocks that stay in the caches: a panel of B (128 rows of 4 registers: 32 KB with AVX-512) in
  // L1, the block of A in L2.
  constexpr Index k_block = 128;
  constexpr Index m_block = 384;
  for (Index m = 0; m < M; m += m_block) {
    Start from = start;
    Index k = 0;
    do {  // at least once: K = 0 still sets C
      const Index depth = std::min(k_block, K - k);
      const Index rows = std::min(m_block, M - m);
      const GemmA<Scalar> a_block{a.data + m * a.row_stride + k * a.column_stride, a.row_stride,
                                  a.column_stride};
      const GemmB<Scalar> b_block{b.data + k * b.row_stride, b.row_stride, b.panel_stride};
      const GemmC<Scalar> c_block{c.data + m * c.row_stride, c.row_stride};
      switch (from) {
        case Start::zero:
          detail::gemm_start<Start::zero>(rows, N, depth, a_block, b_block, c_block, bias);
          break;
        case Start::bias:
          detail::gemm_start<Start::bias>(rows, N, depth, a_block, b_block, c_block, bias);
          break;
        case Start::accumulate:
          detail::gemm_start<Start::accumulate>(rows, N, depth, a_block, b_block, c_block,
                                                static_cast<const Scalar*>(nullptr));
          break;
      }
      from = Start::accumulate;
      k += depth;
    } while (k < K);
  }
}

}  // namespace recur::kernels
