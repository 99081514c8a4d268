// SPDX-License-Identifier: MIT
//
// Some columns of a product: those that a thread takes.
#pragma once

#include <algorithm>  // std::min
#include <limits>

#include "recur/kernels/gemm.hpp"
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
  const Index whole = Panels<Scalar>(N).whole();
  return whole < 2 ? 0 : whole * tile_columns<Scalar>;
}

namespace detail {

// Columns [first, last) of a product, all of panel p of so many.
template <class Scalar>
void gemm_part_of_panel(Index first, Index last, Index M, const Panels<Scalar>& panels, Index p,
                        bool in_parts, Index K, const GemmA<Scalar>& a, const Scalar* b,
                        const GemmC<Scalar>& c, Start start) {
  const Index n = panels.begin(p);
  const Index width = panels.width(p);
  const Index parts = in_parts ? parts_of_sum(K, width / native_width<Scalar>) : 1;
  const Stretches stretches(K, parts, SumOf::scan);
  for (Index k = 0; k < K; start = Start::accumulate) {
    const Index depth = stretches.at(k);
    gemm_panel<Scalar>(
        M, last - first, depth, {a.data + k * a.column_stride, a.row_stride, a.column_stride},
        b + n * K + k * width + (first - n), width, {c.data + first, c.row_stride}, start);
    k += depth;
  }
}

}  // namespace detail

/// Calls f(first, last) for the share of each thread in the columns of a product of the scan, M × N
/// of K terms, the last ones dots: of one row or a few whole panels, else whole registers. (100
/// columns are two panels.)
template <class Scalar, class F>
void parallel_columns(int threads, Index M, Index N, Index K, Index dots, const F& f) {
  if (M >= tile_rows && K > 0) {
    parallel_ranges(threads, N, native_width<Scalar>, f);
    return;
  }
  const Panels<Scalar> panels(N - dots);
  parallel_ranges(threads, panels.count(), 1, [&](Index first, Index last) {
    f(panels.begin(first), last == panels.count() ? N : panels.begin(last));
  });
}

/// Columns [first, behind) of a product of the scan: a thread's share.
template <class Scalar>
void gemm_of_columns(Index first, Index behind, bool back, Index M, Index N, Index K,
                     GemmA<Scalar> a, PackedB<Scalar> b, GemmC<Scalar> c, Start start) {
  const Index in_panels = N - b.dots;
  const Index last = std::min(behind, in_panels);
  const Panels<Scalar> panels(in_panels);
  const Index from = parts_from<Scalar>(in_panels);
  const auto part_of_panel = [&](Index begin, Index end, Index p) {
    detail::gemm_part_of_panel(begin, end, M, panels, p, panels.begin(p) >= from, K, a, b.data, c,
                               start);
  };
  if (first < last) {
    // The panels that are whole here.
    const Index begins_in = panels.at(first);
    const Index whole = begins_in + (panels.begin(begins_in) < first ? 1 : 0);
    const Index ends_in = panels.at(last);
    const Index begin = panels.begin(whole);
    const Index end = panels.begin(ends_in);
    if (first < std::min(begin, last)) {
      part_of_panel(first, std::min(begin, last), begins_in);
    }
    if (begin < end) {
      gemm<Scalar>(M, end - begin, K, a, PackedB<Scalar>{b.data + begin * K},
                   {c.data + begin, c.row_stride}, start, nullptr,
                   {SumOf::scan, from - begin, back});
    }
    if (whole <= ends_in && end < last) {
      part_of_panel(end, last, ends_in);
    }
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
  parallel_columns<Scalar>(walk.threads, M, N, K, b.dots, [&](Index first, Index last) {
    gemm_of_columns(first, last, walk.back, M, N, K, a, b, c, start);
  });
}

}  // namespace recur::inline RECUR_ABI::kernels
