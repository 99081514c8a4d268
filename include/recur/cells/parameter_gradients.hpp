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

/// The gradients by all parameters, dW_ih = d_slotsᵀ x, dW_hh = d_slotsᵀ h_prev, …: pack() once,
/// then add(…) for all parts of their rows. Which thread does which part is of no matter.
template <class E, class Scalar>
class ParameterGradients {
 public:
  /// packed: scratch memory; like all the rest it must stay until the last part is done.
  ParameterGradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                     PackedFactors<Scalar>& packed, CellParameters<Scalar>& gradients)
      : w_(w),
        r_(r),
        gradients_(gradients),
        factors_{
            factor({r.x, r.x_stride}, w.sizes().input, packed.x),
            factor({r.h_prev, r.h_stride}, w.sizes().output, packed.h_prev),
            w.sizes().projected()
                ? factor({r.unprojected, r.unprojected_stride}, w.sizes().hidden, packed.made)
                : Factor{
                      {d_slots(w.gates())}, nullptr, w.sizes().hidden, packed.made, few_rows()}} {}

  /// Copies the factors to where the products read them, if need be.
  void pack(int threads) {
    const bool third = w_.sizes().projected() || math::TwoProducts<E>;
    const Index to_pack = one_row() ? 0 : third ? 3 : 2;
    for (Index k = 0; k < to_pack; ++k) {  // here, as it may throw
      if (!factors_[k].as_it_is(r_.rows)) {
        factors_[k].packed.reserve(r_.rows, factors_[k].columns);
      }
    }
    kernels::parallel_ranges(threads, to_pack, 1, [&](Index first, Index last) {
      for (Index k = first; k < last; ++k) {
        factors_[k].pack(r_.rows);
      }
    });
  }

  /// Of each gradient the rows of part `part` of `parts`: overwritten (Start::zero) or added to.
  /// (Of few rows, which fill some registers together, there are two parts: by x, and the others.)
  void add(Index part, Index parts, kernels::Start start) const {
    const CellSizes& n = w_.sizes();
    const auto share = [&](Index count, Index grain, bool by_x, auto&& f) {
      if (few_rows()) {
        if (part == (by_x ? 0 : parts / 2)) {
          f(Index(0), count);
        }
        return;
      }
      const Index first = kernels::range_begin(part, parts, count, grain);
      const Index last = kernels::range_begin(part + 1, parts, count, grain);
      if (first < last) {
        f(first, last);
      }
    };
    const auto product = [&](kernels::RowsB<Scalar> left, Index count, const Factor& right,
                             Scalar* to) {
      share(count, kernels::tile_rows, &right == factors_, [&](Index first, Index last) {
        add_product({left.data + first, left.row_stride}, last - first, right,
                    {to + first * right.columns, right.columns}, start);
      });
    };
    const auto sums = [&](Index first_slot, Index count, Scalar* to, Scalar* also = nullptr) {
      share(count, kernels::tile_columns<Scalar>, false, [&](Index first, Index last) {
        kernels::sum_rows<Scalar>(r_.rows, last - first, d_slots(first_slot + first), start,
                                  to + first, also == nullptr ? also : also + first);
      });
    };

    const auto& [x, h_prev, made] = factors_;
    product(d_slots(0), w_.gates(), x, gradients_.weight_ih.data());
    product(d_slots(0), w_.shared(), h_prev, gradients_.weight_hh.data());
    Scalar* apart = gradients_.weight_hh.data() + w_.shared() * n.output;
    if constexpr (math::TwoProducts<E>) {
      product(d_slots(w_.shared()), w_.apart(), made, apart);
    } else if constexpr (E::shared_gates < E::gates) {
      product(d_slots(w_.gates()), w_.apart(), h_prev, apart);
    }
    if (n.bias) {
      constexpr int same = math::TwoProducts<E> ? E::gates : E::shared_gates;
      sums(0, same * n.hidden, gradients_.bias_ih.data(), gradients_.bias_hh.data());
      if constexpr (same < E::gates) {
        sums(w_.shared(), w_.apart(), gradients_.bias_ih.data() + w_.shared());
        sums(w_.gates(), w_.apart(), gradients_.bias_hh.data() + w_.shared());
      }
    }
    if (n.projected()) {
      product({r_.d_h, r_.d_h_stride}, n.output, made, gradients_.weight_hr.data());
    }
  }

 private:
  // The right factor of a product over all rows: packed, unless one register holds its columns, or
  // the product has few rows, and enough of its own rows stand together. A single row is used where
  // it stands.
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

    void pack(Index count) {
      if (as_it_is(count)) {
        return;
      }
      const auto copy = [&](const auto& from) {
        if (narrow()) {
          rows = {packed.gather(count, columns, from)};
        } else {
          packed.assign(count, columns, from);
        }
      };
      if (places != nullptr) {
        copy(kernels::ScatteredRowsB<Scalar>{rows.rows, places});
      } else {
        copy(rows);
      }
    }
  };

  bool one_row() const { return r_.rows == 1; }
  bool few_rows() const { return w_.gates() <= kernels::transposed_block<Scalar>; }

  kernels::RowsB<Scalar> d_slots(Index first) const {
    return {r_.d_slots.data + first, r_.d_slots.stride};
  }

  // One of what forward left.
  Factor factor(kernels::RowsB<Scalar> first, Index columns,
                kernels::PackedMatrix<Scalar>& packed) const {
    return {{first, r_.run, r_.run_step}, r_.places, columns, packed, few_rows()};
  }

  // Row m of `to` = start + the sum over all rows of column m of `left` times a row of `right`.
  void add_product(kernels::RowsB<Scalar> left, Index count, const Factor& right,
                   const kernels::GemmC<Scalar>& to, kernels::Start start) const {
    if (one_row()) {
      kernels::outer_product<Scalar>(count, right.columns, left.data, right.first_row(), to, start);
    } else if (right.narrow()) {
      kernels::narrow_transposed_product<Scalar>(count, right.columns, r_.rows, left, right.rows,
                                                 to, start);
    } else if (right.as_it_is(r_.rows)) {
      kernels::transposed_product<Scalar>(count, right.columns, r_.rows, left, right.rows, to,
                                          start);
    } else {
      kernels::transposed_product<Scalar>(count, right.columns, r_.rows, left,
                                          right.packed.operand(), to, start);
    }
  }

  Weights<E, Scalar> w_;
  GradientRows<Scalar> r_;
  CellParameters<Scalar>& gradients_;
  Factor factors_[3];  // the third: what a projection multiplies, or the operand of a cell of two
                       // products, which forward left behind the gates
};

/// The same at once. Threads share the rows of the matrices, so that sums are always in the same
/// order.
template <class E, class Scalar>
void parameter_gradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                         kernels::Start start, int threads, PackedFactors<Scalar>& packed,
                         CellParameters<Scalar>& gradients) {
  ParameterGradients<E, Scalar> sums(w, r, packed, gradients);
  sums.pack(threads);
  kernels::parallel_ranges(threads, threads, 1, [&](Index part, Index last) {
    for (; part < last; ++part) {
      sums.add(part, threads, start);
    }
  });
}

}  // namespace recur::inline RECUR_ABI::cells
