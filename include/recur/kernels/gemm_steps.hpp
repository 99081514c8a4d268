// SPDX-License-Identifier: MIT
//
// A product for the rows that a thread has in many time steps: those of one step stand together,
// the next one's farther on, behind the rows of other threads. Step by step, a panel of B would be
// taken up for three rows or for four; here for many steps. So few sequences a thread are worth it:
// when threads shared these products by steps, each had to fetch from the other what it scanned
// (two threads, five sequences, 64 inputs and units: a fifth to a quarter of the whole time).
#pragma once

#include <algorithm>  // std::max, std::min

#include "recur/kernels/gemm.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// A product that is made `count` times, A and C each time so much farther on.
struct Repeat {
  Index count = 1;
  Index a_stride = 0;
  Index c_stride = 0;
};

namespace detail {

// So many steps that A and a panel of B stay in the first-level cache.
template <class Scalar>
void gemm_block(const Repeat& steps, Index M, Index N, Index K, const GemmA<Scalar>& a,
                PackedB<Scalar> b, const GemmC<Scalar>& c, Start start, const Scalar* bias,
                const Manner& manner) {
  using V = Vec<Scalar>;
  const Index in_panels = N - b.dots;
  const Panels<Scalar> panels(in_panels);
  for (Index p = 0; p < panels.count(); ++p) {
    const Index n = panels.begin(p);
    const Index width = panels.width(p);
    const Index last = panels.columns(p) - width + V::width;
    const Stretches stretches(K, 1, manner.what);
    Start from = start;
    Index k = 0;
    do {  // at least once: K = 0 still sets C
      const Index depth = stretches.at(k);
      const GemmC<Scalar> sums{c.data + n, c.row_stride};
      Tiles<Scalar> tiles{depth,
                          {a.data + k * a.column_stride, a.row_stride, a.column_stride},
                          b.data + n * K + k * width,
                          width,
                          sums,
                          last,
                          {from, from == Start::bias ? bias + n : nullptr, sums},
                          {},
                          k > 0 ? Place::near : manner.place};
      with_constant<tile_vectors>(width / V::width, [&](auto vectors) {
        for (Index step = 0; step < steps.count; ++step) {
          gemm_columns<V, vectors.value>(M, tiles);
          tiles.a.data += steps.a_stride;
          tiles.c.data += steps.c_stride;
          tiles.before.data += from == Start::bias ? 0 : steps.c_stride;
        }
      });
      from = Start::accumulate;
      k += depth;
    } while (k < K);
  }
  for (Index step = 0; step < steps.count && b.dots > 0; ++step) {
    gemm_dots<Scalar>(M, b.dots, K, {a.data + step * steps.a_stride, a.row_stride, 1},
                      b.data + in_panels * K,
                      {c.data + step * steps.c_stride + in_panels, c.row_stride}, start,
                      start == Start::bias ? bias + in_panels : nullptr);
  }
}

template <class Scalar>
void gemm_of_steps(Repeat steps, Index M, Index N, Index K, GemmA<Scalar> a, PackedB<Scalar> b,
                   GemmC<Scalar> c, Start start, const Scalar* bias, const Manner& manner) {
  if (M == 1) {
    gemm<Scalar>(steps.count, N, K, {a.data, steps.a_stride, a.column_stride}, b,
                 {c.data, steps.c_stride}, start, bias, manner);
    return;
  }
  const Index at_once = std::max<Index>(1, m_block / std::max<Index>(1, M));
  for (Index first = 0; first < steps.count; first += at_once) {
    const Repeat block{std::min(at_once, steps.count - first), steps.a_stride, steps.c_stride};
    if (block.count == 1) {
      gemm<Scalar>(M, N, K, a, b, c, start, bias, manner);
    } else {
      gemm_block(block, M, N, K, a, b, c, start, bias, manner);
    }
    a.data += at_once * steps.a_stride;
    c.data += at_once * steps.c_stride;
  }
}

}  // namespace detail

/// Every C (M × N) = start + A B. The same bits as so many single products.
template <class Scalar>
RECUR_ALWAYS_INLINE void gemm(const Repeat& steps, Index M, Index N, Index K,
                              const GemmA<Scalar>& a, PackedB<Scalar> b, const GemmC<Scalar>& c,
                              Start start, const Scalar* bias = nullptr,
                              const Manner& manner = {}) {
  if (steps.count == 1) {
    gemm<Scalar>(M, N, K, a, b, c, start, bias, manner);
  } else {
    detail::gemm_of_steps(steps, M, N, K, a, b, c, start, bias, manner);
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
