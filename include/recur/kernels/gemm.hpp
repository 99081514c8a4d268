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

#include <algorithm>    // std::min
#include <type_traits>  // std::integral_constant

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

// The start is a run-time choice, made once a tile: as a template argument it made three times as
// many tiles to compile and not one of them faster.
template <class V, int Rows, int Vectors, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile(Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                                   GemmC<Scalar> c, Start start, const Scalar* bias) {
  V sum[Rows][Vectors];
  // A row of what C starts from; bias and zero are the same for all rows.
  const Scalar* from = start == Start::bias ? bias : c.data;
  const Index from_stride = start == Start::bias ? 0 : c.row_stride;
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[m][v] =
          start == Start::zero ? V(Scalar(0)) : V::load(from + m * from_stride + v * V::width);
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
template <class V, int Vectors, class Scalar>
void gemm_columns(Index M, Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                  GemmC<Scalar> c, Start start, const Scalar* bias) {
  const Index tiles = (M + tile_rows - 1) / tile_rows;
  for (Index tile = 0; tile < tiles; ++tile) {
    const Index first = M * tile / tiles;
    const GemmA<Scalar> a_tile{a.data + first * a.row_stride, a.row_stride, a.column_stride};
    const GemmC<Scalar> c_tile{c.data + first * c.row_stride, c.row_stride};
    const auto run = [&]<int Rows>(std::integral_constant<int, Rows>) {
      gemm_tile<V, Rows, Vectors>(K, a_tile, b, b_stride, c_tile, start, bias);
    };
    switch (M * (tile + 1) / tiles - first) {
      case 1:
        run(std::integral_constant<int, 1>{});
        break;
      case 2:
        run(std::integral_constant<int, 2>{});
        break;
      case 3:
        run(std::integral_constant<int, 3>{});
        break;
      case 4:
        run(std::integral_constant<int, 4>{});
        break;
      case 5:
        run(std::integral_constant<int, 5>{});
        break;
      default:
        run(std::integral_constant<int, tile_rows>{});
        break;
    }
  }
}

// `columns` columns of one panel, widest registers first, single scalars last.
template <int Width, int Vectors, class Scalar>
void gemm_panel(Index M, Index columns, Index K, GemmA<Scalar> a, const Scalar* b, Index b_stride,
                GemmC<Scalar> c, Start start, const Scalar* bias) {
  constexpr Index block = Index(Width) * Vectors;
  while (columns >= block) {
    gemm_columns<Vec<Scalar, Width>, Vectors>(M, K, a, b, b_stride, c, start, bias);
    columns -= block;
    b += block;
    c.data += block;
    bias += start == Start::bias ? block : 0;
  }
  if (columns > 0) {
    if constexpr (Vectors > 1) {
      gemm_panel<Width, Vectors / 2>(M, columns, K, a, b, b_stride, c, start, bias);
    } else if constexpr (Width > smallest_width<Scalar>) {
      gemm_panel<Width / 2, 1>(M, columns, K, a, b, b_stride, c, start, bias);
    } else if constexpr (Width > 1) {
      gemm_panel<1, 1>(M, columns, K, a, b, b_stride, c, start, bias);
    }
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
      constexpr Index panel = tile_columns<Scalar>;
      for (Index n = 0; n < N; n += panel) {
        detail::gemm_panel<native_width<Scalar>, tile_vectors>(
            rows, std::min(panel, N - n), depth, a_block,
            b_block.data + n / panel * b_block.panel_stride, b_block.row_stride,
            {c_block.data + n, c_block.row_stride}, from, from == Start::bias ? bias + n : nullptr);
      }
      from = Start::accumulate;
      k += depth;
    } while (k < K);
  }
}

}  // namespace recur::kernels
