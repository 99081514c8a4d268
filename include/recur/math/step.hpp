// SPDX-License-Identifier: MIT
//
// One time step of any cell, products included: the readable reference for any scalar. The kernels
// compute the same, faster, and are tested against these two functions.
#pragma once

#include "recur/core/cell_parameters.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::math {

/// State of a batch: h (B × output), c (B × H, only for cells that have one).
template <class Scalar>
struct BatchState {
  RowMatrix<Scalar> h;
  RowMatrix<Scalar> c;
};

/// What forward keeps for backward.
template <class Scalar>
struct StepRecord {
  RowMatrix<Scalar> x;            ///< (B × I)
  BatchState<Scalar> prev;        ///< the state before
  BatchState<Scalar> next;        ///< the state after
  RowMatrix<Scalar> slots;        ///< (B × slots·H), see math/cell.hpp
  RowMatrix<Scalar> unprojected;  ///< (B × H), h' before W_hr
};

namespace detail {

// The columns of slot k of a cell of H units.
template <class Matrix>
auto slot(Matrix& slots, Index k, Index hidden) {
  return slots.middleCols(k * hidden, hidden);
}

// Unit j of row b: its slots, and its state.
template <class E, class Scalar>
Slots<E, Scalar> load_slots(const RowMatrix<Scalar>& slots, Index b, Index j, Index hidden) {
  Slots<E, Scalar> unit;
  for (Index k = 0; k < slot_count<E>; ++k) {
    unit[static_cast<std::size_t>(k)] = slots(b, k * hidden + j);
  }
  return unit;
}

template <class E, class Scalar>
void store_slots(const Slots<E, Scalar>& unit, RowMatrix<Scalar>& slots, Index b, Index j,
                 Index hidden) {
  for (Index k = 0; k < slot_count<E>; ++k) {
    slots(b, k * hidden + j) = unit[static_cast<std::size_t>(k)];
  }
}

}  // namespace detail

/// x (B × I), prev → everything about the step; `.next` is the new state.
template <Equations E, class Scalar>
StepRecord<Scalar> forward_step(const E& equations, const CellParameters<Scalar>& parameters,
                                const RowMatrix<Scalar>& x, const BatchState<Scalar>& prev) {
  const Index B = x.rows();
  const Index H = parameters.weight_hh.rows() / E::gates;
  const bool projected = parameters.weight_hr.size() > 0;

  RowMatrix<Scalar> from_input = x * parameters.weight_ih.transpose();
  RowMatrix<Scalar> from_state = prev.h * parameters.weight_hh.transpose();
  if (parameters.bias_ih.size() > 0) {
    from_input.rowwise() += parameters.bias_ih.transpose();
    from_state.rowwise() += parameters.bias_hh.transpose();
  }

  StepRecord<Scalar> record{
      x, prev, {}, RowMatrix<Scalar>(B, slot_count<E> * H), RowMatrix<Scalar>(B, H)};
  for (Index k = 0; k < E::gates; ++k) {
    detail::slot(record.slots, k, H) = detail::slot(from_input, k, H);
    if (k < E::shared_gates) {
      detail::slot(record.slots, k, H) += detail::slot(from_state, k, H);
    } else {
      detail::slot(record.slots, k + E::gates - E::shared_gates, H) =
          detail::slot(from_state, k, H);
    }
  }

  if constexpr (TwoProducts<E>) {
    for (Index b = 0; b < B; ++b) {
      for (Index j = 0; j < H; ++j) {
        Slots<E, Scalar> slots = detail::load_slots<E>(record.slots, b, j, H);
        equations.operand(slots, UnitState<Scalar>{prev.h(b, j), Scalar(0)});
        detail::store_slots<E>(slots, record.slots, b, j, H);
      }
    }
    auto sum = detail::slot(record.slots, E::gates - 1, H);
    sum += detail::slot(record.slots, E::gates, H) * parameters.weight_hh.bottomRows(H).transpose();
    if (parameters.bias_hh.size() > 0) {
      sum.rowwise() += parameters.bias_hh.tail(H).transpose();
    }
  }

  record.next.c.resize(B, E::has_c ? H : 0);
  for (Index b = 0; b < B; ++b) {
    for (Index j = 0; j < H; ++j) {
      Slots<E, Scalar> slots = detail::load_slots<E>(record.slots, b, j, H);
      UnitState<Scalar> before{projected ? Scalar(0) : prev.h(b, j), Scalar(0)};
      UnitState<Scalar> after{};
      if constexpr (E::has_c) {
        before.c = prev.c(b, j);
      }
      equations.forward(slots, std::as_const(before), after);
      detail::store_slots<E>(slots, record.slots, b, j, H);
      record.unprojected(b, j) = after.h;
      if constexpr (E::has_c) {
        record.next.c(b, j) = after.c;
      }
    }
  }
  record.next.h = record.unprojected;
  if (projected) {
    record.next.h = record.unprojected * parameters.weight_hr.transpose();
  }
  return record;
}

