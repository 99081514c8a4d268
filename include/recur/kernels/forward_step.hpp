// SPDX-License-Identifier: MIT
//
// W_hh h and the equations in one go: the sums of a block of units are complete when its product
// is, and go from the first-level cache through the equations into the next state. Only what
// backward needs is ever written to memory.
#pragma once

#include <algorithm>  // std::min
#include <cstddef>
#include <type_traits>  // std::integral_constant

#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

// Rows whose sums are held at once: 24 KB with AVX-512.
inline constexpr Index step_rows = 96;

// The products h W of one block and of several rows: row b at data + b * width, gate by gate.
template <class E, class Scalar>
struct BlockSums {
  using V = Vec<Scalar>;
  using Gates = PackedGates<E, Scalar>;
  static constexpr Index max_width = whole_registers<Scalar>(E::gates * Gates::units_per_block);

  Scalar* data;
  Index width;
  Index units;

  // Slots as the equations take them: the products from here; the input halves that stand apart
  // from `slots`.
  RECUR_ALWAYS_INLINE SlotPlaces<E, const Scalar> places(Index hidden, Index first,
                                                         const SlotRows<Scalar>& slots) const {
    SlotPlaces<E, const Scalar> from;
    RECUR_UNROLL
    for (std::size_t k = 0; k < from.data.size(); ++k) {
      const Index slot = static_cast<Index>(k);
      if (math::stands_apart<E>(slot)) {
        from.data[k] = slots.data + slot * hidden + first;
        from.stride[k] = slots.stride;
      } else {
        const Index gate = slot < E::gates ? slot : slot - E::gates + E::shared_gates;
        from.data[k] = data + gate * units;
        from.stride[k] = width;
      }
    }
    return from;
  }

  // What is added to the products: the input halves of the shared gates, the bias of the others.
  static RECUR_ALWAYS_INLINE SlotPlaces<E, const Scalar> added(Index hidden, Index first,
                                                               const SlotRows<Scalar>& slots,
                                                               const Scalar* bias_apart) {
    SlotPlaces<E, const Scalar> to;
    RECUR_UNROLL
    for (std::size_t k = 0; k < to.data.size(); ++k) {
      const Index slot = static_cast<Index>(k);
      if (slot < E::shared_gates) {
        to.data[k] = slots.data + slot * hidden + first;
        to.stride[k] = slots.stride;
      } else if (slot >= E::gates) {
        to.data[k] = bias_apart + (slot - E::gates) * hidden + first;
      }
    }
    return to;
  }
};

// sums = h W of one block; of one row, of several whole blocks that follow each other. `ahead`:
// the block that comes next, or null.
template <class E, class Scalar>
RECUR_ALWAYS_INLINE void multiply(Index rows, Index blocks, const PackedGates<E, Scalar>& w,
                                  const GemmA<Scalar>& h,
                                  const typename PackedGates<E, Scalar>::Block& block, Scalar* sums,
                                  const Scalar* ahead, bool back) {
  using Gates = PackedGates<E, Scalar>;
  constexpr Index width = E::gates * Gates::units_per_block;
  const Index depth = w.depth();
  const bool whole = block.units == Gates::units_per_block;
  const Index parts = !whole || w.hidden() < 2 * Gates::units_per_block
                          ? parts_of_sum(depth, block.width / native_width<Scalar>)
                          : 1;
  if (parts > 1 &&
      gemm_panel_in_parts<Scalar>(parts, rows, block.width, depth, h, block.data, block.width,
                                  {sums, block.width}, Start::zero, nullptr, back)) {
    return;
  }
  const Stretches stretches(depth, parts);
  Start start = Start::zero;
  Index k = 0;
  do {
    const Index length = stretches.at(k);
    const Scalar* factors = h.data + k * h.column_stride;
    const Scalar* weights = block.data + k * block.width;
    const auto multiply_row = [&](auto count) {
      gemm_row<Vec<Scalar>, count.value, static_cast<int>(width / native_width<Scalar>)>(
          length, factors, h.column_stride, weights, width * depth, sums, start);
    };
    if (blocks > 1) {
      with_panels(blocks, multiply_row);
    } else if (rows == 1 && whole) {
      multiply_row(std::integral_constant<int, 1>{});
    } else {
      gemm_panel<Scalar>(rows, block.width, length, {factors, h.row_stride, h.column_stride},
                         weights, block.width, {sums, block.width}, start, nullptr,
                         panel_ahead(count_of_tiles(rows), length, block.width,
                                     k + length < depth ? weights + length * block.width : ahead));
    }
    start = Start::accumulate;
    k += length;
  } while (k < depth);
}

}  // namespace detail

/// One step forward of `rows` sequences and of units [begin, end), multiples of
/// units_per_block (end: or the hidden size): the whole cell, or a thread's share. slots: in: the
/// input's half of the sums, W_ih x + biases; out: what backward needs, or with record = false left
/// alone. bias_apart: of the recurrent halves that stand apart, (G - shared)·H. h (rows × output):
/// the state that W_hh is multiplied by. prev: the state that the equations see (h null where the
/// cell has a projection). next: overwritten; next.h must not overlap h, next.c may be prev.c.
/// back: see Walk.
template <math::Equations E, class Scalar>
void forward_step(const E& equations, Index rows, const PackedGates<E, Scalar>& w,
                  const Scalar* bias_apart, Index begin, Index end, GemmA<Scalar> h,
                  SlotRows<Scalar> slots, bool record, StateRows<const Scalar> prev,
                  StateRows<Scalar> next, bool back = false) {
  using Sums = detail::BlockSums<E, Scalar>;
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  const Index hidden = w.hidden();
  alignas(64) Scalar
      memory[static_cast<std::size_t>(detail::step_rows * Sums::max_width + native_width<Scalar>)];

  // Of one row, several whole blocks at once: see gemm_row.
  constexpr int vectors = static_cast<int>(E::gates * units / native_width<Scalar>);
  const Index at_once = rows == 1 ? detail::panels_at_once<vectors>((end - begin) / units) : 1;
  const detail::Groups groups(begin, end, at_once * units, back);
  for (Index g = 0; g < groups.count(); ++g) {
    const auto group = groups[g];
    const Scalar* ahead = rows > 1 && group.next < end ? w.block(group.next).data : nullptr;
    Index blocks = 1;
    for (Index first = group.first; first < group.last; first += blocks * units) {
      const Index whole = rows == 1 ? (group.last - first) / units : 0;
      blocks = whole == at_once ? at_once : whole >= 2 ? 2 : 1;
      const auto block = w.block(first);
      for (Index b = 0; b < rows; b += detail::step_rows) {
        const Index count = std::min(detail::step_rows, rows - b);
        const SlotRows<Scalar> rows_slots = slots.rows_from(b);
        detail::multiply<E, Scalar>(count, blocks, w,
                                    {h.data + b * h.row_stride, h.row_stride, h.column_stride},
                                    block, memory, ahead, back);
        for (Index k = 0; k < blocks; ++k) {
          const Sums sums{memory + k * block.width, block.width, block.units};
          const Index unit = first + k * units;
          pointwise_forward<E, Scalar>(
              equations, count, sums.units, sums.places(hidden, unit, rows_slots),
              Sums::added(hidden, unit, rows_slots, bias_apart),
              record ? SlotPlaces<E, Scalar>::of(rows_slots, hidden, unit)
                     : SlotPlaces<E, Scalar>(),
              prev.rows_from(b).units_from(unit), next.rows_from(b).units_from(unit));
        }
      }
    }
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
