// SPDX-License-Identifier: MIT
//
// One time step of any cell by the kernels: products and equations on rows in memory. Cells take
// one step, layers scan it over time. The same as math/step.hpp, fast.
//
// A step's slots are computed in two halves, so that a layer can do the first one for all its steps
// at once:  input_sums  = W_ih x + biases,   forward_step = + W_hh h, then the equations.
#pragma once

#include <type_traits>  // std::remove_pointer_t

#include "recur/kernels/backward_scan.hpp"
#include "recur/kernels/forward_scan.hpp"
#include "recur/kernels/forward_step.hpp"
#include "recur/kernels/gemm_columns.hpp"
#include "recur/kernels/gemm_steps.hpp"
#include "recur/kernels/threads.hpp"
#include "recur/kernels/two_products.hpp"

namespace recur::inline RECUR_ABI::cells {

/// What a step reads: a cell's equations and the packed copies of its parameters.
template <class E, class Scalar>
struct Weights {
  const E& equations;
  const kernels::PackedWeights<E, Scalar>& packed;

  const CellSizes& sizes() const { return packed.sizes; }
  Index slots() const { return math::slot_count<E> * sizes().hidden; }
  Index shared() const { return E::shared_gates * sizes().hidden; }
  Index apart() const { return (E::gates - E::shared_gates) * sizes().hidden; }
  Index gates() const { return shared() + apart(); }
};

/// sums = W_ih x + b_ih + b_hh for `rows` rows of x (rows × I, row stride x_stride), and as many of
/// other steps; columns [first, last) of them, all by default, or from where a panel begins. place:
/// of the sums.
/// Overwrites the slots of the gates; the recurrent halves that stand apart (GRU: the last slot)
/// are left alone.
template <class E, class Scalar>
void input_sums(const Weights<E, Scalar>& w, Index rows, const Scalar* x, Index x_stride,
                kernels::SlotRows<Scalar> sums, kernels::Repeat steps = {},
                kernels::Columns columns = {}, kernels::Place place = kernels::Place::unknown) {
  const auto [first, last] = columns.of(w.gates());
  const Index width = w.sizes().input;
  kernels::gemm<Scalar>(steps, rows, last - first, width, {x, x_stride, 1},
                        kernels::columns_of(w.packed.ih.operand(), first, last, w.gates(), width),
                        {sums.data + first, sums.stride}, kernels::Start::bias,
                        w.packed.bias.data() + first, {.place = place});
}

/// Units of which threads take multiples, when they share those of a step.
template <class E, class Scalar>
inline constexpr Index unit_grain = [] {
  if constexpr (math::TwoProducts<E>) {
    return kernels::native_width<Scalar>;  // the columns of its products
  } else {
    return kernels::PackedGates<E, Scalar>::units_per_block;
  }
}();

/// slots: in: input_sums; out: what backward needs, or with record = false nothing of use. prev:
/// read; next: overwritten (next.c may be prev.c). unprojected (rows × H, row stride H):
/// overwritten with h' before the projection, where the cell has one.
template <math::Equations E, class Scalar>
void forward_step(const Weights<E, Scalar>& w, Index rows, kernels::SlotRows<Scalar> slots,
                  bool record, kernels::StateRows<const Scalar> prev,
                  kernels::StateRows<Scalar> next, kernels::StateRows<Scalar> unprojected,
                  kernels::Walk walk = {}) {
  const CellSizes& n = w.sizes();
  const kernels::GemmA<Scalar> h{prev.h, prev.h_stride, 1};
  const Scalar* bias_apart = w.packed.bias.data() + w.shared() + w.apart();
  kernels::StateRows<const Scalar> seen = prev;
  kernels::StateRows<Scalar> made = next;
  if (n.projected()) {
    seen.h = nullptr;
    seen.h_stride = 0;
    made.h = unprojected.h;
    made.h_stride = unprojected.h_stride;
  }
  kernels::parallel_ranges(
      walk.threads, n.hidden, unit_grain<E, Scalar>, [&](Index first, Index last) {
        kernels::forward_step<E, Scalar>(w.equations, rows, w.packed.hh, bias_apart, first, last, h,
                                         slots, record, seen, made, walk.back);
      });
  if (n.projected()) {
    kernels::gemm_by_columns<Scalar>(
        walk, rows, n.output, n.hidden, {unprojected.h, unprojected.h_stride, 1},
        w.packed.hr.operand(), {next.h, next.h_stride}, kernels::Start::zero);
  }
}

/// The same for cells of two products, which have no projection.
template <math::TwoProducts E, class Scalar>
void forward_step(const Weights<E, Scalar>& w, Index rows, kernels::SlotRows<Scalar> slots,
                  bool /*record*/, kernels::StateRows<const Scalar> prev,
                  kernels::StateRows<Scalar> next, kernels::StateRows<Scalar> /*unprojected*/,
                  kernels::Walk walk = {}) {
  kernels::forward_step_of_two<E, Scalar>(w.equations, rows, w.packed.hh, slots, prev, next, walk);
}

/// d_slots: overwritten with the gradients by the sums. slots, prev, next: what forward left
/// (next.h: before the projection). d: in: gradients by the new state; out: by the state before.
/// d_output.h: added to d.h first, for cells without a projection; or null. d_unprojected (rows ×
/// H): scratch, for cells with one. d_before: see BackwardScan.
template <math::Equations E, class Scalar>
void backward_step(const Weights<E, Scalar>& w, Index rows, kernels::SlotRows<const Scalar> slots,
                   kernels::StateRows<const Scalar> prev, kernels::StateRows<const Scalar> next,
                   kernels::SlotRows<Scalar> d_slots, kernels::StateRows<Scalar> d,
                   kernels::StateRows<const Scalar> d_output, Scalar* d_unprojected,
                   kernels::Walk walk = {}, bool d_before = true) {
  const CellSizes& n = w.sizes();
  kernels::Start start =
      kernels::Start::accumulate;  // onto the part of dh that does not go through W_hh
  if (n.projected()) {
    kernels::gemm_by_columns<Scalar>(walk, rows, n.hidden, n.output, {d.h, d.h_stride, 1},
                                     w.packed.hr_back.operand(), {d_unprojected, n.hidden},
                                     kernels::Start::zero);
    kernels::pointwise_backward<E, Scalar>(w.equations, rows, n.hidden, {0, n.hidden}, slots,
                                           {nullptr, 0, prev.c, prev.c_stride}, next, d_slots,
                                           {d_unprojected, n.hidden, d.c, d.c_stride});
    start = kernels::Start::zero;
  } else {
    kernels::pointwise_backward(w.equations, rows, n.hidden, {0, n.hidden}, slots, prev, next,
                                d_slots, d, d_output);
  }
  if constexpr (math::TwoProducts<E>) {
    kernels::backward_operand<E, Scalar>(w.equations, rows, n.hidden,
                                         w.packed.hh_apart_back.operand(), slots, prev, d_slots, d,
                                         walk);
  }
  if (!d_before) {
    return;
  }
  kernels::gemm_by_columns<Scalar>(walk, rows, n.output, w.shared(),
                                   {d_slots.data, d_slots.stride, 1}, w.packed.hh_back.operand(),
                                   {d.h, d.h_stride}, start);
  if constexpr (E::shared_gates < E::gates && !math::TwoProducts<E>) {
    kernels::gemm_by_columns<Scalar>(
        walk, rows, n.output, w.apart(), {d_slots.data + w.shared() + w.apart(), d_slots.stride, 1},
        w.packed.hh_apart_back.operand(), {d.h, d.h_stride}, kernels::Start::accumulate);
  }
}

/// What a scan reads and writes of its first step, and by how much it moves from step to step; of
/// cells with a projection, unprojected (rows × H, row stride H), too.
template <class Scalar>
struct ForwardSteps : kernels::ForwardScan<Scalar> {
  Scalar* unprojected = nullptr;
  Index unprojected_step = 0;

