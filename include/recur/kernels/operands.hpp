// SPDX-License-Identifier: MIT
//
// What products are given: matrices as they stand in memory.
#pragma once

#include <limits>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// A (M × K): element (m, k) at data[m * row_stride + k * column_stride].
template <class Scalar>
struct GemmA {
  const Scalar* data;
  Index row_stride;
  Index column_stride;
};

/// B (K × N) in panels: see Panels. The last `dots` columns (gemm_dots.hpp) stand behind them, which
/// end in whole registers then: column n at data + n * K. A's columns must stand side by side for
/// them.
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

/// B (K × N), `length` rows that stand together, then as many that begin `step` rows later, and so
/// on. By default all together.
template <class Scalar>
struct RunsB {
  RowsB<Scalar> rows;
  Index length = std::numeric_limits<Index>::max();
  Index step = 0;

  RowsB<Scalar> run(Index j) const { return {rows.row(j * step), rows.row_stride}; }
  const Scalar* row(Index k) const { return run(k / length).row(k % length); }
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

/// Where C is while a product begins: near, in a cache since it was just stored; far, in the memory
/// or on its way there, so that it is fetched while the product is made, even if it is only
/// written; unknown: fetched if it is read. (Of what a training step only writes: 1 % of its time.
/// Fetched from nearby, it costs as much.)
enum class Place { near, unknown, far };

}  // namespace recur::inline RECUR_ABI::kernels
