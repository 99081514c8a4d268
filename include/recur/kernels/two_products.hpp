// SPDX-License-Identifier: MIT
//
// One time step of cells that multiply twice (math::TwoProducts), the second time what the first
// gates have made of h. The second product needs all units of the first: unlike forward_step.hpp's,
// the sums go through memory.
#pragma once

#include "recur/kernels/gemm_columns.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// One step forward of `rows` sequences. slots: in: the input's half of the sums, W_ih x + biases;
/// out: what backward needs. prev: read. next: overwritten.
template <math::TwoProducts E, class Scalar>
void forward_step_of_two(const E& equations, Index rows, const PackedGates<E, Scalar>& w,
                         SlotRows<Scalar> slots, StateRows<const Scalar> prev,
                         StateRows<Scalar> next, Walk walk) {
  using V = Vec<Scalar>;
  const Index hidden = w.hidden();
  gemm_by_columns<Scalar>(walk, rows, E::shared_gates * hidden, hidden, {prev.h, prev.h_stride, 1},
                          w.by_state(), {slots.data, slots.stride}, Start::accumulate);
  for (Index b = 0; b < rows; ++b) {
    detail::for_each_register<V::width>(hidden, [&](Index unit, auto access) {
      Scalar* place = slots.rows_from(b).data + unit;
      math::Slots<E, V> units;
      // All but the operand, which is not there yet.
      for (std::size_t k = 0; k + 1 < units.size(); ++k) {
        units[k] = access.template load<V>(place + static_cast<Index>(k) * hidden);
      }
      units.back() = V(Scalar(0));
      equations.operand(units, detail::load_state<E, V>(prev.rows_from(b), unit, access));
      detail::store_slots(units, place, hidden, access);
    });
  }
  gemm_by_columns<Scalar>(walk, rows, hidden, hidden,
                          {slots.data + E::gates * hidden, slots.stride, 1}, w.by_operand(),
                          {slots.data + (E::gates - 1) * hidden, slots.stride}, Start::accumulate);
  pointwise_forward<E, Scalar>(equations, rows, hidden,
                               SlotPlaces<E, const Scalar>::of(slots, hidden, 0), {},
                               SlotPlaces<E, Scalar>::of(slots, hidden, 0), prev, next);
}

/// The second half of a step backward, behind pointwise_backward. slots: what forward left.
/// d_slots: in: what pointwise_backward left; out: with the first gate's gradient. w_back: the rows
/// of W_hh of the last gate (H × H). d.h: added to.
template <math::TwoProducts E, class Scalar>
void backward_operand(const E& equations, Index rows, Index hidden, PackedB<Scalar> w_back,
                      SlotRows<const Scalar> slots, StateRows<const Scalar> prev,
                      SlotRows<Scalar> d_slots, StateRows<Scalar> d, Walk walk) {
  using V = Vec<Scalar>;
  // The gradient by the operand, for a while in the place of the first gate's.
  gemm_by_columns<Scalar>(walk, rows, hidden, hidden,
                          {d_slots.data + (E::gates - 1) * hidden, d_slots.stride, 1}, w_back,
                          {d_slots.data, d_slots.stride}, Start::zero);
  for (Index b = 0; b < rows; ++b) {
    detail::for_each_register<V::width>(hidden, [&](Index unit, auto access) {
      Scalar* place = d_slots.rows_from(b).data + unit;
      const auto recorded =
          detail::load_slots<E, V>(slots.rows_from(b).data + unit, hidden, access);
      auto units = detail::load_slots<E, V>(static_cast<const Scalar*>(place), hidden, access);
      const V d_operand = units.front();
      const auto before = detail::load_state<E, V>(prev.rows_from(b), unit, access);
      auto gradient =
          detail::load_state<E, V>(StateRows<const Scalar>(d.rows_from(b)), unit, access);
      equations.backward_operand(recorded, units, d_operand, before, gradient);
      detail::store_slots(units, place, hidden, access);
      detail::store_state<E>(gradient, d.rows_from(b), unit, access);
    });
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
