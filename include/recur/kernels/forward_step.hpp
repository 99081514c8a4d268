// SPDX-License-Identifier: MIT
//
// W_hh h and the equations in one go: the sums of a block of units are complete when its product
// is, and go from the first-level cache through the equations into the next state. Only what
// backward needs is ever written to memory.
#pragma once

#include <algorithm>  // std::min
#include <cstddef>

#include "recur/kernels/forward_row.hpp"
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

// sums = h W of one block. `ahead`: the block that comes next, or null.
template <class E, class Scalar>
RECUR_ALWAYS_INLINE void multiply(Index rows, const PackedGates<E, Scalar>& w,
                                  const GemmA<Scalar>& h,
                                  const typename PackedGates<E, Scalar>::Block& block, Scalar* sums,
                                  const Scalar* ahead, bool back) {
  using Gates = PackedGates<E, Scalar>;
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
  const Stretches stretches(depth, parts, SumOf::scan);
  Start start = Start::zero;
  Index k = 0;
  do {
    const Index length = stretches.at(k);
    const Scalar* weights = block.data + k * block.width;
    gemm_panel<Scalar>(
        rows, block.width, length, {h.data + k * h.column_stride, h.row_stride, h.column_stride},
        weights, block.width, {sums, block.width}, start, nullptr,
        panel_ahead(count_of_tiles(rows, vectors_of_tile(block.width / native_width<Scalar>)),
                    length, block.width,
                    k + length < depth ? weights + length * block.width : ahead),
        Place::near);
    start = Start::accumulate;
    k += length;
  } while (k < depth);
}

// Begins to fetch the rows of the next state, which the equations write without having read them:
// meanwhile the product is computed. Stores that wait for their lines hold up all behind them.
// (AVX-512, LSTM of 256 to 1,024 units: inference 2 to 8 % faster, training 1 to 3; GRU 0 and 1.
// All slots as well: a burst that the product waits for, 0 to 5 % slower.)
template <class E, class Scalar>
RECUR_ALWAYS_INLINE void fetch_to_overwrite(Index rows, Index units,
                                            const StateRows<const Scalar>& prev,
                                            const StateRows<Scalar>& next) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(Scalar));
  for (Index b = 0; b < rows; ++b) {
    for (Index unit = 0; unit < units; unit += line) {
      prefetch_to_change(next.h + b * next.h_stride + unit);
      if (E::has_c && next.c != prev.c) {
        prefetch_to_change(next.c + b * next.c_stride + unit);
      }
    }
  }
}

// Whether that pays, of products of so many terms: shorter ones are done before anything comes.
// What training records comes from the memory. (128 units: training 2 % faster, inference 1 %
// slower.)
constexpr bool fetches_to_overwrite(Index depth, bool record) {
  return depth >= (record ? 128 : 192);
}

// forward_step, of any rows and units.
template <class E, class Scalar>
void forward_rows(const E& equations, Index rows, const PackedGates<E, Scalar>& w,
                  const Scalar* bias_apart, Index begin, Index end, const GemmA<Scalar>& h,
                  const SlotRows<Scalar>& slots, bool record, const StateRows<const Scalar>& prev,
                  const StateRows<Scalar>& next, bool back) {
  using Sums = BlockSums<E, Scalar>;
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  const Index hidden = w.hidden();
  alignas(64)
      Scalar memory[static_cast<std::size_t>(step_rows * Sums::max_width + native_width<Scalar>)];
  const Groups blocks(begin, end, units, back);
  for (Index g = 0; g < blocks.count(); ++g) {
    const auto [first, last, following] = blocks[g];
    const Scalar* ahead = rows > 1 && following < end ? w.block(following).data : nullptr;
    const auto block = w.block(first);
    for (Index b = 0; b < rows; b += step_rows) {
      const Index count = std::min(step_rows, rows - b);
      const SlotRows<Scalar> rows_slots = slots.rows_from(b);
      if (rows > 1 && fetches_to_overwrite(w.depth(), record)) {
        fetch_to_overwrite<E>(count, block.units, prev.rows_from(b).units_from(first),
                              next.rows_from(b).units_from(first));
      }
      multiply<E, Scalar>(count, w, {h.data + b * h.row_stride, h.row_stride, h.column_stride},
                          block, memory, ahead, back);
      const Sums sums{memory, block.width, block.units};
      pointwise_forward<E, Scalar>(
          equations, count, sums.units, sums.places(hidden, first, rows_slots),
          Sums::added(hidden, first, rows_slots, bias_apart),
          record ? SlotPlaces<E, Scalar>::of(rows_slots, hidden, first) : SlotPlaces<E, Scalar>(),
          prev.rows_from(b).units_from(first), next.rows_from(b).units_from(first));
    }
  }
}

}  // namespace detail

/// One step forward of `rows` sequences and of units [begin, end), multiples of
/// units_per_block (end: or the hidden size): the whole cell, or a thread's share. slots: in: the
/// input's half of the sums, W_ih x + biases; out: what backward needs, or with record = false left
/// alone. bias_apart: of the recurrent halves that stand apart, (G - shared)·H. h (rows × output):
/// the state that W_hh is multiplied by. prev: the state that the equations see (h null where the
/// cell has a projection). next: overwritten; next.h must not overlap h, next.c may be prev.c, and
/// next.h the slots, where there is one that is not recorded. back: see Walk. Inlined: called, a
/// step of one sequence and 32 units takes a tenth longer.
template <math::Equations E, class Scalar>
RECUR_ALWAYS_INLINE void forward_step(const E& equations, Index rows,
                                      const PackedGates<E, Scalar>& w, const Scalar* bias_apart,
                                      Index begin, Index end, GemmA<Scalar> h,
                                      SlotRows<Scalar> slots, bool record,
                                      StateRows<const Scalar> prev, StateRows<Scalar> next,
                                      bool back = false) {
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  const bool one_row = rows == 1 && w.hidden() >= 2 * units;  // fewer are summed in parts
  const Index whole = one_row ? end - (end - begin) % units : begin;
  const auto other_units = [&] {
    detail::forward_rows<E, Scalar>(equations, rows, w, bias_apart, whole, end, h, slots, record,
                                    prev, next, back);
  };
  if (whole < end && back) {
    other_units();
  }
  if (begin < whole) {
    forward_row<E, Scalar>(equations, w, begin, whole,
                           {h.data, bias_apart, slots.data, record, prev, next}, back);
  }
  if (whole < end && !back) {
    other_units();
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
