// SPDX-License-Identifier: MIT
//
// One time step of any cell by the kernels: products and equations on rows in memory. Cells take
// one step, layers scan it over time. The same as math/step.hpp, fast.
//
// A step's slots are computed in two halves, so that a layer can do the first one for all its steps
// at once:  input_sums  = W_ih x + biases,   forward_step = + W_hh h, then the equations.
#pragma once

#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"
#include "recur/kernels/threads.hpp"

namespace recur::cells {

/// What a step reads: a cell's equations, its parameters and the packed copies of them.
template <class E, class Scalar>
struct Weights {
  const E& equations;
  const CellParameters<Scalar>& parameters;
  const kernels::PackedWeights<E, Scalar>& packed;

  const CellSizes& sizes() const { return packed.sizes; }
  Index slots() const { return math::slot_count<E> * sizes().hidden; }
  Index shared() const { return E::shared_gates * sizes().hidden; }
  Index apart() const { return (E::gates - E::shared_gates) * sizes().hidden; }
};

/// sums = W_ih x + b_ih + b_hh for `rows` rows of x (rows × I, row stride x_stride). Overwrites the
/// slots of the gates; the recurrent halves that stand apart (GRU: the last slot) are left alone.
template <class E, class Scalar>
void input_sums(const Weights<E, Scalar>& w, Index rows, const Scalar* x, Index x_stride,
                kernels::SlotRows<Scalar> sums) {
  kernels::gemm<Scalar>(rows, w.shared() + w.apart(), w.sizes().input, {x, x_stride, 1},
                        w.packed.ih.operand(), {sums.data, sums.stride}, kernels::Start::bias,
                        w.packed.bias.data());
}

/// slots: in: input_sums; out: what backward needs. prev: read; next: overwritten (next.c may be
/// prev.c). unprojected (rows × H, row stride H): overwritten with h' before the projection, where
/// the cell has one.
template <math::Equations E, class Scalar>
void forward_step(const Weights<E, Scalar>& w, Index rows, kernels::SlotRows<Scalar> slots,
                  kernels::StateRows<const Scalar> prev, kernels::StateRows<Scalar> next,
                  kernels::StateRows<Scalar> unprojected) {
  const CellSizes& n = w.sizes();
  kernels::gemm<Scalar>(rows, w.shared(), n.output, {prev.h, prev.h_stride, 1},
                        w.packed.hh.operand(), {slots.data, slots.stride},
                        kernels::Start::accumulate);
  if constexpr (E::shared_gates < E::gates) {
    const Index first = w.shared() + w.apart();
    kernels::gemm<Scalar>(rows, w.apart(), n.output, {prev.h, prev.h_stride, 1},
                          w.packed.hh_apart.operand(), {slots.data + first, slots.stride},
                          kernels::Start::bias, w.packed.bias.data() + first);
  }
  if (!n.projected()) {
    kernels::pointwise_forward(w.equations, rows, n.hidden, slots, prev, next);
    return;
  }
  kernels::pointwise_forward<E, Scalar>(
      w.equations, rows, n.hidden, slots, {nullptr, 0, prev.c, prev.c_stride},
      {unprojected.h, unprojected.h_stride, next.c, next.c_stride});
  kernels::gemm<Scalar>(rows, n.output, n.hidden, {unprojected.h, unprojected.h_stride, 1},
                        w.packed.hr.operand(), {next.h, next.h_stride}, kernels::Start::zero);
}

/// d_slots: overwritten with the gradients by the sums. slots, prev, next: what forward left
/// (next.h: before the projection). d: in: gradients by the new state; out: by the state before.
/// d_unprojected (rows × H): scratch, for cells with a projection.
template <math::Equations E, class Scalar>
void backward_step(const Weights<E, Scalar>& w, Index rows, kernels::SlotRows<const Scalar> slots,
                   kernels::StateRows<const Scalar> prev, kernels::StateRows<const Scalar> next,
                   kernels::SlotRows<Scalar> d_slots, kernels::StateRows<Scalar> d,
                   Scalar* d_unprojected) {
  const CellSizes& n = w.sizes();
  const CellParameters<Scalar>& p = w.parameters;
  kernels::Start start =
      kernels::Start::accumulate;  // onto the part of dh that does not go through W_hh
  if (n.projected()) {
    kernels::gemm<Scalar>(rows, n.hidden, n.output, {d.h, d.h_stride, 1},
                          kernels::rows_of(p.weight_hr.data(), n.hidden), {d_unprojected, n.hidden},
                          kernels::Start::zero);
    kernels::pointwise_backward<E, Scalar>(w.equations, rows, n.hidden, slots,
                                           {nullptr, 0, prev.c, prev.c_stride}, next, d_slots,
                                           {d_unprojected, n.hidden, d.c, d.c_stride});
    start = kernels::Start::zero;
  } else {
    kernels::pointwise_backward(w.equations, rows, n.hidden, slots, prev, next, d_slots, d);
  }
  kernels::gemm<Scalar>(rows, n.output, w.shared(), {d_slots.data, d_slots.stride, 1},
                        kernels::rows_of(p.weight_hh.data(), n.output), {d.h, d.h_stride}, start);
  if constexpr (E::shared_gates < E::gates) {
    kernels::gemm<Scalar>(rows, n.output, w.apart(),
                          {d_slots.data + w.shared() + w.apart(), d_slots.stride, 1},
                          kernels::rows_of(p.weight_hh.data() + w.shared() * n.output, n.output),
                          {d.h, d.h_stride}, kernels::Start::accumulate);
  }
}

/// dx = d_slots · W_ih (rows × I): overwritten, or added to.
template <class E, class Scalar>
void input_gradient(const Weights<E, Scalar>& w, Index rows,
                    kernels::SlotRows<const Scalar> d_slots, Scalar* dx, Index dx_stride,
                    kernels::Start start) {
  kernels::gemm<Scalar>(
      rows, w.sizes().input, w.shared() + w.apart(), {d_slots.data, d_slots.stride, 1},
      kernels::rows_of(w.parameters.weight_ih.data(), w.sizes().input), {dx, dx_stride}, start);
}

/// The rows, of one or of many steps, that gradients by the parameters are summed over.
template <class Scalar>
struct GradientRows {
  Index rows = 0;
  kernels::SlotRows<const Scalar> d_slots;
  const Scalar* x = nullptr;  ///< (rows × I)
  Index x_stride = 0;
  const Scalar* h_prev = nullptr;  ///< (rows × output)
  Index h_stride = 0;
  const Scalar* d_h = nullptr;          ///< (rows × output), by h' after the projection
  const Scalar* unprojected = nullptr;  ///< (rows × H), h' before it
  Index unprojected_stride = 0;
};

/// Adds the gradients by all parameters: dW_ih += d_slotsᵀ x, dW_hh += d_slotsᵀ h_prev, …. Threads
/// share the rows of the matrices, so that sums are always in the same order.
template <class E, class Scalar>
void add_parameter_gradients(const Weights<E, Scalar>& w, const GradientRows<Scalar>& r,
                             int threads, CellParameters<Scalar>& gradients) {
  const CellSizes& n = w.sizes();
  const Index gates = w.shared() + w.apart();
  // Row m of dW = sum over rows of column m of d_slots times a row of x or h.
  const auto add_product = [&](Index first_slot, const Scalar* factor, Index factor_stride,
                               Index columns, Index count, Scalar* to) {
    kernels::parallel_ranges(threads, count, kernels::tile_rows, [&](Index first, Index last) {
      kernels::gemm<Scalar>(last - first, columns, r.rows,
                            {r.d_slots.data + first_slot + first, 1, r.d_slots.stride},
                            kernels::rows_of(factor, factor_stride),
                            {to + first * columns, columns}, kernels::Start::accumulate);
    });
  };
  const Scalar one(1);
  const auto add_sums = [&](Index first_slot, Index count, Scalar* to) {
    kernels::gemm<Scalar>(1, count, r.rows, {&one, 0, 0},
                          kernels::rows_of(r.d_slots.data + first_slot, r.d_slots.stride),
                          {to, count}, kernels::Start::accumulate);
  };

  add_product(0, r.x, r.x_stride, n.input, gates, gradients.weight_ih.data());
  add_product(0, r.h_prev, r.h_stride, n.output, w.shared(), gradients.weight_hh.data());
  if constexpr (E::shared_gates < E::gates) {
    add_product(gates, r.h_prev, r.h_stride, n.output, w.apart(),
                gradients.weight_hh.data() + w.shared() * n.output);
  }
  if (n.bias) {
    add_sums(0, gates, gradients.bias_ih.data());
    add_sums(0, w.shared(), gradients.bias_hh.data());
    if constexpr (E::shared_gates < E::gates) {
      add_sums(gates, w.apart(), gradients.bias_hh.data() + w.shared());
    }
  }
  if (n.projected()) {
    kernels::gemm<Scalar>(n.output, n.hidden, r.rows, {r.d_h, 1, n.output},
                          kernels::rows_of(r.unprojected, r.unprojected_stride),
                          {gradients.weight_hr.data(), n.hidden}, kernels::Start::accumulate);
  }
}

}  // namespace recur::cells