  void move() {
    kernels::ForwardScan<Scalar>::move();
    unprojected += unprojected_step;
  }
};

/// `steps` times forward_step.
template <math::Equations E, class Scalar>
void steps_forward(const Weights<E, Scalar>& w, Index steps, bool record, ForwardSteps<Scalar> at,
                   int threads) {
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    forward_step<E, Scalar>(w, at.rows, at.slots, record, at.prev, at.next,
                            {at.unprojected, w.sizes().hidden, nullptr, 0}, {threads, k % 2 == 1});
  }
}

/// The same, with less around a step where there is a kernel for it.
template <math::Equations E, class Scalar>
void scan_forward(const Weights<E, Scalar>& w, Index steps, bool record,
                  const ForwardSteps<Scalar>& at, int threads) {
  if constexpr (!math::TwoProducts<E>) {
    if (threads == 1 && !w.sizes().projected()) {
      kernels::forward_scan<E, Scalar>(w.equations, w.packed.hh,
                                       w.packed.bias.data() + w.shared() + w.apart(), steps, at,
                                       record);
      return;
    }
  }
  steps_forward<E, Scalar>(w, steps, record, at, threads);
}

/// The same backwards. Of cells with a projection: unprojected (rows × H), what forward left; d_h
/// (rows × output): overwritten with the gradients by what the projection gives; d_unprojected
/// (rows × H): scratch.
template <class Scalar>
struct BackwardSteps : kernels::BackwardScan<Scalar> {
  const Scalar* unprojected = nullptr;
  Scalar* d_h = nullptr;
  Index d_h_stride = 0;
  Scalar* d_unprojected = nullptr;
  Index unprojected_step = 0;
  Index d_h_step = 0;

