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
/// would win little more; four of fewer terms, in one go, are 5 % faster for one sequence and 6 %
/// slower for eight.) More terms are summed in blocks (SumOf) anyway; what is wider than a tile
/// is several panels.
///
/// Of a single register four parts take the terms by turns, part j the terms j, j + 4, …; of many
/// terms four those of the first half and four the others. They are added up as (0 + 2) + (1 + 3),
/// each four for themselves: see quarters.hpp, which has 32 terms in two halves (a GRU's backward
/// step of 16 units: 4 % less time). Where rows cannot be taken by quarters, halves of 20 terms
/// cost two per cent (LSTM of 10 units).
constexpr Index parts_of_sum(Index K, Index vectors) {
  constexpr Index most = 1024;
  if (K < 16 || K > most || vectors > tile_vectors) {
    return 1;
  }
  if (vectors == 1) {
    return K >= 64 || (K >= 32 && K % 16 == 0) ? 8 : 4;
  }
  return K < 128 || vectors == 2 ? 2 : 4;
}

/// What a sum is of: inputs of a layer, gradients that go on to its inputs, or, in the scan, states
/// or their gradients.
enum class SumOf { inputs, gradients, scan };

namespace detail {

// Terms that are summed in one go: `alone` if there are no more of them, else up to `most`, in two
// blocks or more, which are added up; up to `of_few` where there are 200 at most.
struct TermsInOneGo {
  Index alone;
  Index of_few;
  Index most;
};

// The error of a sum grows with its terms. As part of PyTorch's: 1,024 gradients in one go 1.9; 64
// inputs of an RNN, which need not be below 1 as states are, 1.06, in halves 0.93; the gradient by
// a bias of three layers of 100 units, its gradients summed by 100 terms 1.13, by 75 0.94; that by
// the input of a GRU of 64 units, summed by 96 or 64 terms 1.04, by 48 0.90; the output of an RNN
// of 128 units after a thousand steps 1.05, with states in halves 0.92. And every block costs the
// time to load and store its sums: 96 terms always, 256 units, 2 to 4 % of inference beside 256
// (Intel Xeon).
constexpr TermsInOneGo terms_in_one_go(SumOf what) {
  return what == SumOf::inputs      ? TermsInOneGo{32, 128, 128}
         : what == SumOf::gradients ? TermsInOneGo{32, 50, 96}
                                    : TermsInOneGo{100, 256, 256};
}

// Blocks of as equal length as possible, of K terms.
constexpr Index length_of_block(Index K, SumOf what) {
  const TermsInOneGo terms = terms_in_one_go(what);
  const Index most = K <= 200 ? terms.of_few : terms.most;
  const Index blocks = K <= terms.alone ? 1 : std::max<Index>(2, (K + most - 1) / most);
  return (K + blocks - 1) / blocks;
}

// Of a single register: stretches of terms that four parts share.
constexpr Index stretches_by_turns(Index K) { return parts_of_sum(K, 1) / 4; }

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
  Index a_column = a.column_stride;
  constexpr Index b_stride = Vectors * V::width;
  TileFactors<V, Rows, Vectors> factors[Count];
  RECUR_UNROLL
  for (int j = 0; j < Count; ++j) {
    factors[j] = {a.data + j * length * a_column, a_row, b + j * length * b_stride};
  }
  for (Index k = length; k > 0; --k) {
    RECUR_UNROLL
    for (int j = 0; j < Count; ++j) {
      factors[j].add_product(a_row, a_column, b_stride, sum[j]);
    }
  }
  for (Index k = rest; k > 0; --k) {
    factors[Count - 1].add_product(a_row, a_column, b_stride, sum[Count - 1]);
  }
}

// The same of one row, whose terms stand side by side: where the lengths are known, so are all
// addresses. (For backward; forwards 0 to 1 % slower.)
template <class V, int Count, int Vectors, class Scalar>
RECUR_ALWAYS_INLINE void sum_side_by_side(Index length, Index rest, const Scalar* a,
                                          const Scalar* b, V (&sum)[Count][1][Vectors]) {
  const auto add_product = [&](int j, Index k) {
    const V factor(a[k]);
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[j][0][v] = multiply_add(factor, V::load(b + (k * Vectors + v) * V::width), sum[j][0][v]);
    }
  };
  RECUR_UNROLL
  for (int j = 0; j < Count; ++j) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      sum[j][0][v] = V(Scalar(0));
    }
  }
  for (Index k = 0; k < length; ++k) {
    RECUR_UNROLL
    for (int j = 0; j < Count; ++j) {
      add_product(j, j * length + k);
    }
  }
  for (Index k = Count * length; k < Count * length + rest; ++k) {
    add_product(Count - 1, k);
  }
}

