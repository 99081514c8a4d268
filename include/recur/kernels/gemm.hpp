// SPDX-License-Identifier: MIT
//
// Matrix products of the shapes that recurrent layers need: C (M × N) = start + A B. C is held in
// registers, a tile of some rows and up to `tile_vectors` vector registers; A is read scalar by
// scalar and broadcast, B register by register from *panels* (panels.hpp), row after row in one
// stream. Weights are packed into panels once (packed_weights.hpp); what is not, a panel at a time
// on the stack, which is soon paid for by the many rows of A that are multiplied with it.
// Nothing is allocated: Eigen's own products pack both operands every time and allocate above 128
// KB, which costs more than the product itself at one time step.
//
// The order in which an element's products are added: gemm_tile.hpp.
//
// Rejected: huge pages for packed weights (no difference beyond 2 % at H = 1,024).
#pragma once

#include <algorithm>  // std::min
#include <cstddef>

#include "recur/kernels/gemm_dots.hpp"
#include "recur/kernels/gemm_panels.hpp"
#include "recur/kernels/gemm_row.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

// Any product; of: its columns in panels, and `dots` more behind them.
template <class Scalar>
RECUR_NEVER_INLINE void gemm_of_any_size(const Product<Scalar>& of, Index dots) {
  const bool by_blocks = goes_block_by_block(of);
  if (by_blocks) {
    gemm_by_blocks(of);
  }
  const auto add_dots = [&](const Product<Scalar>& rows) {
    if (dots > 0) {
      gemm_dots<Scalar>(rows.M, dots, rows.K, {rows.a.data, rows.a.row_stride, 1},
                        rows.weights(rows.N, 0, 0), rows.columns_from(rows.N), rows.start,
                        rows.bias_from(rows.start, rows.N));
    }
  };
  if (of.M == 1) {
    gemm_one_row(of);
    add_dots(of);
    return;
  }
  for (Index m = 0; m < of.M && (!by_blocks || dots > 0); m += m_block) {
    const Product<Scalar> some = of.rows(m, std::min(m_block, of.M - m));
    if (!by_blocks) {
      gemm_by_panels(some);
    }
    add_dots(some);
  }
}

}  // namespace detail

/// C = start + A B; `bias` (N) is read only where C starts from it. C is overwritten, or added to
/// with Start::accumulate. C must not overlap A or B.
template <class Scalar>
void gemm(Index M, Index N, Index K, GemmA<Scalar> a, PackedB<Scalar> b, GemmC<Scalar> c,
          Start start, const Scalar* bias = nullptr, const Manner& manner = {}) {
  const Index block = detail::length_of_block(K, manner.what);
  // One panel and one block, without all that more of them need: a call of one step may be no more.
  if (N <= tile_columns<Scalar> && b.dots == 0 && block == K && M <= detail::m_block &&
      manner.parts_from >= N) {
    constexpr Index width = native_width<Scalar>;
    if (M == 1 && N > 0 && N % width == 0) {
      detail::with_constant<tile_vectors>(N / width, [&](auto vectors) {
        detail::gemm_row<Vec<Scalar>, 1, vectors.value>(K, a.data, a.column_stride, b.data, 0,
                                                        c.data, start, bias);
      });
    } else {
      detail::gemm_panel<Scalar>(M, N, K, a, b.data, whole_registers<Scalar>(N), c, start,
                                 start == Start::bias ? bias : nullptr, {}, manner.place);
    }
    return;
  }
  detail::gemm_of_any_size<Scalar>({M, N - b.dots, K, block, a, b.data, c, start, bias, manner},
                                   b.dots);
}

/// The same of gradients, to the bit, with a B that is packed on the way, a block of a panel at a
/// time: for many rows of A.
template <class Scalar>
void gemm(Index M, Index N, Index K, GemmA<Scalar> a, RowsB<Scalar> b, GemmC<Scalar> c, Start start,
          const Scalar* bias = nullptr) {
  constexpr Index longest = detail::terms_in_one_go(SumOf::gradients).most;
  alignas(64) Scalar packed[static_cast<std::size_t>(longest * tile_columns<Scalar>)];
  const Panels<Scalar> panels(N);
  const Index block = detail::length_of_block(K, SumOf::gradients);
  Index k = 0;
  do {
    const Index depth = std::min(block, K - k);
    for (Index p = 0; p < panels.count(); ++p) {
      const Index n = panels.begin(p);
      const Index columns = panels.columns(p);
      const Index width = panels.width(p);
      for (Index i = 0; i < depth; ++i) {
        copy_row(b.row(k + i) + n, columns, packed + i * width);
      }
      detail::gemm_panel<Scalar>(
          M, columns, depth, {a.data + k * a.column_stride, a.row_stride, a.column_stride}, packed,
          width, {c.data + n, c.row_stride}, start, start == Start::bias ? bias + n : nullptr);
    }
    start = Start::accumulate;
    k += depth;
  } while (k < K);
}

}  // namespace recur::inline RECUR_ABI::kernels
