// SPDX-License-Identifier: MIT
//
// Sums in several parts, each over a stretch of k, for panels that have to hide the latency of an
// addition by themselves: one row of one panel has four sums at most, and each waits four cycles
// for the addition before. That is what a scan of one sequence does all the time; of more sequences
// every row of C takes the same parts, so that a sequence's results do not depend on the others.
#pragma once

#include <algorithm>  // std::max, std::min

#include "recur/kernels/gemm_tile.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// In how many parts a panel of so many registers sums K terms: K / parts each, and the rest in the
/// last. (H = 16, one sequence: a sixth of a training step's time. Four parts of two registers
/// would win little more.) Beyond k_block sums are cut anyway; what is wider than a tile is several
/// panels.
constexpr Index parts_of_sum(Index K, Index vectors) {
  const Index for_four = vectors == 1 ? 32 : 128;
  return K < 16 || K > detail::k_block || vectors > tile_vectors ? 1
         : K < for_four || vectors == 2                          ? 2
                                                                 : 4;
}

namespace detail {

// sum[j] = the terms [j * length, (j + 1) * length) of a tile, side by side; of the last one `rest`
// more.
template <class V, int Count, int Rows, int Vectors, class Scalar>
RECUR_ALWAYS_INLINE void sum_side_by_side(Index length, Index rest, const GemmA<Scalar>& a,
                                          const Scalar* b, V (&sum)[Count][Rows][Vectors]) {
  RECUR_UNROLL
  for (int j = 0; j < Count; ++j) {
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        sum[j][m][v] = V(Scalar(0));
      }
    }
  }
  const Index a_row = a.row_stride;
  const Index a_column = a.column_stride;
  const Scalar* factors = a.data;
  for (Index k = 0; k < length; ++k) {
    RECUR_UNROLL
    for (int j = 0; j < Count; ++j) {
      V row[Vectors];
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        V weight = V::load(b + (j * length * Vectors + v) * V::width);
        if constexpr (Rows > 1 && Vectors > 1) {
          keep_in_register(weight);
        }
        row[v] = weight;
      }
      RECUR_UNROLL
      for (int m = 0; m < Rows; ++m) {
        const V factor(factors[j * length * a_column + m * a_row]);
        RECUR_UNROLL
        for (int v = 0; v < Vectors; ++v) {
          sum[j][m][v] = multiply_add(factor, row[v], sum[j][m][v]);
        }
      }
    }
    factors += a_column;
    b += Vectors * V::width;
  }
  factors += (Count - 1) * length * a_column;
  b += (Count - 1) * length * Vectors * V::width;
  for (Index k = 0; k < rest; ++k) {
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const V factor(factors[m * a_row]);
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        sum[Count - 1][m][v] =
            multiply_add(factor, V::load(b + v * V::width), sum[Count - 1][m][v]);
      }
    }
    factors += a_column;
    b += Vectors * V::width;
  }
}

// One tile of C whose sums are computed in several parts: two side by side, or of a single
// register all of them, as additions wait for each other. Of `length` terms each, and the last of
// `rest` more. back: the last parts first.
template <class V, int Rows, int Vectors, int Parts, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile_in_parts(Index length, Index rest, const GemmA<Scalar>& a,
                                            const Scalar* b, const GemmC<Scalar>& c, Index last,
                                            Start start, const Scalar* bias, bool back) {
  constexpr int together = Vectors == 1 ? Parts : 2;
  V front[together][Rows][Vectors];
  V behind[together][Rows][Vectors];
  if constexpr (together == Parts) {
    sum_side_by_side(length, rest, a, b, front);
  } else {
    static_assert(2 * together == Parts);
    const GemmA<Scalar> a_behind{a.data + together * length * a.column_stride, a.row_stride,
                                 a.column_stride};
    const Scalar* b_behind = b + together * length * Vectors * V::width;
    if (back) {
      sum_side_by_side(length, rest, a_behind, b_behind, behind);
      sum_side_by_side(length, Index(0), a, b, front);
    } else {
      sum_side_by_side(length, Index(0), a, b, front);
      sum_side_by_side(length, rest, a_behind, b_behind, behind);
    }
  }
  const Scalar* from = start == Start::bias ? bias : c.data;
  const Index from_stride = start == Start::bias ? 0 : c.row_stride;
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      const Scalar* before = from + m * from_stride + v * V::width;
      Scalar* place = c.data + m * c.row_stride + v * V::width;
      const bool whole = v + 1 < Vectors || last == V::width;
      V total = front[0][m][v];
      if (start != Start::zero) {
        total = total + (whole ? V::load(before) : V::load(before, last));
      }
      RECUR_UNROLL
      for (int j = 1; j < together; ++j) {
        total = total + front[j][m][v];
      }
      if constexpr (together < Parts) {
        RECUR_UNROLL
        for (int j = 0; j < together; ++j) {
          total = total + behind[j][m][v];
        }
      }
      if (whole) {
        total.store(place);
      } else {
        total.store(place, last);
      }
    }
  }
}