// Of a single register, one row: `Stretches` stretches of four parts by turns, side by side, as
// additions wait for each other. length: a multiple of four; the last stretch has `rest` terms
// more.
template <int Stretches, class V, class Scalar>
RECUR_ALWAYS_INLINE void sum_by_turns(Index length, Index rest, const Scalar* a, Index a_column,
                                      const Scalar* b, V (&sum)[Stretches]) {
  V parts[Stretches][4];
  RECUR_UNROLL
  for (int j = 0; j < Stretches; ++j) {
    RECUR_UNROLL
    for (int part = 0; part < 4; ++part) {
      parts[j][part] = V(Scalar(0));
    }
  }
  const auto add_product = [&](V& to, Index k) {
    to = multiply_add(V(a[k * a_column]), V::load(b + k * V::width), to);
  };
  for (Index k = 0; k < length; k += 4) {
    RECUR_UNROLL
    for (int part = 0; part < 4; ++part) {
      RECUR_UNROLL
      for (int j = 0; j < Stretches; ++j) {
        add_product(parts[j][part], j * length + k + part);
      }
    }
  }
  for (Index k = Stretches * length; rest > 0; k += 4, rest -= 4) {
    RECUR_UNROLL
    for (int part = 0; part < 4; ++part) {
      if (part < rest) {
        add_product(parts[Stretches - 1][part], k + part);
      }
    }
  }
  RECUR_UNROLL
  for (int j = 0; j < Stretches; ++j) {
    sum[j] = (parts[j][0] + parts[j][2]) + (parts[j][1] + parts[j][3]);
  }
}

// One stretch of a tile of several rows.
template <class V, int Rows, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile_by_turns(const Tiles<Scalar>& tiles, Index first) {
  V sum[4][Rows][1];
  RECUR_UNROLL
  for (int part = 0; part < 4; ++part) {
    RECUR_UNROLL
    for (int m = 0; m < Rows; ++m) {
      sum[part][m][0] = V(Scalar(0));
    }
  }
  const Index a_row = tiles.a.row_stride;
  Index a_column = tiles.a.column_stride;
  TileFactors<V, Rows, 1> factors(tiles.a.data + first * a_row, a_row, tiles.b);
  Index k = tiles.K;
  for (; k >= 4; k -= 4) {
    RECUR_UNROLL
    for (int part = 0; part < 4; ++part) {
      factors.add_product(a_row, a_column, V::width, sum[part]);
    }
  }
  RECUR_UNROLL
  for (int part = 0; part < 3; ++part) {
    if (part < k) {
      factors.add_product(a_row, a_column, V::width, sum[part]);
    }
  }
  TileRows<V, Rows, 1> rows(tiles, first);
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    const V total = (sum[0][m][0] + sum[2][m][0]) + (sum[1][m][0] + sum[3][m][0]);
    rows.store(rows.with_start(total, 0), 0);
    rows.next_row();
  }
}

// M rows of a panel of one register.
template <class V, class Scalar>
void gemm_panel_by_turns(Index M, const Tiles<Scalar>& tiles) {
  const Index K = tiles.K;
  const Index stretches = stretches_by_turns(K);
  const Index length = K / (4 * stretches) * 4;
  if (M == 1) {
    with_constant<2>(stretches, [&](auto count) {
      V sum[count.value];
      sum_by_turns<count.value>(length, K - count.value * length, tiles.a.data,
                                tiles.a.column_stride, tiles.b, sum);
      const TileRows<V, 1, 1> row(tiles, 0);
      V total = row.with_start(sum[0], 0);
      if constexpr (count.value == 2) {
        total = total + sum[1];
      }
      row.store(total, 0);
    });
    return;
  }
  constexpr int most = tile_sums / 4;
  Tiles<Scalar> stretch = tiles;
  for (Index j = 0; j < stretches; ++j) {
    stretch.K = j + 1 < stretches ? length : K - j * length;
    Index m = 0;
    for (Index count = (M + most - 1) / most; count > 0; --count) {
      const Index height = (M - m) / count;
      with_constant<most>(height,
                          [&](auto rows) { gemm_tile_by_turns<V, rows.value>(stretch, m); });
      m += height;
    }
    stretch.a.data += length * tiles.a.column_stride;
    stretch.b += length * V::width;
    stretch.before = Before<Scalar>(Start::accumulate, nullptr, tiles.c);
  }
}

// The sums of one tile in several parts, two side by side.
template <class V, int Rows, int Vectors, int Parts>
struct SumsInParts {
  static constexpr int together = Parts == 1 ? 1 : 2;
  V front[together][Rows][Vectors];
  V behind[together][Rows][Vectors];