  void move() {
    kernels::BackwardScan<Scalar>::move();
    unprojected += unprojected_step;
    d_h += d_h_step;
  }
};

/// `steps` times backward_step.
template <math::Equations E, class Scalar>
void steps_backward(const Weights<E, Scalar>& w, Index steps, BackwardSteps<Scalar> at,
                    const kernels::StateRows<Scalar>& d, int threads) {
  const CellSizes& n = w.sizes();
  const Index products = at.products(steps);
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    if (n.projected()) {
      const auto rows_at = [&](auto* data, Index stride) {
        using Element = std::remove_pointer_t<decltype(data)>;
        return RowMap<Element>(data, at.rows, n.output, Eigen::OuterStride<>(stride));
      };
      auto dh = rows_at(d.h, d.h_stride);
      if (at.d_output.h != nullptr) {
        dh += rows_at(at.d_output.h, at.d_output.h_stride);
      }
      rows_at(at.d_h, at.d_h_stride) = dh;
    }
    const kernels::StateRows<const Scalar> next =
        n.projected() ? kernels::StateRows<const Scalar>{at.unprojected, n.hidden, at.next.c,
                                                         at.next.c_stride}
                      : at.next;
    backward_step<E, Scalar>(w, at.rows, at.slots, at.prev, next, at.d_slots, d, at.d_output,
                             at.d_unprojected, {threads, k % 2 == 1}, k < products);
  }
}

/// The same, with less around a step where there is a kernel for it.
template <math::Equations E, class Scalar>
void scan_backward(const Weights<E, Scalar>& w, Index steps, const BackwardSteps<Scalar>& at,
                   const kernels::StateRows<Scalar>& d, int threads) {
  if constexpr (!math::TwoProducts<E>) {
    if (!w.sizes().projected()) {
      const auto by_shared = w.packed.hh_back.operand();
      const auto by_apart = w.packed.hh_apart_back.operand();
      if (threads == 1) {
        kernels::backward_scan<E, Scalar>(w.equations, w.sizes().hidden, by_shared, by_apart, steps,
                                          at, d);
      } else {
        kernels::backward_scan_by_units<E, Scalar>(threads, w.equations, w.sizes().hidden,
                                                   by_shared, by_apart, steps, at, d);
      }
      return;
    }
  }
  steps_backward<E, Scalar>(w, steps, at, d, threads);
}

/// dx = d_slots · W_ih (rows × I), and those of other steps: overwritten.
template <class E, class Scalar>
void input_gradient(const Weights<E, Scalar>& w, Index rows,
                    kernels::SlotRows<const Scalar> d_slots, Scalar* dx, Index dx_stride,
                    kernels::Repeat steps = {}, kernels::Place place = kernels::Place::unknown) {
  kernels::gemm<Scalar>(steps, rows, w.sizes().input, w.gates(), {d_slots.data, d_slots.stride, 1},
                        w.packed.ih_back.operand(), {dx, dx_stride}, kernels::Start::zero, nullptr,
                        {.what = kernels::SumOf::gradients, .place = place});
}

}  // namespace recur::inline RECUR_ABI::cells
