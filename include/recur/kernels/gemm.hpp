// SPDX-License-Identifier: MIT
//
// Matrix products of the shapes that recurrent layers need: C (M × N) = start + A B. C is held in
// registers, a tile of some rows and up to `tile_vectors` vector registers; A is read scalar by
// scalar and broadcast, B register by register from *panels*: `tile_columns` columns, row after row
// in one stream. Weights are packed into panels once (packed_weights.hpp); what is not, a panel at
// a time on the stack, which is soon paid for by the many rows of A that are multiplied with it.
// Nothing is allocated: Eigen's own products pack both operands every time and allocate above 128
// KB, which costs more than the product itself at one time step.
//
// The order in which an element's products are added: gemm_tile.hpp.
//
// Rejected: huge pages for packed weights (no difference beyond 2 % at H = 1,024).
#pragma once

#include <algorithm>  // std::max, std::min
#include <limits>
#include <type_traits>  // std::integral_constant

#include "recur/kernels/gemm_dots.hpp"
#include "recur/kernels/gemm_parts.hpp"
#include "recur/kernels/gemm_row.hpp"
#include "recur/kernels/gemm_tile.hpp"
#include "recur/kernels/threads.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// How a product goes through the columns of its weights: shared by `threads`, from the first to
/// the last or back. What was read last is still in the cache, so a scan turns round at every step:
/// an LSTM of one sequence and H = 256, whose weights fill the second level, takes a fifth less
/// time.
struct Walk {
  int threads = 1;
  bool back = false;
};

/// How a product is made.
struct Manner {
  SumOf what = SumOf::inputs;  ///< decides how it is cut into sums
  /// Panels that begin here or behind it are multiplied in parts (parts_of_sum).
  Index parts_from = std::numeric_limits<Index>::max();
  bool back = false;             ///< see Walk
  Place place = Place::unknown;  ///< of C
};

namespace detail {

// Panels of `Vectors` registers that one row takes at once (sums_of_row), of `whole` ones. Of a
// few, two are enough, if their sums hide the latency of an addition: they are sooner read again
// (Walk).
inline constexpr int row_panels = register_count >= 32 ? 4 : 2;
template <int Vectors>
constexpr Index panels_at_once(Index whole) {
  const bool two = 2 * Vectors < 8 ? whole < row_panels : whole < 2 * row_panels;
  return two ? 2 : row_panels;
}

// f(std::integral_constant<int, panels>) for what panels_at_once returns.
template <class F>
RECUR_ALWAYS_INLINE void with_panels(Index panels, F&& f) {
  if (panels == row_panels) {
    f(std::integral_constant<int, row_panels>{});
  } else {
    f(std::integral_constant<int, 2>{});
  }
}

// [begin, end) in groups of `size`, from the first or back from the last.
class Groups {
 public:
  struct Group {
    Index first;
    Index last;
    Index next;  // the first of the group that follows; `end` behind the last one
  };

  Groups(Index begin, Index end, Index size, bool back)
      : begin_(begin),
        end_(end),
        size_(size),
        count_(end - begin <= size ? (begin < end ? 1 : 0) : (end - begin + size - 1) / size),
        back_(back) {}

  Index count() const { return count_; }
  Group operator[](Index k) const {
    const Index first = begin_ + (back_ ? count_ - 1 - k : k) * size_;
    return {first, std::min(end_, first + size_),
            k + 1 == count_ ? end_ : first + (back_ ? -size_ : size_)};
  }

