// SPDX-License-Identifier: MIT
//
// Gradients by the parameters of any cell: products summed over the rows of one or of many steps.
#pragma once

#include <algorithm>  // std::max, std::min
#include <limits>

#include "recur/cells/step.hpp"
#include "recur/core/cell_parameters.hpp"
#include "recur/kernels/cache.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/sum_rows.hpp"
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

/// Scratch memory of parameter_gradients: the second factors of its products. Where some of
/// their columns are packed at a time, all of them by turns in `x`.
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

/// The gradients by all parameters, dW_ih = d_slotsᵀ x, dW_hh = d_slotsᵀ h_prev, …: all at once, or
/// pack() once, then add(…) for all parts of their rows; or so for one factor (x, h_prev, …) after
/// the other, which takes less memory. Which thread does which part is of no matter.
template <class E, class Scalar>
class ParameterGradients {
 public:
  /// packed: scratch memory; like all the rest it must stay until the last part is done.
  ParameterGradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                     PackedFactors<Scalar>& packed, CellParameters<Scalar>& gradients)
      : w_(w),
        r_(r),
        gradients_(gradients),
        packed_(packed),
        factors_{
            factor({r.x, r.x_stride}, w.sizes().input, packed.x),
            factor({r.h_prev, r.h_stride}, w.sizes().output, packed.h_prev),
            w.sizes().projected()
                ? factor({r.unprojected, r.unprojected_stride}, w.sizes().hidden, packed.made)
                : Factor{
                      {d_slots(w.gates())}, nullptr, w.sizes().hidden, &packed.made, few_rows()}} {}

  /// Overwrites the gradients (Start::zero) or adds to them. Of a factor, what fits into the
  /// second-level cache is packed at a time: it is read again for every few rows of a gradient. Of
  /// little memory, all factors are: threads meet less often.
  void add(int threads, kernels::Start start) {
    const auto for_parts = [&](auto&& f) {
      kernels::parallel_ranges(threads, threads, 1, [&](Index part, Index last) {
        for (; part < last; ++part) {
          f(part);
        }
      });
    };
    if (one_row() || few_rows() || little_memory()) {
      pack(threads);
      for_parts([&](Index part) { add(part, threads, start); });
      return;
    }
    for (Index k = 0; k < factor_count(); ++k) {
      const Index at_once = columns_at_once(factors_[k].columns);
      for (Index n = 0; n < factors_[k].columns; n += at_once) {
        Factor right = factors_[k].some_columns(n, at_once, packed_.x);
        right.pack(r_.rows, threads);
        for_parts([&](Index part) { add_products(k, right, n, part, threads, start); });
      }
    }
    for_parts([&](Index part) { add_sums(part, threads, start); });
  }

  /// Copies the factors to where the products read them, if need be.
  void pack(int threads) {
    for (Index k = 0; k < factor_count() && !one_row(); ++k) {
      factors_[k].pack(r_.rows, threads);
    }
  }

  /// Of each gradient the rows of part `part` of `parts`: overwritten (Start::zero) or added to.
  /// (Of few rows, which fill some registers together, there are two parts: by x, and the others.)
  void add(Index part, Index parts, kernels::Start start) const {
    for (Index k = 0; k < factor_count(); ++k) {
      add(k, part, parts, start);
    }
  }

  /// The third factor is there for a projection, or a cell of two products.
  Index factor_count() const { return w_.sizes().projected() || math::TwoProducts<E> ? 3 : 2; }

  /// Both of factor k alone; all of them are packed in the same memory. The biases come with
  /// h_prev.
  void pack(Index k, int threads) {
    if (!one_row()) {
      factors_[k].packed = &packed_.x;
      factors_[k].pack(r_.rows, threads);
    }
  }
  void add(Index k, Index part, Index parts, kernels::Start start) const {
    add_products(k, factors_[k], 0, part, parts, start);
    if (k == 1) {
      add_sums(part, parts, start);
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
    kernels::PackedMatrix<Scalar>* packed;
    bool few_rows;

    bool narrow() const { return columns <= kernels::native_width<Scalar>; }
    bool as_it_is(Index count) const {
      constexpr Index enough = 48;  // that sums are not too short
      return (narrow() || few_rows) && places == nullptr && rows.length >= std::min(count, enough);
    }
    const Scalar* first_row() const { return rows.rows.row(places == nullptr ? 0 : places[0]); }

    // Columns [first, first + count), or up to the last one; `memory`: to pack them in.
    Factor some_columns(Index first, Index count, kernels::PackedMatrix<Scalar>& memory) const {
      return {{{rows.rows.data + first, rows.rows.row_stride}, rows.length, rows.step},
              places,
              std::min(count, columns - first),
              &memory,
              few_rows};
    }

    void pack(Index count, int threads) {
      if (as_it_is(count)) {
        return;
      }
      packed->reserve(count, columns);  // here, as it may throw
      const auto copy = [&](const auto& from) {
        if (narrow()) {
          rows = {packed->gather(count, columns, from)};
          return;
        }
        const auto panels = kernels::panels_beside<Scalar>(columns, count);
        kernels::parallel_ranges(threads, panels.count(), 1, [&](Index first, Index last) {
          packed->assign_panels(count, panels, first, last, from);
        });
      };
      if (places != nullptr) {
        copy(kernels::ScatteredRowsB<Scalar>{rows.rows, places});
      } else {
        copy(rows);
      }
    }
  };

  bool little_memory() const {
    constexpr Index little = 128 * 1024 / static_cast<Index>(sizeof(Scalar));
    Index columns = 0;
    for (Index k = 0; k < factor_count(); ++k) {
      columns += factors_[k].columns;
    }
    return r_.rows * columns <= little;
  }

  // Columns of a factor that are packed at a time: about as many as leave some of the second level
  // to the rest, but not so few that the gradients by the slots are read again too often.
  Index columns_at_once(Index columns) const {
    constexpr Index panel = kernels::tile_columns<Scalar>;
    constexpr long usual_bytes = 1024 * 1024;
    constexpr Index few = 2048 / static_cast<Index>(sizeof(Scalar)) / panel * panel;
    const long level = kernels::second_level_bytes();
    const long bytes = (level > 0 ? level : usual_bytes) / 8 * 5;
    const Index row = std::max<Index>(1, r_.rows) * static_cast<Index>(sizeof(Scalar));
    const Index most = std::max(few, static_cast<Index>(bytes) / row / panel * panel);
    const Index times = (columns + most - 1) / most;
    return columns <= most ? columns : ((columns + times - 1) / times + panel - 1) / panel * panel;
  }

  bool one_row() const { return r_.rows == 1; }
  bool few_rows() const { return w_.gates() <= kernels::transposed_block<Scalar>; }

  kernels::RowsB<Scalar> d_slots(Index first) const {
    return {r_.d_slots.data + first, r_.d_slots.stride};
  }

  // One of what forward left.
  Factor factor(kernels::RowsB<Scalar> first, Index columns,
                kernels::PackedMatrix<Scalar>& packed) const {
    return {{first, r_.run, r_.run_step}, r_.places, columns, &packed, few_rows()};
  }

  // f(first, last) for the rows that part `part` of `parts` has of `count`.
  template <class F>
  void share(Index part, Index parts, Index count, Index grain, bool by_x, F&& f) const {
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
  }

  // All products with factor k; right: its columns from `column` on.
  RECUR_NEVER_INLINE void add_products(Index k, const Factor& right, Index column, Index part,
                                       Index parts, kernels::Start start) const {
    const CellSizes& n = w_.sizes();
    const auto product = [&](kernels::RowsB<Scalar> left, Index count, Scalar* to) {
      share(part, parts, count, kernels::tile_rows, k == 0, [&](Index first, Index last) {
        const Index stride = factors_[k].columns;
        add_product({left.data + first, left.row_stride}, last - first, right,
                    {to + first * stride + column, stride}, start);
      });
    };
    Scalar* apart = gradients_.weight_hh.data() + w_.shared() * n.output;
    if (k == 0) {
      product(d_slots(0), w_.gates(), gradients_.weight_ih.data());
    } else if (k == 1) {
      product(d_slots(0), w_.shared(), gradients_.weight_hh.data());
      if constexpr (!math::TwoProducts<E> && E::shared_gates < E::gates) {
        product(d_slots(w_.gates()), w_.apart(), apart);
      }
    } else if constexpr (math::TwoProducts<E>) {
      product(d_slots(w_.shared()), w_.apart(), apart);
    } else {
      product({r_.d_h, r_.d_h_stride}, n.output, gradients_.weight_hr.data());
    }
  }

  // The gradients by the biases.
  void add_sums(Index part, Index parts, kernels::Start start) const {
    const CellSizes& n = w_.sizes();
    if (!n.bias) {
      return;
    }
    const auto sums = [&](Index first_slot, Index count, Scalar* to, Scalar* also = nullptr) {
      share(part, parts, count, kernels::tile_columns<Scalar>, false, [&](Index first, Index last) {
        kernels::sum_rows<Scalar>(r_.rows, last - first, d_slots(first_slot + first), start,
                                  to + first, also == nullptr ? also : also + first);
      });
    };
    constexpr int same = math::TwoProducts<E> ? E::gates : E::shared_gates;
    sums(0, same * n.hidden, gradients_.bias_ih.data(), gradients_.bias_hh.data());
    if constexpr (same < E::gates) {
      sums(w_.shared(), w_.apart(), gradients_.bias_ih.data() + w_.shared());
      sums(w_.gates(), w_.apart(), gradients_.bias_hh.data() + w_.shared());
    }
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
                                          right.packed->operand(), to, start);
    }
  }

  Weights<E, Scalar> w_;
  GradientRows<Scalar> r_;
  CellParameters<Scalar>& gradients_;
  PackedFactors<Scalar>& packed_;
  Factor factors_[3];  // the third: what a projection multiplies, or the operand of a cell of two
                       // products, which forward left behind the gates
};

/// The same at once. Threads share the rows of the matrices, so that sums are always in the same
/// order.
template <class E, class Scalar>
void parameter_gradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                         kernels::Start start, int threads, PackedFactors<Scalar>& packed,
                         CellParameters<Scalar>& gradients) {
  ParameterGradients<E, Scalar>(w, r, packed, gradients).add(threads, start);
}

}  // namespace recur::inline RECUR_ABI::cells
