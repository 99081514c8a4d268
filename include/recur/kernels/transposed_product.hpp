// SPDX-License-Identifier: MIT
//
// Products summed over the rows of all time steps and sequences, which gradients by parameters are:
// C (M × N) = start + Aᵀ B. Like gemm.hpp's, results do not depend on how the rows of C are split
// among threads.
#pragma once

#include <algorithm>  // std::max, std::min
#include <cstddef>
#include <type_traits>  // std::integral_constant

#include "recur/kernels/cache.hpp"
#include "recur/kernels/gemm.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

template <class Scalar>
inline constexpr Index line_of_cache = 64 / static_cast<Index>(sizeof(Scalar));

// Rows so near each other that they fill the first-level cache evenly, and that the processor
// foresees the next ones.
template <class Scalar>
inline constexpr Index near_rows = 4 * line_of_cache<Scalar>;

}  // namespace detail

/// Scalars from one row of A to the next that make a product by Aᵀ fast: an odd number of lines of
/// the cache, or so few that the rows fill it. Of a column of A, many rows are read again and
/// again; where they are, say, 4 KB apart, they all fall into the same few lines.
template <class Scalar>
constexpr Index spread_row(Index columns) {
  constexpr Index line = detail::line_of_cache<Scalar>;
  return columns <= detail::near_rows<Scalar> ? columns : ((columns + line - 1) / line | 1) * line;
}

/// Rows of a product by Aᵀ that are computed at a time.
template <class Scalar>
inline constexpr Index transposed_block = whole_registers<Scalar>(8 * tile_rows);

namespace detail {

// Terms that are summed in one go; such sums are added up. Longer sums are faster (C is loaded and
// stored less often: one sequence up to 5 %, many up to 1.5), but their error grows with the number
// of terms: with 112 always, some gradients by W_hh are wrong by 7 % more than PyTorch's, which
// adds them up step by step.
inline constexpr Index most_terms = 96;
constexpr Index terms_of_sum(Index K) { return K <= 128 ? 50 : K <= 200 ? 64 : most_terms; }

// AVX2's are, AVX-512's not.
template <class Scalar>
inline constexpr bool panels_are_narrow = tile_columns<Scalar>* static_cast<Index>(sizeof(Scalar)) <
                                          256;

// What becomes of a block of A, of the terms of one sum: it is read as it stands; or it is copied,
// because its rows are on more pages than the processor has at hand (64 to 96) and are read again
// for panel after panel; or it has the terms of several sums and is copied, so that C's rows are in
// the first-level cache for all of them, and A in the second level.
enum class Blocks { as_they_stand, copied, copied_for_several_sums };

// Of an A whose rows are `row_stride` apart, for N columns. (AVX2, 2.4 KB apart, copied: 2 %
// slower, 3.2 KB: 4 % faster, 4 KB and more: 3 to 9 %. AVX-512: AMD's Zen 5 2 to 5 % slower; an
// Intel Xeon, whose second level has 2 MB, LSTM and GRU of 200 to 650 units: training 0 to 2 %
// faster, with less than 3 KB 0 to 1 % slower. For several sums on Xeons, 1,024 columns: 9 %
// faster, 512: 0 to 1 % slower; on AMD's, of 1 MB, training an LSTM of 1,024 units 3 % slower.)
template <class Scalar>
Blocks blocks_of(Index N, Index row_stride) {
  constexpr auto bytes = static_cast<Index>(sizeof(Scalar));
  if (panels_are_narrow<Scalar>) {
    return row_stride * bytes >= 3200 ? Blocks::copied : Blocks::as_they_stand;
  }
  constexpr long large_second_level = 2 * 1024 * 1024;
  if (row_stride * bytes < 3000 || N < 3 * tile_columns<Scalar> ||
      second_level_bytes() < large_second_level) {
    return Blocks::as_they_stand;
  }
  return N < 1024 ? Blocks::copied : Blocks::copied_for_several_sums;
}

// Terms of a block, of which so many are summed in one go.
struct Terms {
  Index count;
  Index in_one_go;