 private:
  Index begin_;
  Index end_;
  Index size_;
  Index count_;
  bool back_;
};

// Whether a product goes through all columns for a block of terms before the next one, instead of
// through all terms for a panel: A is then read once and the weights once, and C, which is narrow
// beside them, as often as there are blocks. (Gradients by the inputs, of 256 to 1,024: training
// 0.5 to 1.5 % faster.)
constexpr bool goes_block_by_block(Index M, Index K, SumOf what) {
  return what == SumOf::gradients && M >= m_block / 2 && K >= 4 * terms_in_one_go(what).most;
}

// Such a product; N: the columns in panels.
template <class Scalar>
void gemm_by_blocks(Index M, Index N, Index K, const GemmA<Scalar>& a, const Scalar* b,
                    const GemmC<Scalar>& c, Start start, const Scalar* bias, const Manner& manner) {
  constexpr Index panel = tile_columns<Scalar>;
  const Stretches stretches(K, 1, manner.what);
  for (Index k = 0; k < K; start = Start::accumulate) {
    const Index depth = stretches.at(k);
    const auto weights = [&](Index n, Index term) {
      return b + n * K + term * panel_width<Scalar>(N, n);
    };
    for (Index n = 0; n < N; n += panel) {
      const Index width = panel_width<Scalar>(N, n);
      const Scalar* ahead = n + panel < N   ? weights(n + panel, k)
                            : k + depth < K ? weights(0, k + depth)
                                            : nullptr;
      gemm_panel<Scalar>(
          M, std::min(panel, N - n), depth,
          {a.data + k * a.column_stride, a.row_stride, a.column_stride}, weights(n, k), width,
          {c.data + n, c.row_stride}, start, start == Start::bias ? bias + n : nullptr,
          panel_ahead(count_of_tiles(M, width / native_width<Scalar>), depth, width, ahead),
          manner.place);
    }
    k += depth;
  }
}

}  // namespace detail

