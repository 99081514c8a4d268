// SPDX-License-Identifier: MIT
//
// The part of a matrix product that is held in registers: tiles of C, and what they read of A and
// B. gemm.hpp puts them together.
//
// Every element of C is a_0 b_0 + a_1 b_1 + … in this order, then + start; long products block by
// block of k, others part by part (gemm_parts.hpp). (To begin at the start would double the
// error: all roundings are those of a greater number.) The tile that an element falls into makes no
// difference: results do not depend on the batch size, nor on how rows are split among threads.
//
// Rejected: several sums of an element side by side in tiles of many rows (10 columns: a tenth to a
// fifth slower; they wait for A, not for additions). To fetch B ahead from the second level into
// the first (6 or 16 rows of it: 1 to 2 % slower). Of few rows, whose tiles are fewer than the
// registers of a panel, to fetch two lines of the next panel at a time (16 sequences, H = 300: 2 to
// 6 % slower).
#pragma once

#include <algorithm>    // std::min
#include <type_traits>  // std::integral_constant

#include "recur/kernels/packet.hpp"
#include "recur/kernels/prefetch.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// A (M × K): element (m, k) at data[m * row_stride + k * column_stride].
template <class Scalar>
struct GemmA {
  const Scalar* data;
  Index row_stride;
  Index column_stride;
};

/// B (K × N) in panels: see panel_width. Panel p begins at data + p * tile_columns * K. The last
/// `dots` columns (gemm_dots.hpp) stand behind the panels, which end in whole registers then:
/// column n at data + n * K. A's columns must stand side by side for them.
template <class Scalar>
struct PackedB {
  const Scalar* data;
  Index dots = 0;
};

/// B (K × N) as it stands: element (k, n) at data[k * row_stride + n].
template <class Scalar>
struct RowsB {
  const Scalar* data;
  Index row_stride;

  const Scalar* row(Index k) const { return data + k * row_stride; }
};

/// B (K × N), rows taken from here and there: row k is row places[k] of `rows`.
template <class Scalar>
struct ScatteredRowsB {
  RowsB<Scalar> rows;
  const Index* places;

  const Scalar* row(Index k) const { return rows.row(places[k]); }
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

/// Columns as whole registers.
template <class Scalar>
constexpr Index whole_registers(Index columns) {
  constexpr Index width = native_width<Scalar>;
  return (columns + width - 1) / width * width;
}

/// Copies a row, and zeros behind it up to a whole number of registers.
template <class Scalar>
RECUR_ALWAYS_INLINE void copy_row(const Scalar* from, Index count, Scalar* to) {
  using V = Vec<Scalar>;
  Index k = 0;
  for (; k + V::width <= count; k += V::width) {
    V::load(from + k).store(to + k);
  }
  if (k < count) {
    V::load(from + k, count - k).store(to + k);
  }
}

/// Scalars in a row of the panel that begins at column n of N: the last one ends with zeros.
template <class Scalar>
constexpr Index panel_width(Index N, Index n) {
  return std::min(tile_columns<Scalar>, whole_registers<Scalar>(N - n));
}

namespace detail {

// A panel of so many rows stays in the second-level cache while the tiles walk through it: 256 KB
// with AVX-512. (Shorter blocks that stay in the first are slower: C is loaded and stored too
// often.)
inline constexpr Index k_block = 1024;
// Rows of C that go through a panel before the next one: their block stays in the first-level
// cache.
inline constexpr Index m_block = 96;

// Products of so many terms take longer than C takes to come from the memory: it is fetched first.
inline constexpr Index far_ahead = 48;

// One tile of C over K rows of B. `ahead`: read soon, one line of the cache a row of B,
// `ahead_step` apart: the panels of a B that stands in the third-level cache or beyond come too
// slowly to be waited for (H = 1,024: 8 % of the time). `last`: columns of the last register that
// are C's. The start is a run-time choice, made once a tile: as a template argument it made three
// times as many tiles to compile and not one of them faster.
template <class V, int Rows, int Vectors, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile(Index K, const GemmA<Scalar>& a, const Scalar* b, Index b_stride,
                                   const GemmC<Scalar>& c, Index last, Start start,
                                   const Scalar* bias, const Scalar* ahead, Index ahead_step) {
  V sum[Rows][Vectors];
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[m][v] = V(Scalar(0));
    }
  }
  if (start == Start::accumulate && K >= far_ahead) {
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        prefetch_to_change(c.data + m * c.row_stride + v * V::width);
      }
    }
  }
  const Scalar* factors = a.data;
  const Index a_row = a.row_stride;
  const Index a_column = a.column_stride;
  for (Index k = 0; k < K; ++k) {
    V row[Vectors];
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      V weight = V::load(b + v * V::width);
      if constexpr (Rows > 1 && Rows < 5 && Vectors > 1) {
        keep_in_register(weight);
      }
      row[v] = weight;
    }
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const V factor(factors[m * a_row]);
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        sum[m][v] = multiply_add(factor, row[v], sum[m][v]);
      }
    }
    prefetch_for_later(ahead);
    ahead += ahead_step;
    factors += a_column;
    b += b_stride;
  }
  // A row of what C starts from; that of the bias is the same for all rows.
  const Scalar* from = start == Start::bias ? bias : c.data;
  const Index from_stride = start == Start::bias ? 0 : c.row_stride;
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      const Scalar* before = from + m * from_stride + v * V::width;
      Scalar* place = c.data + m * c.row_stride + v * V::width;
      const bool whole = v + 1 < Vectors || last == V::width;
      if (start != Start::zero) {
        sum[m][v] = sum[m][v] + (whole ? V::load(before) : V::load(before, last));
      }
      if (whole) {
        sum[m][v].store(place);
      } else {
        sum[m][v].store(place, last);
      }
    }
  }
}

