// SPDX-License-Identifier: MIT
//
// Many steps backward of one sequence: see forward_scan.hpp.
#pragma once

#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// One sequence's rows: of the last step, and by how much they move to the step before. See
/// pointwise_backward.
template <class Scalar>
struct BackwardRowScan {
  const Scalar* slots = nullptr;  ///< null where the equations do not read them
  StateRows<const Scalar> prev;
  StateRows<const Scalar> next;
  Scalar* d_slots = nullptr;
  StateRows<const Scalar> d_output;  ///< h: null for zeros
  Index slots_step = 0;              ///< of slots and of d_slots
  Index h_step = 0;
  Index c_step = 0;
  Index d_output_step = 0;

  void move() {
    slots += slots == nullptr ? 0 : slots_step;
    prev.h += h_step;
    prev.c += c_step;
    next.h += h_step;
    next.c += c_step;
    d_slots += slots_step;
    d_output.h += d_output_step;
  }
};

namespace detail {

// C += a row of A times B, in parts as the scan's products are.
template <class Scalar>
RECUR_ALWAYS_INLINE void add_row_product(Index N, Index K, const Scalar* a, PackedB<Scalar> b,
                                         Scalar* c, bool back) {
  if (N <= tile_columns<Scalar>) {
    const Index width = whole_registers<Scalar>(N);
    const Index parts = parts_of_sum(K, width / native_width<Scalar>);
    if (parts > 1) {
      gemm_panel_in_parts<Scalar>(parts, 1, N, K, {a, 0, 1}, b.data, width, {c, 0},
                                  Start::accumulate, nullptr, back);
      return;
    }
  }
  gemm<Scalar>(1, N, K, {a, 0, 1}, b, {c, 0}, Start::accumulate, nullptr, back,
               parts_from<Scalar>(N));
}

}  // namespace detail

/// `steps` steps of one sequence, for cells of one product and without projection. by_shared: the
/// rows of W_hh of the shared gates; by_apart: those of the others. d: in: gradients by the state
/// after the last step; out: by the one before the first.
template <math::Equations E, class Scalar>
void backward_scan(const E& equations, Index hidden, PackedB<Scalar> by_shared,
                   PackedB<Scalar> by_apart, Index steps, BackwardRowScan<Scalar> at,
                   const StateRows<Scalar>& d) {
  constexpr Index apart = E::gates - E::shared_gates;
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }

    const bool back = k % 2 == 1;
    pointwise_backward<E, Scalar>(equations, 1, hidden, {at.slots, 0}, at.prev, at.next,
                                  {at.d_slots, 0}, d, at.d_output);
    detail::add_row_product<Scalar>(hidden, E::shared_gates * hidden, at.d_slots, by_shared, d.h,
                                    back);
    if constexpr (apart > 0) {
      detail::add_row_product<Scalar>(hidden, apart * hidden, at.d_slots + E::gates * hidden,
                                      by_apart, d.h, back);
    }
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