/// C = start + A B; `bias` (N) is read only where C starts from it. C is overwritten, or added to
/// with Start::accumulate. C must not overlap A or B.
template <class Scalar>
void gemm(Index M, Index N, Index K, GemmA<Scalar> a, PackedB<Scalar> b, GemmC<Scalar> c,
          Start start, const Scalar* bias = nullptr, const Manner& manner = {}) {
  constexpr Index panel = tile_columns<Scalar>;
  const auto bias_from = [&](Start from, Index n) {
    return from == Start::bias ? bias + n : nullptr;
  };
  const Index dots = b.dots;
  const bool one_block = detail::length_of_block(K, manner.what) == K;
  // One panel and one block, without all that more of them need: a call of one step may be no more.
  if (N <= panel && dots == 0 && one_block && M <= detail::m_block && manner.parts_from >= N) {
    constexpr Index width = native_width<Scalar>;
    if (M == 1 && N > 0 && N % width == 0) {
      detail::with_constant<tile_vectors>(N / width, [&](auto vectors) {
        detail::gemm_row<Vec<Scalar>, 1, vectors.value>(K, a.data, a.column_stride, b.data, 0,
                                                        c.data, start, bias);
      });
      return;
    }
    detail::gemm_panel<Scalar>(M, N, K, a, b.data, panel_width<Scalar>(N, 0), c, start,
                               bias_from(start, 0), {}, manner.place);
    return;
  }
  N -= dots;
  // Of one row, several whole panels at once: see gemm_row.
  const Index group = M == 1 && manner.parts_from > 0
                          ? panel * detail::panels_at_once<tile_vectors>(N / panel)
                          : panel;
  const bool by_blocks =
      detail::goes_block_by_block(M, K, manner.what) && manner.parts_from >= N && N > 0;
  if (by_blocks) {
    detail::gemm_by_blocks(M, N, K, a, b.data, c, start, bias, manner);
  }
  for (Index m = 0; m < M; m += detail::m_block) {
    const Index rows = std::min(detail::m_block, M - m);
    const detail::Groups groups(0, by_blocks ? 0 : N, group, manner.back);
    for (Index g = 0; g < groups.count(); ++g) {
      const auto [first, last, next] = groups[g];
      const bool row_of_panels = group > panel && last - first == group;
      for (Index n = first; n < last; n += row_of_panels ? group : panel) {
        // A panel and the one behind it, if it is whole registers: see gemm_row_of_two.
        const Index behind = std::min(panel, last - n - panel);
        if (M == 1 && !row_of_panels && behind > 0 && behind % native_width<Scalar> == 0 &&
            one_block && manner.parts_from >= N) {
          detail::with_constant<tile_vectors>(behind / native_width<Scalar>, [&](auto vectors) {
            detail::gemm_row_of_two<Vec<Scalar>, vectors.value>(
                K, a.data, a.column_stride, b.data + n * K, panel * K, c.data + n, start,
                bias_from(start, n));
          });
          n += behind;
          continue;
        }
        const Index width = panel_width<Scalar>(N, n);
        const Index parts =
            n < manner.parts_from ? 1 : parts_of_sum(K, width / native_width<Scalar>);
        if (parts > 1 && detail::gemm_panel_in_parts<Scalar>(
                             parts, rows, std::min(panel, N - n), K,
                             {a.data + m * a.row_stride, a.row_stride, a.column_stride},
                             b.data + n * K, width, {c.data + m * c.row_stride + n, c.row_stride},
                             start, bias_from(start, n), manner.back)) {
          continue;
        }
        const detail::Stretches stretches(K, parts, manner.what);
        Start from = start;
        Index k = 0;
        do {  // at least once: K = 0 still sets C
          const Index depth = stretches.at(k);
          const GemmA<Scalar> block{a.data + m * a.row_stride + k * a.column_stride, a.row_stride,
                                    a.column_stride};
          const GemmC<Scalar> sum{c.data + m * c.row_stride + n, c.row_stride};
          const Scalar* weights = b.data + n * K + k * width;
          k += depth;
          if (row_of_panels) {
            detail::with_panels(group / panel, [&](auto panels) {
              detail::gemm_row<Vec<Scalar>, panels.value, tile_vectors>(
                  depth, block.data, a.column_stride, weights, panel * K, sum.data, from,
                  bias_from(from, n));
            });
          } else {
            // One row of A reads faster than anything could be fetched ahead.
            const Scalar* ahead = M == 1     ? nullptr
                                  : k < K    ? weights + depth * width
                                  : next < N ? b.data + next * K
                                             : nullptr;
            detail::gemm_panel<Scalar>(
                rows, std::min(panel, N - n), depth, block, weights, width, sum, from,
                bias_from(from, n),
                detail::panel_ahead(detail::count_of_tiles(rows, width / native_width<Scalar>),
                                    depth, width, ahead),
                k > depth ? Place::near : manner.place);
          }
          from = Start::accumulate;
        } while (k < K);
      }
    }
    if (dots > 0) {
      detail::gemm_dots<Scalar>(rows, dots, K, {a.data + m * a.row_stride, a.row_stride, 1},
                                b.data + N * K, {c.data + m * c.row_stride + N, c.row_stride},
                                start, bias_from(start, N));
    }
  }
}

/// Columns [first, last) of a product, all by default; first: where a panel begins.
struct Columns {
  Index first = 0;
  Index last = std::numeric_limits<Index>::max();

  Columns of(Index N) const { return {first, std::min(last, N)}; }
};

/// Those of a B of N.
template <class Scalar>
PackedB<Scalar> columns_of(PackedB<Scalar> b, Index first, Index last, Index N, Index K) {
  return {b.data + first * K, last == N ? b.dots : 0};
}

/// Where a product of the scan begins to be multiplied in parts, of N columns in panels: not at a
/// whole panel that has another one beside it.
template <class Scalar>
constexpr Index parts_from(Index N) {
  constexpr Index panel = tile_columns<Scalar>;
  return N < 2 * panel ? 0 : N / panel * panel;
}

