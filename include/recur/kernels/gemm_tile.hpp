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

#include <algorithm>  // std::max, std::min
#include <cstdint>
#include <type_traits>  // std::integral_constant

#include "recur/kernels/operands.hpp"
#include "recur/kernels/packet.hpp"
#include "recur/kernels/panels.hpp"
#include "recur/kernels/prefetch.hpp"
#include "recur/kernels/registers.hpp"

namespace recur::inline RECUR_ABI::kernels {

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

namespace detail {

// Rows of C that go through a panel before the next one: their block stays in the first-level
// cache.
inline constexpr Index m_block = 96;

// Products of so many terms take longer than C takes to come from the memory: it is fetched first.
inline constexpr Index far_ahead = 48;

// Tiles that so many rows of C are cut into, in a panel of so many registers.
constexpr Index count_of_tiles(Index M, Index vectors) {
  return (M + rows_of_tile(vectors) - 1) / rows_of_tile(vectors);
}

// Registers of the tiles in the first columns of a panel of so many: 4 are 2 and 2, not 3 and 1.
constexpr Index vectors_of_tile(Index panel) {
  return panel <= tile_vectors ? panel : panel == 4 && tile_vectors == 3 ? 2 : tile_vectors;
}

// The rows that C starts from; of zero they are not read.
template <class Scalar>
struct Before {
  Before(Start from, const Scalar* bias, const GemmC<Scalar>& c)
      : start(from),
        data(from == Start::bias ? bias : c.data),
        row_stride(from == Start::bias ? 0 : c.row_stride) {}

  Start start;
  const Scalar* data;
  Index row_stride;
};

// What the tiles of a panel have in common: C (· × up to tile_vectors registers) = before + A B,
// over K rows of B that are b_stride apart. last: columns of the last register that are C's.
template <class Scalar>
struct Tiles {
  Index K;
  GemmA<Scalar> a;
  const Scalar* b;
  Index b_stride;
  GemmC<Scalar> c;
  Index last;
  Before<Scalar> before;
  Ahead<Scalar> ahead = {};
  Place place = Place::unknown;

  // Whether a tile begins to fetch its rows of C.
  bool fetches() const {
    return K >= far_ahead &&
           (place == Place::far || (place == Place::unknown && before.start == Start::accumulate));
  }
};

// What a tile multiplies by: a column of its rows of A, three of them by one address, and a row of
// B.
template <class V, int Rows, int Vectors>
class TileFactors {
 public:
  using Scalar = typename V::Scalar;

  TileFactors() = default;
  RECUR_ALWAYS_INLINE TileFactors(const Scalar* a, Index a_row, const Scalar* b) : b_(b) {
    RECUR_UNROLL
    for (int m = 0; m < Rows; m += at_once) {
      rows_[m / at_once] = a + m * a_row;
      keep_in_general_register(rows_[m / at_once]);
    }
    keep_in_general_register(b_);
  }

  // sum += the product of both; then to the next column and the next row. a_column is given a
  // register each time, or GCC makes a second loop for columns that stand side by side.
  RECUR_ALWAYS_INLINE void add_product(Index a_row, Index& a_column, Index b_stride,
                                       V (&sum)[Rows][Vectors]) {
    V row[Vectors];
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      V weight = V::load(b_ + v * V::width);
      if constexpr (Rows > 1 && Vectors > 1) {
        keep_in_register(weight);
      }
      row[v] = weight;
    }
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const V factor(rows_[m / at_once][m % at_once * a_row]);
      RECUR_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        sum[m][v] = multiply_add(factor, row[v], sum[m][v]);
      }
    }
    keep_in_general_register(a_column);
    RECUR_UNROLL
    for (const Scalar*& row_of_a : rows_) {
      row_of_a += a_column;
    }
    b_ += b_stride;
  }

 private:
  static constexpr int at_once = 3;
  const Scalar* rows_[(Rows + at_once - 1) / at_once];
  const Scalar* b_;
};

// The rows of C in which a tile ends, one after the other. The start is a run-time choice, made
// once a tile: as a template argument it made three times as many tiles to compile and not one of
// them faster.
template <class V, int Rows, int Vectors>
class TileRows {
 public:
  using Scalar = typename V::Scalar;

  // Of the tile whose first row is `first`.
  RECUR_ALWAYS_INLINE TileRows(const Tiles<Scalar>& tiles, Index first) {
    const Tiles<Scalar>* all = &tiles;
    if constexpr (Rows > 1) {  // keep nothing of this during the sums
      keep_in_general_register(all);
    }
    starts_from_zero_ = all->before.start == Start::zero;
    last_ = all->last;
    stride_ = all->c.row_stride;
    place_ = all->c.data + first * stride_;
    before_stride_ = all->before.row_stride;
    before_ = all->before.data + first * before_stride_;
  }

  RECUR_ALWAYS_INLINE V with_start(const V& sum, int v) const {
    return starts_from_zero_ ? sum
           : whole(v)        ? sum + V::load(before_ + v * V::width)
                             : sum + V::load(before_ + v * V::width, last_);
  }

  RECUR_ALWAYS_INLINE void store(const V& sum, int v) const {
    if (whole(v)) {
      sum.store(place_ + v * V::width);
    } else {
      sum.store(place_ + v * V::width, last_);
    }
  }

