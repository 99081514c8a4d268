// SPDX-License-Identifier: MIT
//
// Many steps forward. With few units and sequences a step takes less time than everything around it
// would, step by step; of a single sequence, the sums of a block need not leave the registers.
#pragma once

#include <cstddef>

#include "recur/kernels/forward_step.hpp"
#include "recur/kernels/quarters.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// The rows of the first step, and by how much they move from step to step, which is negative where
/// time runs backwards. See forward_step.
template <class Scalar>
struct ForwardScan {
  Index rows = 0;
  SlotRows<Scalar> slots;
  StateRows<const Scalar> prev;
  StateRows<Scalar> next;
  Index slots_step = 0;
  Index h_step = 0;
  Index c_step = 0;

  void move() {
    slots.data += slots_step;
    prev.h += h_step;
    prev.c += c_step;
    next.h += h_step;
    next.c += c_step;
  }

  /// The step of a single sequence.
  RowOfStep<Scalar> row(const Scalar* bias_apart, bool record) const {
    return {prev.h, bias_apart, slots.data, record, prev, next};
  }
};

namespace detail {

// One step of one sequence, of a layer that is a single block, each gate in so many whole
// registers: the sums stay in registers.
template <int Registers, class E, class Scalar>
RECUR_ALWAYS_INLINE void forward_step_of_block(const E& equations, const PackedGates<E, Scalar>& w,
                                               const RowOfStep<Scalar>& at) {
  using V = Vec<Scalar>;
  constexpr Index hidden = Registers * V::width;
  constexpr int vectors = static_cast<int>(E::gates) * Registers;
  constexpr int parts = static_cast<int>(parts_of_sum(hidden, vectors));
  const Scalar* weights = w.block(0).data;
  V total[vectors];
  if constexpr (vectors == 1 && parts > 1) {
    static_assert(parts == 4);
    sum_by_turns<1>(hidden, Index(0), at.h, 1, weights, total);
  } else {
    V sum[parts][1][vectors];
    constexpr Index length = hidden / parts;
    sum_side_by_side(length, hidden - parts * length, GemmA<Scalar>{at.h, 0, 1}, weights, sum);
    RECUR_UNROLL
    for (int v = 0; v < vectors; ++v) {
      total[v] = sum[0][0][v];
      RECUR_UNROLL
      for (int part = 1; part < parts; ++part) {
        total[v] = total[v] + sum[part][0][v];
      }
    }
  }
  RECUR_UNROLL
  for (int r = 0; r < Registers; ++r) {
    forward_register<Registers>(equations, hidden, r * V::width, total + r, at);
  }
}

// All steps of one sequence of such a layer. Flattened: GCC had made an RNN's equations a call (H =
// 16: an eighth of a training step, a fifth of inference).
template <int Registers, class E, class Scalar>
RECUR_FLAT_FUNCTION void forward_scan_of_block(const E& equations, const PackedGates<E, Scalar>& w,
                                               const Scalar* bias_apart, Index steps,
                                               const ForwardScan<Scalar>& first, bool record) {
  ForwardScan<Scalar> at = first;
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    forward_step_of_block<Registers>(equations, w, at.row(bias_apart, record));
  }
}

// The same of units whose product fills one register: h stays in another one. See quarters.hpp.
template <class E, class Scalar>
RECUR_FLAT_FUNCTION void forward_scan_by_quarters(const E& equations,
                                                  const PackedGates<E, Scalar>& w, Index steps,
                                                  const ForwardScan<Scalar>& first, bool record) {
  using V = Vec<Scalar>;
  const TurnedMatrix<Scalar, V::width> by_h(w.block(0).data);
  ForwardScan<Scalar> at = first;
  V h = V::load(first.prev.h);
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    const V sum = by_h.product(&h);
    h = forward_register<1>(equations, V::width, 0, &sum, at.row(nullptr, record));
  }
}

}  // namespace detail

/// `steps` steps, for cells of one product and without projection.
template <math::Equations E, class Scalar>
void forward_scan(const E& equations, const PackedGates<E, Scalar>& w, const Scalar* bias_apart,
                  Index steps, const ForwardScan<Scalar>& first, bool record) {
  constexpr Index width = native_width<Scalar>;
  constexpr int registers =
      static_cast<int>(PackedGates<E, Scalar>::units_per_block / width);  // of a gate, at most
  const Index hidden = w.hidden();
  if constexpr (detail::has_quarters<Scalar> && E::gates == 1) {
    if (first.rows == 1 && hidden == width && steps >= detail::enough_products) {
      detail::forward_scan_by_quarters(equations, w, steps, first, record);
      return;
    }
  }
  if (first.rows == 1 && hidden % width == 0 && 0 < hidden && hidden <= registers * width) {
    detail::with_constant<registers>(hidden / width, [&](auto count) {
      detail::forward_scan_of_block<count.value>(equations, w, bias_apart, steps, first, record);
    });
    return;
  }
  ForwardScan<Scalar> at = first;
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    forward_step<E, Scalar>(equations, at.rows, w, bias_apart, 0, hidden,
                            {at.prev.h, at.prev.h_stride, 1}, at.slots, record, at.prev, at.next,
                            k % 2 == 1);
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