/// Gradients of a step: by x, by the state before, and by the parameters.
template <class Scalar>
struct StepGradients {
  RowMatrix<Scalar> x;
  BatchState<Scalar> prev;
};

/// d: gradients by record.next. Overwrites nothing of the record; adds to `parameter_gradients`.
template <Equations E, class Scalar>
StepGradients<Scalar> backward_step(const E& equations, const CellParameters<Scalar>& parameters,
                                    const StepRecord<Scalar>& record, BatchState<Scalar> d,
                                    CellParameters<Scalar>& parameter_gradients) {
  const Index B = record.x.rows();
  const Index H = parameters.weight_hh.rows() / E::gates;
  const bool projected = parameters.weight_hr.size() > 0;

  if (projected) {
    parameter_gradients.weight_hr += d.h.transpose() * record.unprojected;
    d.h = RowMatrix<Scalar>(d.h * parameters.weight_hr);
  }

  RowMatrix<Scalar> d_slots = record.slots;
  for (Index b = 0; b < B; ++b) {
    for (Index j = 0; j < H; ++j) {
      Slots<E, Scalar> slots = detail::load_slots<E>(d_slots, b, j, H);
      UnitState<Scalar> before{projected ? Scalar(0) : record.prev.h(b, j), Scalar(0)};
      UnitState<Scalar> after{record.unprojected(b, j), Scalar(0)};
      UnitState<Scalar> gradient{d.h(b, j), Scalar(0)};
      if constexpr (E::has_c) {
        before.c = record.prev.c(b, j);
        after.c = record.next.c(b, j);
        gradient.c = d.c(b, j);
      }
      equations.backward(slots, std::as_const(before), std::as_const(after), gradient);
      detail::store_slots<E>(slots, d_slots, b, j, H);
      d.h(b, j) = gradient.h;
      if constexpr (E::has_c) {
        d.c(b, j) = gradient.c;
      }
    }
  }

  const Index apart = (E::gates - E::shared_gates) * H;
  if constexpr (TwoProducts<E>) {
    const RowMatrix<Scalar> d_operand =
        detail::slot(d_slots, E::gates - 1, H) * parameters.weight_hh.bottomRows(H);
    for (Index b = 0; b < B; ++b) {
      for (Index j = 0; j < H; ++j) {
        Slots<E, Scalar> slots = detail::load_slots<E>(d_slots, b, j, H);
        UnitState<Scalar> gradient{d.h(b, j), Scalar(0)};
        equations.backward_operand(detail::load_slots<E>(record.slots, b, j, H), slots,
                                   d_operand(b, j),
                                   UnitState<Scalar>{record.prev.h(b, j), Scalar(0)}, gradient);
        detail::store_slots<E>(slots, d_slots, b, j, H);
        d.h(b, j) = gradient.h;
      }
    }
  }

  // Gate by gate: the gradients by W_ih x + b_ih, and by W_hh h + b_hh.
  const RowMatrix<Scalar> by_input = d_slots.leftCols(E::gates * H);
  RowMatrix<Scalar> by_state = by_input;
  if constexpr (!TwoProducts<E>) {
    by_state.rightCols(apart) = d_slots.rightCols(apart);
  }
  if (parameters.bias_ih.size() > 0) {
    parameter_gradients.bias_ih += by_input.colwise().sum().transpose();
    parameter_gradients.bias_hh += by_state.colwise().sum().transpose();
  }
  if constexpr (TwoProducts<E>) {  // what the last gate multiplies is not h
    parameter_gradients.weight_hh.bottomRows(apart) +=
        by_state.rightCols(apart).transpose() * detail::slot(record.slots, E::gates, H);
    by_state.rightCols(apart).setZero();
  }

  StepGradients<Scalar> gradients{by_input * parameters.weight_ih,
                                  {by_state * parameters.weight_hh, d.c}};
  if (!projected) {
    gradients.prev.h += d.h;
  }
  parameter_gradients.weight_ih += by_input.transpose() * record.x;
  parameter_gradients.weight_hh += by_state.transpose() * record.prev.h;
  return gradients;
}

}  // namespace recur::inline RECUR_ABI::math