  RECUR_ALWAYS_INLINE void next_row() {
    place_ += stride_;
    before_ += before_stride_;
    keep_in_general_register(place_);
    keep_in_general_register(before_);
  }

 private:
  RECUR_ALWAYS_INLINE bool whole(int v) const { return v + 1 < Vectors || last_ == V::width; }

  bool starts_from_zero_;
  Index last_;
  Scalar* place_;
  const Scalar* before_;
  Index stride_;
  Index before_stride_;
};

// Fetches `Rows` rows of C.
template <int Rows, Index columns, class Scalar>
RECUR_ALWAYS_INLINE void fetch_rows(const Scalar* place, Index row_stride) {
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (Index n = 0; n < columns; n += native_width<Scalar>) {
      prefetch_to_change(place + n);
    }
    prefetch_to_change(place + columns - 1);  // rows may begin amid a line
    place += row_stride;
    keep_in_general_register(place);
  }
}

// The tile whose first row is `first`; fetches what begins at `ahead`.
template <class V, int Rows, int Vectors, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile(const Tiles<Scalar>& tiles, Index first, const Scalar* ahead) {
  V sum[Rows][Vectors];
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[m][v] = V(Scalar(0));
    }
  }
  if (tiles.fetches()) {
    const Index stride = tiles.c.row_stride;
    fetch_rows<Rows, Vectors * V::width>(tiles.c.data + first * stride, stride);
  }
  const Index a_row = tiles.a.row_stride;
  Index a_column = tiles.a.column_stride;
  const Index b_stride = tiles.b_stride;
  TileFactors<V, Rows, Vectors> factors(tiles.a.data + first * a_row, a_row, tiles.b);
  const Index ahead_step = tiles.ahead.step;
  keep_in_general_register(ahead);
  // Two terms at a time: on Intel's processors 3 to 6 % faster, but of small tiles 3 % slower.
  constexpr Index together = Rows * Vectors > 2 * tile_rows ? 2 : 1;
  Index k = tiles.K;
  if (k % together != 0) {
    factors.add_product(a_row, a_column, b_stride, sum);
    prefetch_for_later(ahead);
    ahead += ahead_step;
  }
  for (; k >= together; k -= together) {
    RECUR_UNROLL
    for (Index term = 0; term < together; ++term) {
      factors.add_product(a_row, a_column, b_stride, sum);
      prefetch_for_later(ahead);
      ahead += ahead_step;
    }
  }
  TileRows<V, Rows, Vectors> rows(tiles, first);
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      rows.store(rows.with_start(sum[m][v], v), v);
    }
    rows.next_row();
  }
}

// Tiles [begin, end), whose rows begin at `first`. Where nothing is read soon, they fetch what is
// there already: the step is 0 then.
template <class V, int Rows, int Vectors, class Scalar>
void gemm_tiles(const Tiles<Scalar>& tiles, Index begin, Index end, Index first) {
  for (Index tile = begin; tile < end; ++tile, first += Rows) {
    gemm_tile<V, Rows, Vectors>(
        tiles, first,
        tiles.ahead.data != nullptr ? tiles.ahead.data + tile * tiles.ahead.tile_step : tiles.b);
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

// All M rows, in tiles whose heights differ by at most one.
template <class V, int Vectors, class Scalar>
void gemm_columns(Index M, const Tiles<Scalar>& tiles) {
  const Index count = count_of_tiles(M, Vectors);
  const Index low = count > 1 ? M / count : M;  // the first ones have so many rows,
  const Index high = M - count * low;           // the last `high` one more
  const auto multiply = [&](Index height, Index begin, Index end, Index first) {
    with_constant<rows_of_tile(Vectors)>(
        height, [&](auto rows) { gemm_tiles<V, rows.value, Vectors>(tiles, begin, end, first); });
  };
  multiply(low, 0, count - high, 0);
  if (high > 0) {
    multiply(low + 1, count - high, count, (count - high) * low);
  }
}

// `columns` columns of one panel (or of any K rows of whole registers, `b_stride` apart).
template <class Scalar>
void gemm_panel(Index M, Index columns, Index K, const GemmA<Scalar>& a, const Scalar* b,
                Index b_stride, const GemmC<Scalar>& c, Start start, const Scalar* bias = nullptr,
                Ahead<Scalar> ahead = {}, Place place = Place::unknown) {
  using V = Vec<Scalar>;
  for (Index n = 0, behind = 0; n < columns; n = behind) {
    const Index registers = vectors_of_tile((columns - n + V::width - 1) / V::width);
    behind = n + registers * V::width;
    const Index last = V::width - std::max<Index>(0, behind - columns);
    with_constant<tile_vectors>(registers, [&](auto vectors) {
      gemm_columns<V, vectors.value>(
          M, Tiles<Scalar>{
                 K,
                 a,
                 b + n,
                 b_stride,
                 {c.data + n, c.row_stride},
                 last,
                 {start, start == Start::bias ? bias + n : nullptr, {c.data + n, c.row_stride}},
                 ahead,
                 place});
    });
  }
}

}  // namespace detail

}  // namespace recur::inline RECUR_ABI::kernels