  // f(first, count) for each sum, one after the other; of no terms, for one of none.
  template <class F>
  RECUR_ALWAYS_INLINE void for_each_sum(F&& f) const {
    Index first = 0;
    do {
      f(first, std::min(count - first, in_one_go));
      first += in_one_go;
    } while (first < count);
  }
};

// to (`depth` rows, `width` apart) = the first `columns` of as many rows. Not inlined: among the
// products GCC makes it half as fast.
template <Index width, class Scalar>
RECUR_NEVER_INLINE void copy_block(Index depth, RowsB<Scalar> from, Index columns, Scalar* to) {
  using V = Vec<Scalar>;
  static_assert(width % V::width == 0);
  const Scalar* row = from.data;
  for (; depth > 0; --depth, row += from.row_stride, to += width) {
    if (columns < width) {
      copy_row(row, columns, to);
      continue;
    }
    RECUR_UNROLL
    for (Index n = 0; n < width; n += V::width) {
      V::load(row + n).store(to + n);
    }
  }
}

// f(first row, rows, k, terms, block, ahead) for all blocks of A (K × M), `width` of its columns
// each. Of `block`, a RowsB, whole registers can be read: it is A itself, or a copy where that
// would read behind A's end, or be slow. ahead: the block that follows, unless it is near. No block
// goes over the end of a run of so many rows. With K = 0 there is one block of no terms.
template <Index width, class Scalar, class F>
RECUR_ALWAYS_INLINE void for_each_block_of_columns(Index M, Index K, Index run, Blocks blocks,
                                                   RowsB<Scalar> a, F&& f) {
  constexpr Index most_copied =
      std::max(most_terms, 65536 / static_cast<Index>(sizeof(Scalar)) / width);
  const Index together = std::min(K, run);
  const Index sums = std::max<Index>(1, (together + terms_of_sum(K) - 1) / terms_of_sum(K));
  const Index of_sum = (together + sums - 1) / sums;
  const Index length = blocks == Blocks::copied_for_several_sums && of_sum > 0
                           ? most_copied / of_sum * of_sum
                           : of_sum;
  alignas(64) Scalar copy[static_cast<std::size_t>(width * most_copied)];
  for (Index m = 0; m < M; m += width) {
    const Index rows = std::min(width, M - m);
    const Index too_many = whole_registers<Scalar>(rows) - rows;  // in a row of whole registers
    Index k = 0;
    Index end = together;  // of the run
    do {
      const Index depth = std::min(length, end - k);
      const bool as_it_is = depth > 0 && blocks == Blocks::as_they_stand &&
                            too_many <= (K - k - depth) * a.row_stride;
      if (!as_it_is) {
        copy_block<width>(depth, {a.row(k) + m, a.row_stride}, rows, copy);
      }
      const Scalar* next = a.row_stride <= near_rows<Scalar> ? nullptr
                           : k + depth < K                   ? a.row(k + depth) + m
                           : m + rows < M                    ? a.row(0) + m + rows
                                                             : nullptr;
      f(m, rows, k, Terms{depth, of_sum},
        as_it_is ? RowsB<Scalar>{a.row(k) + m, a.row_stride} : RowsB<Scalar>{copy, width},
        Ahead<Scalar>{next, a.row_stride, rows_of_tile(tile_vectors)});
      k += depth;
      if (k == end) {
        end = std::min(K, k + together);
      }
    } while (k < K);
  }
}

// A few columns of C = start + Aᵀ B, `stride` rows of them at most, computed as rows of Cᵀ = Bᵀ A,
// which fill registers, and turned when they are complete.
template <class Scalar, Index stride>
class TurnedColumns {
 public:
  // Adds the products of one block of A. b: Bᵀ (columns × terms).
  void add(Index columns, Index rows, Index k, Terms terms, const GemmA<Scalar>& b,
           RowsB<Scalar> block) {
    terms.for_each_sum([&](Index first, Index count) {
      gemm_panel<Scalar>(columns, rows, count,
                         {b.data + first * b.column_stride, 1, b.column_stride}, block.row(first),
                         block.row_stride, {sums_, stride},
                         k + first > 0 ? Start::accumulate : Start::zero);
    });
  }

