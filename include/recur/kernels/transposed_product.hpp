// SPDX-License-Identifier: MIT
//
// Products summed over the rows of all time steps and sequences, which gradients by parameters are:
// C (M × N) = start + Aᵀ B, and the sums of rows. Like gemm.hpp's, results do not depend on how the
// rows of C are split among threads.
#pragma once

#include <algorithm>  // std::min
#include <cstddef>
#include <type_traits>  // std::integral_constant

#include "recur/kernels/gemm.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// Rows of a product by Aᵀ that are computed at a time.
template <class Scalar>
inline constexpr Index transposed_block = whole_registers<Scalar>(8 * tile_rows);

namespace detail {

// f(first row, rows, k, depth, copy) for all blocks of A (K × M), each copied (its row k at copy +
// k * transposed_block, zeros behind the last): a column of A whose rows are far apart would fall
// into a few lines of the cache. With K = 0 there is one block of depth 0.
template <class Scalar, class F>
RECUR_ALWAYS_INLINE void for_each_copied_block(Index M, Index K, RowsB<Scalar> a, F&& f) {
  constexpr Index width = transposed_block<Scalar>;
  constexpr Index length = 1024 / static_cast<Index>(sizeof(Scalar));
  alignas(64) Scalar copy[static_cast<std::size_t>(width * length)];  // 48 KB
  for (Index m = 0; m < M; m += width) {
    const Index rows = std::min(width, M - m);
    Index k = 0;
    do {
      const Index depth = std::min(length, K - k);
      for (Index i = 0; i < depth; ++i) {
        copy_row(a.row(k + i) + m, rows, copy + i * width);
      }
      f(m, rows, k, depth, copy);
      k += depth;
    } while (k < K);
  }
}

}  // namespace detail

/// C = start + Aᵀ B (start: zero or accumulate), A (K × M) as it stands.
template <class Scalar>
void transposed_product(Index M, Index N, Index K, RowsB<Scalar> a, PackedB<Scalar> b,
                        GemmC<Scalar> c, Start start) {
  constexpr Index panel = tile_columns<Scalar>;
  detail::for_each_copied_block(
      M, K, a, [&](Index m, Index rows, Index k, Index depth, const Scalar* copy) {
        for (Index n = 0; n < N; n += panel) {
          const Index width = panel_width<Scalar>(N, n);
          detail::gemm_panel<Scalar>(
              rows, std::min(panel, N - n), depth, {copy, 1, transposed_block<Scalar>},
              b.data + n * K + k * width, width, {c.data + m * c.row_stride + n, c.row_stride},
              k > 0 ? Start::accumulate : start);
        }
      });
}

/// The same with a B (K × N) as it stands, of one register at most: computes Cᵀ = Bᵀ A, whose rows
/// fill registers, and turns it. (H = 10: twice as fast.)
template <class Scalar>
void narrow_transposed_product(Index M, Index N, Index K, RowsB<Scalar> a, RowsB<Scalar> b,
                               GemmC<Scalar> c, Start start) {
  constexpr Index m_block = transposed_block<Scalar>;
  alignas(64) Scalar turned[static_cast<std::size_t>(native_width<Scalar> * m_block)];
  detail::for_each_copied_block(
      M, K, a, [&](Index m, Index rows, Index k, Index depth, const Scalar* copy) {
        detail::gemm_panel<Scalar>(N, rows, depth, {b.data + k * b.row_stride, 1, b.row_stride},
                                   copy, m_block, {turned, m_block},
                                   k > 0 ? Start::accumulate : Start::zero);
        if (k + depth < K) {
          return;
        }
        for (Index i = 0; i < rows; ++i) {
          for (Index n = 0; n < N; ++n) {
            Scalar& place = c.data[(m + i) * c.row_stride + n];
            const Scalar sum = turned[n * m_block + i];
            place = start == Start::zero ? sum : place + sum;
          }
        }
      });
}

/// sum (N) = start + the rows of B (K × N), in order; and the same to `also`, where it is not null.
/// start: zero or accumulate.
template <class Scalar>
void sum_rows(Index K, Index N, RowsB<Scalar> b, Start start, Scalar* sum, Scalar* also = nullptr) {
  using V = Vec<Scalar>;
  const auto add = [&]<int Vectors>(std::integral_constant<int, Vectors>, Index n, Index last) {
    const auto load = [&](const Scalar* from, int v) {
      return v + 1 < Vectors || last == V::width ? V::load(from + v * V::width)
                                                 : V::load(from + v * V::width, last);
    };
    V total[Vectors];
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      total[v] = V(Scalar(0));
    }
    for (Index k = 0; k < K; ++k) {
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        total[v] = total[v] + load(b.row(k) + n, v);
      }
    }
    for (Scalar* to : {sum, also}) {
      for (int v = 0; v < Vectors && to != nullptr; ++v) {
        const V sums = start == Start::zero ? total[v] : load(to + n, v) + total[v];
        sums.store(to + n + v * V::width, v + 1 < Vectors ? Index(V::width) : last);
      }
    }
  };
  Index n = 0;
  for (; n + tile_columns<Scalar> <= N; n += tile_columns<Scalar>) {
    add(std::integral_constant<int, tile_vectors>{}, n, V::width);
  }
  for (; n < N; n += V::width) {
    add(std::integral_constant<int, 1>{}, n, std::min<Index>(V::width, N - n));
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