// Calls f(std::integral_constant<int, n>) for the run-time n, 1 … Max.
template <int Max, class F>
RECUR_ALWAYS_INLINE void with_constant(Index n, F&& f) {
  if constexpr (Max > 1) {
    if (n < Max) {
      with_constant<Max - 1>(n, f);
      return;
    }
  }
  f(std::integral_constant<int, Max>{});
}

// All rows of up to tile_vectors registers, in tiles whose heights differ by at most one.
template <class V, int Vectors, class Scalar>
void gemm_columns(Index M, Index K, const GemmA<Scalar>& a, const Scalar* b, Index b_stride,
                  const GemmC<Scalar>& c, Index last, Start start, const Scalar* bias,
                  const Scalar* ahead) {
  const Index tiles = (M + tile_rows - 1) / tile_rows;
  const Index low = tiles > 1 ? M / tiles : M;  // the first ones have so many rows,
  const Index high = M - tiles * low;           // the last `high` one more
  Index m = 0;
  for (Index tile = 0; tile < tiles; ++tile) {
    const Index height = low + (tile < tiles - high ? 0 : 1);
    with_constant<tile_rows>(height, [&](auto rows) {
      gemm_tile<V, rows.value, Vectors>(
          K, {a.data + m * a.row_stride, a.row_stride, a.column_stride}, b, b_stride,
          {c.data + m * c.row_stride, c.row_stride}, last, start, bias,
          ahead != nullptr && tile < Vectors ? ahead + tile * K * V::width : b,
          ahead != nullptr && tile < Vectors ? V::width : 0);
    });
    m += height;
  }
}

// `columns` columns of one panel (or of any K rows of whole registers, `b_stride` apart).
template <class Scalar>
void gemm_panel(Index M, Index columns, Index K, const GemmA<Scalar>& a, const Scalar* b,
                Index b_stride, const GemmC<Scalar>& c, Start start, const Scalar* bias = nullptr,
                const Scalar* ahead = nullptr) {
  using V = Vec<Scalar>;
  for (Index n = 0; n < columns; n += tile_columns<Scalar>) {
    const Index rest = columns - n;
    with_constant<tile_vectors>((rest + V::width - 1) / V::width, [&](auto vectors) {
      const Index last = std::min<Index>(V::width, rest - (vectors.value - 1) * V::width);
      gemm_columns<V, vectors.value>(M, K, a, b + n, b_stride, {c.data + n, c.row_stride}, last,
                                     start, start == Start::bias ? bias + n : nullptr, ahead);
    });
  }
}

// One row of C over `Panels` whole panels at once, `panel_stride` apart, `Vectors` registers each:
// a single row of one panel has too few sums to hide the latency of an addition, and one stream
// from memory where several would come faster.
template <class V, int Panels, int Vectors, class Scalar>
void gemm_row(Index K, const Scalar* a, Index a_stride, const Scalar* b, Index panel_stride,
              Scalar* c, Start start, const Scalar* bias = nullptr) {
  constexpr int count = Panels * Vectors;
  V sum[count];
  RECUR_UNROLL
  for (int v = 0; v < count; ++v) {
    sum[v] = V(Scalar(0));
  }
  for (Index k = 0; k < K; ++k) {
    const V factor(a[k * a_stride]);
    RECUR_UNROLL
    for (int v = 0; v < count; ++v) {
      sum[v] = multiply_add(
          factor, V::load(b + v / Vectors * panel_stride + v % Vectors * V::width), sum[v]);
    }
    b += Vectors * V::width;
  }
  RECUR_UNROLL
  for (int v = 0; v < count; ++v) {
    if (start != Start::zero) {
      sum[v] = sum[v] + V::load((start == Start::bias ? bias : c) + v * V::width);
    }
    sum[v].store(c + v * V::width);
  }
}

}  // namespace detail

}  // namespace recur::inline RECUR_ABI::kernels