  void give(Index columns, Index rows, Start start, const GemmC<Scalar>& c) const {
    for (Index m = 0; m < rows; ++m) {
      for (Index n = 0; n < columns; ++n) {
        Scalar& place = c.data[m * c.row_stride + n];
        const Scalar sum = sums_[n * stride + m];
        place = start == Start::zero ? sum : place + sum;
      }
    }
  }

 private:
  alignas(64) Scalar sums_[static_cast<std::size_t>(native_width<Scalar> * stride)];
};

// Columns behind the last whole register that are better turned than computed as one more register:
// up to half of one (with more, turning costs what it saves), in products of many terms. With them,
// 100 columns are 6.25 registers instead of 7.
template <class Scalar>
constexpr Index columns_to_turn(Index N, Index K) {
  constexpr Index many_terms = 48;
  const Index columns = N % native_width<Scalar>;
  return K >= many_terms && columns <= native_width<Scalar> / 2 ? columns : 0;
}

}  // namespace detail

/// The panels of the second factor of a product by Aᵀ, B (K × N), without the columns that are
/// turned.
template <class Scalar>
constexpr Panels<Scalar> panels_beside(Index N, Index K) {
  return Panels<Scalar>(N, detail::columns_to_turn<Scalar>(N, K));
}

namespace detail {

// B in panels, or as it stands.
template <class Scalar>
struct PackedOrRunsB {
  RunsB<Scalar> rows;
  bool packed;

  // Row k of a panel that begins at column n, and the way to the next row.
  RowsB<Scalar> panel(Index K, Index n, Index width, Index k) const {
    return packed ? RowsB<Scalar>{rows.rows.data + n * K + k * width, width}
                  : RowsB<Scalar>{rows.row(k) + n, rows.rows.row_stride};
  }
};

// See transposed_product. Of B whole registers are read.
template <class Scalar>
void transposed_product_of(Index M, Index N, Index K, RowsB<Scalar> a,
                           const PackedOrRunsB<Scalar>& b, GemmC<Scalar> c, Start start,
                           Blocks blocks) {
  const Index turned = columns_to_turn<Scalar>(N, K);
  const Panels<Scalar> panels = panels_beside<Scalar>(N, K);
  constexpr Index width = transposed_block<Scalar>;
  TurnedColumns<Scalar, width> rest;
  for_each_block_of_columns<width>(
      M, K, b.rows.length, blocks, a,
      [&](Index m, Index rows, Index k, Terms terms, RowsB<Scalar> block, Ahead<Scalar> ahead) {
        for (Index p = 0; p < panels.count(); ++p) {
          const Index n = panels.begin(p);
          const RowsB<Scalar> weights = b.panel(K, n, panels.width(p), k);
          const Index columns = std::min(panels.columns(p), N - turned - n);
          const GemmC<Scalar> to{c.data + m * c.row_stride + n, c.row_stride};
          terms.for_each_sum([&](Index first, Index count) {
            gemm_panel<Scalar>(rows, columns, count, {block.row(first), 1, block.row_stride},
                               weights.row(first), weights.row_stride, to,
                               k + first > 0 ? Start::accumulate : start, nullptr,
                               n == 0 && first == 0 ? ahead : Ahead<Scalar>{});
          });
          if (columns < panels.columns(p)) {
            rest.add(turned, rows, k, terms, {weights.data + columns, 1, weights.row_stride},
                     block);
            if (k + terms.count == K) {
              rest.give(turned, rows, start, {to.data + columns, to.row_stride});
            }
          }
        }
      });
}

}  // namespace detail

/// C = start + Aᵀ B (start: zero or accumulate), A (K × M) as it stands: see spread_row. B in
/// panels as panels_beside has them.
template <class Scalar>
void transposed_product(Index M, Index N, Index K, RowsB<Scalar> a, PackedB<Scalar> b,
                        GemmC<Scalar> c, Start start) {
  detail::transposed_product_of<Scalar>(M, N, K, a, {{{b.data, 0}}, true}, c, start,
                                        detail::blocks_of<Scalar>(N, a.row_stride));
}

