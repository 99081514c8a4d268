// SPDX-License-Identifier: MIT
//
// A step of one sequence: the sums of whole blocks of units go from the registers of the product
// through the equations, and never to memory. (With memory in between, and all that several rows
// and blocks need around it, one sequence took longer: GRU of 32 units by a quarter, of 64 a
// seventh, LSTM 6 and 9 %.)
//
// Rejected: to fetch weights ahead into the first level (4 to 32 rows: 1 to 16 % slower; of an RNN
// of 128 units 9 % faster), or every other panel so that it makes no room for itself there (0 to 4
// % slower).
#pragma once

#include <algorithm>  // std::min
#include <cstddef>

#include "recur/kernels/gemm.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// What a step reads and writes of one sequence: see forward_step.
template <class Scalar>
struct RowOfStep {
  const Scalar* h = nullptr;
  const Scalar* bias_apart = nullptr;
  Scalar* slots = nullptr;
  bool record = false;
  StateRows<const Scalar> prev;
  StateRows<Scalar> next;
};

namespace detail {

// The equations of the register of units that begins at `unit`; sums: W_hh h of its gates, `Stride`
// registers apart. Returns the new h.
template <int Stride, class E, class V, class Scalar>
RECUR_ALWAYS_INLINE V forward_register(const E& equations, Index hidden, Index unit, const V* sums,
                                       const RowOfStep<Scalar>& at) {
  math::Slots<E, V> slots;
  RECUR_UNROLL
  for (std::size_t k = 0; k < slots.size(); ++k) {
    const Index slot = static_cast<Index>(k);
    const Scalar* place = at.slots + slot * hidden + unit;
    if (math::stands_apart<E>(slot)) {
      slots[k] = V::load(place);
    } else if (slot < E::gates) {
      slots[k] = sums[slot * Stride] + V::load(place);
    } else {
      slots[k] = sums[(slot - E::gates + E::shared_gates) * Stride] +
                 V::load(at.bias_apart + (slot - E::gates) * hidden + unit);
    }
  }
  const auto before = load_state<E, V>(at.prev, unit, WholeRegister());
  math::UnitState<V> after;
  equations.forward(slots, before, after);
  if (at.record) {
    store_slots(slots, at.slots + unit, hidden, WholeRegister());
  }
  store_state<E>(after, at.next, unit, WholeRegister());
  return after.h;
}

// `Blocks` whole blocks, from unit `first` on.
template <int Blocks, class E, class Scalar>
RECUR_FLAT_FUNCTION void forward_blocks_of_row(const E& equations, const PackedGates<E, Scalar>& w,
                                               Index first, const RowOfStep<Scalar>& at) {
  using V = Vec<Scalar>;
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  constexpr int registers = static_cast<int>(units / V::width);
  constexpr int vectors = static_cast<int>(E::gates) * registers;
  constexpr Index width = vectors * V::width;
  const Index depth = w.depth();
  const Scalar* weights = w.block(first).data;
  V sum[Blocks * vectors];
  const Index block = length_of_block(depth, SumOf::scan);
  Index k = block;
  sums_of_row<Blocks, vectors>(k, at.h, 1, weights, width * depth, sum);
  for (; k < depth; k += block) {
    V more[Blocks * vectors];
    sums_of_row<Blocks, vectors>(std::min(depth - k, block), at.h + k, 1, weights + k * width,
                                 width * depth, more);
    RECUR_UNROLL
    for (int v = 0; v < Blocks * vectors; ++v) {
      sum[v] = more[v] + sum[v];
    }
  }
  RECUR_UNROLL
  for (int b = 0; b < Blocks; ++b) {
    RECUR_UNROLL
    for (int r = 0; r < registers; ++r) {
      forward_register<registers>(equations, w.hidden(), first + b * units + r * V::width,
                                  sum + b * vectors + r, at);
    }
  }
}

}  // namespace detail

/// The whole blocks of units [begin, end), which they fill; from the first or back: see Walk.
template <class E, class Scalar>
void forward_row(const E& equations, const PackedGates<E, Scalar>& w, Index begin, Index end,
                 const RowOfStep<Scalar>& at, bool back) {
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  constexpr int vectors = static_cast<int>(E::gates * units / native_width<Scalar>);
  const Index at_once = detail::panels_at_once<vectors>((end - begin) / units);
  const detail::Groups groups(begin, end, at_once * units, back);
  for (Index g = 0; g < groups.count(); ++g) {
    const auto group = groups[g];
    Index first = group.first;
    for (; group.last - first >= at_once * units; first += at_once * units) {
      detail::with_panels(at_once, [&](auto blocks) {
        detail::forward_blocks_of_row<blocks.value>(equations, w, first, at);
      });
    }
    if (group.last - first >= 2 * units) {
      detail::forward_blocks_of_row<2>(equations, w, first, at);
      first += 2 * units;
    }
    if (first < group.last) {
      detail::forward_blocks_of_row<1>(equations, w, first, at);
    }
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
