// SPDX-License-Identifier: MIT
//
// Gradients by the parameters of any cell: products summed over the rows of one or of many steps.
#pragma once

#include <algorithm>  // std::min
#include <limits>

#include "recur/cells/step.hpp"
#include "recur/core/cell_parameters.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/threads.hpp"
#include "recur/kernels/transposed_product.hpp"

namespace recur::inline RECUR_ABI::cells {

/// The rows, of one or of many steps, that gradients by the parameters are summed over.
template <class Scalar>
struct GradientRows {
  Index rows = 0;
  kernels::SlotRows<const Scalar> d_slots;
  /// Of what follows, so many rows stand together; those behind them begin `run_step` rows later.
  Index run = std::numeric_limits<Index>::max();
  Index run_step = 0;
  const Index* places = nullptr;  ///< or row k is the one at places[k]; null: see `run`
  const Scalar* x = nullptr;      ///< (rows × I)
  Index x_stride = 0;
  const Scalar* h_prev = nullptr;  ///< (rows × output)
  Index h_stride = 0;
  const Scalar* unprojected = nullptr;  ///< (rows × H), h' before the projection
  Index unprojected_stride = 0;
  const Scalar* d_h = nullptr;  ///< (rows × output), by h' after it; row k at k, as in d_slots
  Index d_h_stride = 0;
};

/// Scratch memory of parameter_gradients: the second factors of its products.
template <class Scalar>
struct PackedFactors {
  kernels::PackedMatrix<Scalar> x;
  kernels::PackedMatrix<Scalar> h_prev;
  kernels::PackedMatrix<Scalar> made;  ///< h' before the projection, or the operand
};

/// The memory that parameter_gradients needs of `rows` rows.
template <class E, class Scalar>
void reserve_factors(const CellSizes& n, Index rows, PackedFactors<Scalar>& packed) {
  packed.x.reserve(rows, n.input);
  packed.h_prev.reserve(rows, n.output);
  packed.made.reserve(n.projected() || math::TwoProducts<E> ? rows : 0, n.hidden);
}

/// The gradients by all parameters, dW_ih = d_slotsᵀ x, dW_hh = d_slotsᵀ h_prev, …: overwritten
/// (Start::zero) or added to. Threads share the rows of the matrices, so that sums are always in
/// the same order.
template <class E, class Scalar>
void parameter_gradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                         kernels::Start start, int threads, PackedFactors<Scalar>& packed,
                         CellParameters<Scalar>& gradients) {
  const CellSizes& n = w.sizes();
  const Index gates = w.gates();
  const auto d_slots = [&](Index first) {
    return kernels::RowsB<Scalar>{r.d_slots.data + first, r.d_slots.stride};
  };
  // The right factor of a product over all rows: packed, unless one register holds its columns, or
  // the product has few rows, and enough of its own rows stand together. A single row is used where
  // it stands.
  const bool few_rows = gates <= kernels::transposed_block<Scalar>;
  struct Factor {
    kernels::RunsB<Scalar> rows;
    const Index* places;
    Index columns;
    kernels::PackedMatrix<Scalar>& packed;
    bool few_rows;
    bool narrow() const { return columns <= kernels::native_width<Scalar>; }
    bool as_it_is(Index count) const {
      constexpr Index enough = 48;  // that sums are not too short
      return (narrow() || few_rows) && places == nullptr && rows.length >= std::min(count, enough);
    }
    const Scalar* first_row() const { return rows.rows.row(places == nullptr ? 0 : places[0]); }
  };
  const auto recorded = [&](const Scalar* first, Index stride) {
    return kernels::RunsB<Scalar>{{first, stride}, r.run, r.run_step};
  };
  // The third: of a cell of two products the operand, which forward left behind the gates.
  Factor factors[] = {{recorded(r.x, r.x_stride), r.places, n.input, packed.x, few_rows},
                      {recorded(r.h_prev, r.h_stride), r.places, n.output, packed.h_prev, few_rows},
                      n.projected()
                          ? Factor{recorded(r.unprojected, r.unprojected_stride), r.places,
                                   n.hidden, packed.made, few_rows}
                          : Factor{{d_slots(gates)}, nullptr, n.hidden, packed.made, few_rows}};
  const Factor& x = factors[0];
  const Factor& h_prev = factors[1];
  const Factor& made = factors[2];
  const bool one_row = r.rows == 1;
  const Index to_pack = one_row ? 0 : n.projected() || math::TwoProducts<E> ? 3 : 2;
  for (Index k = 0; k < to_pack; ++k) {  // here, as it may throw
    if (!factors[k].as_it_is(r.rows)) {
      factors[k].packed.reserve(r.rows, factors[k].columns);
    }
  }
  kernels::parallel_ranges(threads, to_pack, 1, [&](Index first, Index last) {
    for (Index k = first; k < last; ++k) {
      Factor& factor = factors[k];
      if (factor.as_it_is(r.rows)) {
        continue;
      }
      const auto pack = [&](const auto& rows) {
        if (factor.narrow()) {
          factor.rows = {factor.packed.gather(r.rows, factor.columns, rows)};
        } else {
          factor.packed.assign(r.rows, factor.columns, rows);
        }
      };
      if (factor.places != nullptr) {
        pack(kernels::ScatteredRowsB<Scalar>{factor.rows.rows, factor.places});
      } else {
        pack(factor.rows);
      }
    }
  });

  kernels::parallel_ranges(threads, threads, 1, [&](Index first_part, Index last_part) {
    const auto share = [&](Index count, Index grain, auto&& f) {
      const Index first = kernels::range_begin(first_part, threads, count, grain);
      const Index last = kernels::range_begin(last_part, threads, count, grain);
      if (first < last) {
        f(first, last);
      }
    };
    // Row m of dW = sum over rows of column m of `left` times a row of `right`.
    const auto product = [&](kernels::RowsB<Scalar> left, Index count, const Factor& right,
                             Scalar* to) {
      share(count, kernels::tile_rows, [&](Index first, Index last) {
        const kernels::RowsB<Scalar> columns{left.data + first, left.row_stride};
        const kernels::GemmC<Scalar> sum{to + first * right.columns, right.columns};
        if (one_row) {
          kernels::outer_product<Scalar>(last - first, right.columns, columns.data,
                                         right.first_row(), sum, start);
        } else if (right.narrow()) {
          kernels::narrow_transposed_product<Scalar>(last - first, right.columns, r.rows, columns,
                                                     right.rows, sum, start);
        } else if (right.as_it_is(r.rows)) {
          kernels::transposed_product<Scalar>(last - first, right.columns, r.rows, columns,
                                              right.rows, sum, start);
        } else {
          kernels::transposed_product<Scalar>(last - first, right.columns, r.rows, columns,
                                              right.packed.operand(), sum, start);
        }
      });
    };
    const auto sums = [&](Index first_slot, Index count, Scalar* to, Scalar* also = nullptr) {
      share(count, kernels::tile_columns<Scalar>, [&](Index first, Index last) {
        kernels::sum_rows<Scalar>(r.rows, last - first, d_slots(first_slot + first), start,
                                  to + first, also == nullptr ? also : also + first);
      });
    };

    product(d_slots(0), gates, x, gradients.weight_ih.data());
    product(d_slots(0), w.shared(), h_prev, gradients.weight_hh.data());
    Scalar* apart = gradients.weight_hh.data() + w.shared() * n.output;
    if constexpr (math::TwoProducts<E>) {
      product(d_slots(w.shared()), w.apart(), made, apart);
    } else if constexpr (E::shared_gates < E::gates) {
      product(d_slots(gates), w.apart(), h_prev, apart);
    }
    if (n.bias) {
      constexpr int same = math::TwoProducts<E> ? E::gates : E::shared_gates;
      sums(0, same * n.hidden, gradients.bias_ih.data(), gradients.bias_hh.data());
      if constexpr (same < E::gates) {
        sums(w.shared(), w.apart(), gradients.bias_ih.data() + w.shared());
        sums(gates, w.apart(), gradients.bias_hh.data() + w.shared());
      }
    }
    if (n.projected()) {
      product({r.d_h, r.d_h_stride}, n.output, made, gradients.weight_hr.data());
    }
  });
}

}  // namespace recur::inline RECUR_ABI::cells