/// The same with a B (K × N) as it stands, of one register at most, all columns turned. (H = 10:
/// twice as fast.)
template <class Scalar>
void narrow_transposed_product(Index M, Index N, Index K, RowsB<Scalar> a, const RunsB<Scalar>& b,
                               GemmC<Scalar> c, Start start) {
  constexpr Index panel = tile_columns<Scalar>;
  constexpr Index width = (transposed_block<Scalar> + panel - 1) / panel * panel;
  detail::TurnedColumns<Scalar, width> sums;
  detail::for_each_block_of_columns<width>(
      M, K, b.length, detail::blocks_of<Scalar>(N, a.row_stride), a,
      [&](Index m, Index rows, Index k, detail::Terms terms, RowsB<Scalar> block,
          detail::Ahead<Scalar> /*ahead*/) {
        sums.add(N, rows, k, terms, {b.row(k), 1, b.rows.row_stride}, block);
        if (k + terms.count == K) {
          sums.give(N, rows, start, {c.data + m * c.row_stride, c.row_stride});
        }
      });
}

namespace detail {

// Rows of `Vectors` registers, the last of `last` columns, of the next function.
template <int Vectors, class Scalar>
void outer_product_columns(Index M, Index last, const Scalar* a, const Scalar* b,
                           const GemmC<Scalar>& c, Start start) {
  using V = Vec<Scalar>;
  constexpr Index behind = (Vectors - 1) * V::width;
  V factors[Vectors];
  RECUR_UNROLL
  for (int v = 0; v + 1 < Vectors; ++v) {
    factors[v] = V::load(b + v * V::width);
  }
  factors[Vectors - 1] = V::load(b + behind, last);
  const auto rows = [&](auto before) {
    Scalar* row = c.data;
    for (Index m = 0; m < M; ++m, row += c.row_stride) {
      const V factor(a[m]);
      RECUR_UNROLL
      for (int v = 0; v + 1 < Vectors; ++v) {
        Scalar* place = row + v * V::width;
        multiply_add(factor, factors[v], before(place, V::width)).store(place);
      }
      Scalar* place = row + behind;
      multiply_add(factor, factors[Vectors - 1], before(place, last)).store(place, last);
    }
  };
  if (start == Start::zero) {
    rows([](const Scalar*, Index) { return V(Scalar(0)); });
  } else {
    rows([](const Scalar* place, Index count) { return V::load(place, count); });
  }
}

}  // namespace detail

/// The same of a single term (K = 1): C = start + aᵀ b. Nothing is copied; b stays in registers,
/// and C is written row by row, or eight rows at a time. (One step of one sequence and 64 units: a
/// tenth of a training step's time.)
template <class Scalar>
void outer_product(Index M, Index N, const Scalar* a, const Scalar* b, GemmC<Scalar> c,
                   Start start) {
  constexpr Index width = native_width<Scalar>;
  constexpr Index most = 4;  // registers at once
  const Index at_once = N <= most * width ? M : 8;
  for (Index m = 0; m < M; m += at_once) {
    for (Index n = 0; n < N; n += most * width) {
      const Index vectors = std::min(most, (N - n + width - 1) / width);
      detail::with_constant<most>(vectors, [&](auto count) {
        detail::outer_product_columns<count.value>(
            std::min(at_once, M - m), std::min(width, N - n - (vectors - 1) * width), a + m, b + n,
            {c.data + m * c.row_stride + n, c.row_stride}, start);
      });
    }
  }
}

/// The product with a B (K × N) as it stands, N more than one register. For a C of few rows: where
/// each row of B is read once, it costs less than packing it (RNN of 10 units, 28 inputs: 6 % of a
/// training step, LSTM and GRU 1).
template <class Scalar>
void transposed_product(Index M, Index N, Index K, RowsB<Scalar> a, const RunsB<Scalar>& b,
                        GemmC<Scalar> c, Start start) {
  // Whole registers are read: of any row but the last one, they end before the next row does.
  const Index apart = N % native_width<Scalar> == 0 || K == 0 ? 0 : 1;
  if (apart < K || K == 0) {
    detail::transposed_product_of<Scalar>(M, N, K - apart, a, {b, false}, c, start,
                                          detail::blocks_of<Scalar>(N, a.row_stride));
  }
  if (apart > 0) {
    outer_product<Scalar>(M, N, a.row(K - 1), b.row(K - 1), c,
                          apart < K ? Start::accumulate : start);
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
