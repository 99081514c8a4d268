// SPDX-License-Identifier: MIT
//
// The last columns of a product, where they are too few for a register: instead of multiplying
// mostly zeros they are dot products along k, a register of k at a time. Of H = 100 columns, four
// would cost a seventh of the time.
#pragma once

#include <type_traits>  // std::integral_constant

#include "recur/kernels/gemm_tile.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// How many of the last of N columns are dot products of K terms. They cost a multiply-add a
/// register of terms and, at the end, the sum of the register; a register of columns costs one a
/// term.
template <class Scalar>
constexpr Index dot_columns(Index N, Index K) {
  constexpr Index width = native_width<Scalar>;
  constexpr Index sum = 8;  // of a register, in multiply-adds of equal time
  const Index rest = N % width;
  return rest * ((K + width - 1) / width + sum) < K * 3 / 4 ? rest : 0;
}

namespace detail {

// column_stride of A must be 1. b: column after column, K scalars each.
template <class V, int Rows, int Columns, class Scalar>
RECUR_ALWAYS_INLINE void dot_tile(Index K, const GemmA<Scalar>& a, const Scalar* b,
                                  const GemmC<Scalar>& c, Start start, const Scalar* bias) {
  V sums[Rows][Columns];
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int n = 0; n < Columns; ++n) {
      sums[m][n] = V(Scalar(0));
    }
  }
  const auto add = [&](Index k, const auto& load) {
    V column[Columns];
    RECUR_UNROLL
    for (int n = 0; n < Columns; ++n) {
      column[n] = load(b + n * K + k);
    }
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const V row = load(a.data + m * a.row_stride + k);
      RECUR_UNROLL
      for (int n = 0; n < Columns; ++n) {
        sums[m][n] = multiply_add(row, column[n], sums[m][n]);
      }
    }
  };
  Index k = 0;
  for (; k + V::width <= K; k += V::width) {
    add(k, [](const Scalar* from) { return V::load(from); });
  }
  if (k < K) {
    add(k, [&](const Scalar* from) { return V::load(from, K - k); });
  }
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    Scalar* row = c.data + m * c.row_stride;
    RECUR_UNROLL
    for (int n = 0; n < Columns; ++n) {
      const Scalar before = start == Start::zero   ? Scalar(0)
                            : start == Start::bias ? bias[n]
                                                   : row[n];
      row[n] = sum(sums[m][n]) + before;
    }
  }
}

template <class V, int Columns, class Scalar>
RECUR_ALWAYS_INLINE void dot_group(Index M, Index K, const GemmA<Scalar>& a, const Scalar* b,
                                   const GemmC<Scalar>& c, Start start, const Scalar* bias) {
  constexpr int rows = register_count >= 32 ? 4 : 2;
  Index m = 0;
  for (; m + rows <= M; m += rows) {
    dot_tile<V, rows, Columns>(K, {a.data + m * a.row_stride, a.row_stride, 1}, b,
                               {c.data + m * c.row_stride, c.row_stride}, start, bias);
  }
  for (; m < M; ++m) {
    dot_tile<V, 1, Columns>(K, {a.data + m * a.row_stride, a.row_stride, 1}, b,
                            {c.data + m * c.row_stride, c.row_stride}, start, bias);
  }
}

// C (M × columns) = start + A B by dot products; see dot_tile.
template <class Scalar>
void gemm_dots(Index M, Index columns, Index K, const GemmA<Scalar>& a, const Scalar* b,
               const GemmC<Scalar>& c, Start start, const Scalar* bias) {
  using V = Vec<Scalar>;
  Index n = 0;
  const auto group = [&](auto count) {
    for (; n + count.value <= columns; n += count.value) {
      dot_group<V, count.value>(M, K, a, b + n * K, {c.data + n, c.row_stride}, start,
                                start == Start::bias ? bias + n : nullptr);
    }
  };
  group(std::integral_constant<int, 4>());
  group(std::integral_constant<int, 1>());
}

}  // namespace detail

}  // namespace recur::inline RECUR_ABI::kernels