// Several rows, two parts of `length` terms; in tiles whose heights differ by at most one.
template <class V, int Vectors, int Most, class Scalar>
void gemm_columns_in_parts(Index M, Index length, Index rest, const GemmA<Scalar>& a,
                           const Scalar* b, const GemmC<Scalar>& c, Index last, Start start,
                           const Scalar* bias) {
  Index m = 0;
  for (Index tiles = (M + Most - 1) / Most; tiles > 0; --tiles) {
    const Index height = (M - m) / tiles;
    with_constant<Most>(height, [&](auto rows) {
      gemm_tile_in_parts<V, rows.value, Vectors, 2>(
          length, rest, {a.data + m * a.row_stride, a.row_stride, a.column_stride}, b,
          {c.data + m * c.row_stride, c.row_stride}, last, start, bias, false);
    });
    m += height;
  }
}

// `columns` columns of one panel, `width` wide, summed in `parts` parts in such tiles, if so many
// rows are faster in them than part by part. False: nothing done. back: see Walk.
template <class Scalar>
bool gemm_panel_in_parts(Index parts, Index M, Index columns, Index K, const GemmA<Scalar>& a,
                         const Scalar* b, Index width, const GemmC<Scalar>& c, Start start,
                         const Scalar* bias, bool back) {
  using V = Vec<Scalar>;
  const Index last = columns - width + V::width;
  const Index length = K / parts;
  const Index rest = K - parts * length;
  if (M == 1) {
    with_constant<tile_vectors>(width / V::width, [&](auto vectors) {
      if (parts == 2) {
        gemm_tile_in_parts<V, 1, vectors.value, 2>(length, rest, a, b, c, last, start, bias, back);
      } else if constexpr (vectors.value != 2) {
        gemm_tile_in_parts<V, 1, vectors.value, 4>(length, rest, a, b, c, last, start, bias, back);
      }
    });
    return true;
  }
  bool done = false;
  with_constant<tile_vectors>(width / V::width, [&](auto vectors) {
    constexpr int Vectors = vectors.value;
    constexpr int most = std::min(tile_rows, tile_rows * tile_vectors / Vectors / 2);
    if (parts == 2 && (Vectors <= 2 || M <= 2 * most || K < 64)) {
      gemm_columns_in_parts<V, Vectors, most>(M, length, rest, a, b, c, last, start, bias);
      done = true;
    } else if constexpr (Vectors == 1) {  // two parts, and two more
      const Index half = 2 * length;
      gemm_columns_in_parts<V, 1, tile_rows>(M, length, 0, a, b, c, last, start, bias);
      const GemmA<Scalar> behind{a.data + half * a.column_stride, a.row_stride, a.column_stride};
      gemm_columns_in_parts<V, 1, tile_rows>(M, length, rest, behind, b + half * width, c, last,
                                             Start::accumulate, bias);
      done = true;
    }
  });
  return done;
}

// A sum over K terms from the first to the last: of all in blocks of k_block, or part by part.
class Stretches {
 public:
  Stretches(Index K, Index parts)
      : K_(K),
        length_(parts > 1 ? K / parts : k_block),
        longest_(parts > 1 ? 2 * length_ - 1 : length_) {}

  // Terms of the stretch that begins at k.
  Index at(Index k) const { return K_ - k <= longest_ ? K_ - k : length_; }

 private:
  Index K_;
  Index length_;
  Index longest_;
};

}  // namespace detail

}  // namespace recur::inline RECUR_ABI::kernels