  // Parts of `length` terms, and the last of `rest` more. a: as sum_side_by_side takes it. back:
  // the last parts first.
  template <class A, class Scalar>
  RECUR_ALWAYS_INLINE void compute(Index length, Index rest, const A& a, const Scalar* b,
                                   bool back) {
    if constexpr (together == Parts) {
      sum_side_by_side(length, rest, a, b, front);
    } else {
      static_assert(2 * together == Parts);
      const A a_behind = columns_from(a, together * length);
      const Scalar* b_behind = b + together * length * Vectors * V::width;
      if (back) {
        sum_side_by_side(length, rest, a_behind, b_behind, behind);
        sum_side_by_side(length, Index(0), a, b, front);
      } else {
        sum_side_by_side(length, Index(0), a, b, front);
        sum_side_by_side(length, rest, a_behind, b_behind, behind);
      }
    }
  }

  template <class Scalar>
  static RECUR_ALWAYS_INLINE GemmA<Scalar> columns_from(const GemmA<Scalar>& a, Index k) {
    return {a.data + k * a.column_stride, a.row_stride, a.column_stride};
  }
  template <class Scalar>
  static RECUR_ALWAYS_INLINE const Scalar* columns_from(const Scalar* a, Index k) {
    return a + k;
  }

  // Those of one register, added up. sum: the first part plus what the sum starts from.
  RECUR_ALWAYS_INLINE V total(V sum, int m, int v) const {
    RECUR_UNROLL
    for (int j = 1; j < together; ++j) {
      sum = sum + front[j][m][v];
    }
    if constexpr (together < Parts) {
      RECUR_UNROLL
      for (int j = 0; j < together; ++j) {
        sum = sum + behind[j][m][v];
      }
    }
    return sum;
  }
};

// One tile of C, so summed.
template <class V, int Rows, int Vectors, int Parts, class Scalar>
RECUR_ALWAYS_INLINE void gemm_tile_in_parts(const Tiles<Scalar>& tiles, Index first, Index length,
                                            Index rest, bool back) {
  SumsInParts<V, Rows, Vectors, Parts> sums;
  sums.compute(length, rest,
               GemmA<Scalar>{tiles.a.data + first * tiles.a.row_stride, tiles.a.row_stride,
                             tiles.a.column_stride},
               tiles.b, back);
  TileRows<V, Rows, Vectors> rows(tiles, first);
  RECUR_UNROLL
  for (int m = 0; m < Rows; ++m) {
    RECUR_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      rows.store(sums.total(rows.with_start(sums.front[0][m][v], v), m, v), v);
    }
    rows.next_row();
  }
}

// M rows, two parts of `length` terms; in tiles whose heights differ by at most one.
template <class V, int Vectors, int Most, class Scalar>
void gemm_columns_in_parts(Index M, const Tiles<Scalar>& tiles, Index length, Index rest) {
  Index m = 0;
  for (Index count = (M + Most - 1) / Most; count > 0; --count) {
    const Index height = (M - m) / count;
    with_constant<Most>(height, [&](auto rows) {
      gemm_tile_in_parts<V, rows.value, Vectors, 2>(tiles, m, length, rest, false);
    });
    m += height;
  }
}

// `columns` columns of one panel, `width` wide, summed in `parts` parts in such tiles, if so many
// rows are faster in them than part by part (of one register always). False: nothing done. back:
// see Walk.
template <class Scalar>
bool gemm_panel_in_parts(Index parts, Index M, Index columns, Index K, const GemmA<Scalar>& a,
                         const Scalar* b, Index width, const GemmC<Scalar>& c, Start start,
                         const Scalar* bias, bool back) {
  using V = Vec<Scalar>;
  const Index last = columns - width + V::width;
  const Index length = K / parts;
  const Index rest = K - parts * length;
  const Tiles<Scalar> tiles{K, a, b, width, c, last, {start, bias, c}};
  bool done = false;
  with_constant<tile_vectors>(width / V::width, [&](auto vectors) {
    constexpr int Vectors = vectors.value;
    constexpr int most = std::min(tile_rows, tile_sums / Vectors / 2);
    done = M == 1 || (parts == 2 && (Vectors == 2 || M <= 2 * most || K < 64));
    if constexpr (Vectors == 1) {
      gemm_panel_by_turns<V>(M, tiles);
      done = true;
    } else if (M == 1 && parts == 2) {
      gemm_tile_in_parts<V, 1, Vectors, 2>(tiles, 0, length, rest, back);
    } else if (M == 1) {
      if constexpr (Vectors > 2) {
        gemm_tile_in_parts<V, 1, Vectors, 4>(tiles, 0, length, rest, back);
      }
    } else if (done) {
      gemm_columns_in_parts<V, Vectors, most>(M, tiles, length, rest);
    }
  });
  return done;
}

// A sum over K terms from the first to the last: of all in blocks, or part by part.
class Stretches {
 public:
  Stretches(Index K, Index parts, SumOf what)
      : Stretches(K, parts, parts > 1 ? 0 : length_of_block(K, what)) {}
  // block: what length_of_block says.
  Stretches(Index K, Index parts, Index block)
      : K_(K),
        length_(parts > 1 ? K / parts : block),
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
