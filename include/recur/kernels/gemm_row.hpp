// SPDX-License-Identifier: MIT
//
// One row of a product, several panels at once: a single row of one panel has too few sums to hide
// the latency of an addition, and one stream from memory where several would come faster. The bits
// are those of the tiles in gemm_tile.hpp.
#pragma once

#include <algorithm>    // std::max
#include <type_traits>  // std::integral_constant

#include "recur/kernels/gemm_panels.hpp"

namespace recur::inline RECUR_ABI::kernels::detail {

// sum = one row of A times `Panels` whole panels, `panel_stride` apart, `Vectors` registers each.
template <int Panels, int Vectors, class V, class Scalar>
RECUR_ALWAYS_INLINE void sums_of_row(Index K, const Scalar* a, Index a_stride, const Scalar* b,
                                     Index panel_stride, V (&sum)[Panels * Vectors]) {
  RECUR_UNROLL
  for (V& element : sum) {
    element = V(Scalar(0));
  }
  const Scalar* panels[Panels];
  RECUR_UNROLL
  for (int p = 0; p < Panels; ++p) {
    panels[p] = b + p * panel_stride;
    keep_in_general_register(panels[p]);
  }
  for (Index k = K; k > 0; --k) {
    const V factor(*a);
    RECUR_UNROLL
    for (int v = 0; v < Panels * Vectors; ++v) {
      sum[v] = multiply_add(factor, V::load(panels[v / Vectors] + v % Vectors * V::width), sum[v]);
    }
    keep_in_general_register(a_stride);
    a += a_stride;
    RECUR_UNROLL
    for (int p = 0; p < Panels; ++p) {
      panels[p] += Vectors * V::width;
    }
  }
}

// One row of C, so summed.
template <class V, int Count, class Scalar>
RECUR_ALWAYS_INLINE void give_row(V (&sum)[Count], Scalar* c, Start start, const Scalar* bias) {
  RECUR_UNROLL
  for (int v = 0; v < Count; ++v) {
    if (start != Start::zero) {
      sum[v] = sum[v] + V::load((start == Start::bias ? bias : c) + v * V::width);
    }
    sum[v].store(c + v * V::width);
  }
}
template <class V, int Panels, int Vectors, class Scalar>
void gemm_row(Index K, const Scalar* a, Index a_stride, const Scalar* b, Index panel_stride,
              Scalar* c, Start start, const Scalar* bias = nullptr) {
  V sum[Panels * Vectors];
  sums_of_row<Panels, Vectors>(K, a, a_stride, b, panel_stride, sum);
  give_row(sum, c, start, bias);
}

// The same of two panels of `First` and `Second` registers.
template <class V, int First, int Second, class Scalar>
void gemm_row_of_two(Index K, const Scalar* a, Index a_stride, const Scalar* b, Index panel_stride,
                     Scalar* c, Start start, const Scalar* bias) {
  V sum[First + Second];
  RECUR_UNROLL
  for (V& element : sum) {
    element = V(Scalar(0));
  }
  const Scalar* behind = b + panel_stride;
  for (Index k = K; k > 0; --k) {
    const V factor(*a);
    RECUR_UNROLL
    for (int v = 0; v < First + Second; ++v) {
      const Scalar* row = v < First ? b + v * V::width : behind + (v - First) * V::width;
      sum[v] = multiply_add(factor, V::load(row), sum[v]);
    }
    keep_in_general_register(a_stride);
    a += a_stride;
    b += First * V::width;
    behind += Second * V::width;
  }
  give_row(sum, c, start, bias);
}

// f(std::integral_constant<int, registers>, the same) of two panels beside each other.
template <class F>
RECUR_ALWAYS_INLINE void with_two_panels(Index first, Index second, F&& f) {
  constexpr std::integral_constant<int, tile_vectors> whole;
  constexpr std::integral_constant<int, tile_vectors - 1> narrow;
  constexpr std::integral_constant<int, std::max(1, tile_vectors - 2)> rest;
  if (first == whole) {
    second == whole ? f(whole, whole) : f(whole, narrow);
  } else {
    second == narrow ? f(narrow, narrow) : f(narrow, rest);
  }
}

// Panels of `Vectors` registers that one row takes at once (sums_of_row), of `whole` ones. Of a
// few, two are enough, if their sums hide the latency of an addition: they are sooner read again
// (Manner::back).
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

// A product of one row: several whole panels at once, or two that are not (gemm_row).
template <class Scalar>
void gemm_one_row(const Product<Scalar>& of) {
  using V = Vec<Scalar>;
  const Panels<Scalar> panels(of.N);
  const Manner& manner = of.manner;
  const Index group = panels_at_once<tile_vectors>(panels.whole());  // a power of two
  const Index grouped = manner.parts_from > 0 ? panels.whole() & -group : 0;
  const bool by_two = manner.parts_from >= of.N && of.block == of.K;

  const auto group_of_panels = [&](Index n) {
    const Stretches stretches(of.K, 1, of.block);
    Start from = of.start;
    Index k = 0;
    do {
      const Index depth = stretches.at(k);
      with_panels(group, [&](auto count) {
        gemm_row<V, count.value, tile_vectors>(depth, of.terms_from(k).data, of.a.column_stride,
                                               of.weights(n, tile_columns<Scalar>, k),
                                               tile_columns<Scalar> * of.K, of.c.data + n, from,
                                               of.bias_from(from, n));
      });
      from = Start::accumulate;
      k += depth;
    } while (k < of.K);
  };
  const auto two_panels = [&](Index p) {
    const Index n = panels.begin(p);
    const Index width = panels.width(p);
    with_two_panels(width / V::width, panels.width(p + 1) / V::width, [&](auto first, auto second) {
      gemm_row_of_two<V, first.value, second.value>(
          of.K, of.a.data, of.a.column_stride, of.weights(n, 0, 0), width * of.K, of.c.data + n,
          of.start, of.bias_from(of.start, n));
    });
  };
  const auto all_groups = [&] {
    const Groups groups(0, grouped, group, manner.back);
    for (Index g = 0; g < groups.count(); ++g) {
      group_of_panels(panels.begin(groups[g].first));
    }
  };

  if (!manner.back) {
    all_groups();
  }
  const Groups others(grouped, panels.count(), 1, manner.back);
  for (Index g = 0; g < others.count(); ++g) {
    const Index p = others[g].first;
    const bool another = p + 1 < panels.count() && !manner.back;
    if (by_two && another && panels.columns(p + 1) == panels.width(p + 1)) {  // whole registers
      two_panels(p);
      ++g;
    } else {
      gemm_of_panel<Scalar>(of, panels, p, nullptr);
    }
  }
  if (manner.back) {
    all_groups();
  }
}

}  // namespace recur::inline RECUR_ABI::kernels::detail