namespace detail {

// Columns [first, last) of a product, all of one panel; N: those in panels.
template <class Scalar>
void gemm_part_of_panel(Index first, Index last, Index M, Index N, Index K, const GemmA<Scalar>& a,
                        PackedB<Scalar> b, const GemmC<Scalar>& c, Start start) {
  constexpr Index panel = tile_columns<Scalar>;
  const Index n = first / panel * panel;
  const Index width = panel_width<Scalar>(N, n);
  const Index parts = n < parts_from<Scalar>(N) ? 1 : parts_of_sum(K, width / native_width<Scalar>);
  const Stretches stretches(K, parts, SumOf::scan);
  for (Index k = 0; k < K; start = Start::accumulate) {
    const Index depth = stretches.at(k);
    gemm_panel<Scalar>(
        M, last - first, depth, {a.data + k * a.column_stride, a.row_stride, a.column_stride},
        b.data + n * K + k * width + (first - n), width, {c.data + first, c.row_stride}, start);
    k += depth;
  }
}

}  // namespace detail

/// The columns of which threads take multiples, when they share those of a product of the scan: of
/// one row or a few whole panels, else whole registers. (100 columns are two panels, one of them of
/// 36.)
template <class Scalar>
constexpr Index grain_of_columns(Index M, Index K) {
  return M < tile_rows || K == 0 ? tile_columns<Scalar> : native_width<Scalar>;
}

/// Columns [first, behind) of a product of the scan: a thread's share.
template <class Scalar>
void gemm_of_columns(Index first, Index behind, bool back, Index M, Index N, Index K,
                     GemmA<Scalar> a, PackedB<Scalar> b, GemmC<Scalar> c, Start start) {
  constexpr Index panel = tile_columns<Scalar>;
  const Index in_panels = N - b.dots;
  const Index last = std::min(behind, in_panels);
  // The panels that are whole here, or end the product.
  const Index whole = (first + panel - 1) / panel * panel;
  const Index end = last == in_panels ? in_panels : last / panel * panel;
  if (first < std::min(whole, last)) {
    detail::gemm_part_of_panel(first, std::min(whole, last), M, in_panels, K, a, b, c, start);
  }
  if (whole < end) {
    gemm<Scalar>(M, end - whole, K, a, PackedB<Scalar>{b.data + whole * K},
                 {c.data + whole, c.row_stride}, start, nullptr,
                 {SumOf::scan, parts_from<Scalar>(in_panels) - whole, back});
  }
  if (std::max(whole, end) < last) {
    detail::gemm_part_of_panel(std::max(whole, end), last, M, in_panels, K, a, b, c, start);
  }
  if (in_panels < behind) {
    detail::gemm_dots<Scalar>(M, b.dots, K, a, b.data + in_panels * K,
                              {c.data + in_panels, c.row_stride}, start, nullptr);
  }
}

/// All columns, shared by threads.
template <class Scalar>
void gemm_by_columns(Walk walk, Index M, Index N, Index K, GemmA<Scalar> a, PackedB<Scalar> b,
                     GemmC<Scalar> c, Start start) {
  parallel_ranges(walk.threads, N, grain_of_columns<Scalar>(M, K), [&](Index first, Index last) {
    gemm_of_columns(first, last, walk.back, M, N, K, a, b, c, start);
  });
}

/// The same of gradients, to the bit, with a B that is packed on the way, a block of a panel at a
/// time: for many rows of A.
template <class Scalar>
void gemm(Index M, Index N, Index K, GemmA<Scalar> a, RowsB<Scalar> b, GemmC<Scalar> c, Start start,
          const Scalar* bias = nullptr) {
  constexpr Index panel = tile_columns<Scalar>;
  constexpr Index longest = detail::terms_in_one_go(SumOf::gradients).most;
  alignas(64) Scalar packed[static_cast<std::size_t>(longest * panel)];
  const Index block = detail::length_of_block(K, SumOf::gradients);
  Index k = 0;
  do {
    const Index depth = std::min(block, K - k);
    for (Index n = 0; n < N; n += panel) {
      const Index columns = std::min(panel, N - n);
      const Index width = panel_width<Scalar>(N, n);
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
