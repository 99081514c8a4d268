// SPDX-License-Identifier: MIT
//
// Many steps forward of many sequences and a layer of few units: each lane of a register is a
// sequence. Elsewhere lanes are units, and 10 of them would leave a third of the lanes empty, in
// products and equations. Here the weights are broadcast, and what is multiplied by them are
// registers of inputs and states: an input is turned when it comes, a state when it goes.
//
// 10 units, 128 sequences, AVX-512: inference of an LSTM a sixth less time, of a GRU a ninth, of an
// RNN a quarter; 5 units two fifths to a half. Training of 10 units 1 % more to 8 % less, of 5 an
// eighth to a third less: backward, which sums over the sequences, is as elsewhere. AVX2: 6 units
// an eighth to a quarter less, training 4 to 11 %. (Numbers of lanes known to the compiler: 2 to 7
// % less time, RNN up to 20, and 50 KB of code.)
#pragma once

#include <algorithm>  // std::max, std::min
#include <cstddef>

#include "recur/kernels/forward_scan.hpp"
#include "recur/kernels/transpose.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

// Inputs that a step may have: so many that their sum is made in one go, as the bias comes last.
// (48 lanes would still stay in the first-level cache.)
inline constexpr Index most_inputs_in_lanes = terms_in_one_go(SumOf::inputs).alone;

// to (columns × `lanes`) = the transposed of `rows` rows; zeros in the lanes beyond them.
template <class Scalar>
void rows_to_lanes(Index rows, Index columns, const Scalar* from, Index stride, Scalar* to,
                   Index lanes) {
  using V = Vec<Scalar>;
  for (Index b = 0; b < rows; b += V::width) {
    for (Index k = 0; k < columns; k += V::width) {
      const Index count = std::min<Index>(V::width, columns - k);
      const Scalar* place = from + b * stride + k;
      Scalar* row = to + k * lanes + b;
      V square[V::width];
      RECUR_UNROLL
      for (int r = 0; r < V::width; ++r) {
        square[r] = b + r < rows ? V::load(place, count) : V(Scalar(0));
        place += stride;
        keep_in_general_register(place);
      }
      transpose(square);
      RECUR_UNROLL
      for (int r = 0; r < V::width; ++r) {
        if (r < count) {
          square[r].store(row);
        }
        row += lanes;
        keep_in_general_register(row);
      }
    }
  }
}

// The way back, of no more columns than a register has lanes.
template <class Scalar>
void lanes_to_rows(Index rows, Index columns, const Scalar* from, Index lanes, Scalar* to,
                   Index stride) {
  using V = Vec<Scalar>;
  for (Index b = 0; b < rows; b += V::width) {
    const Scalar* row = from + b;
    Scalar* place = to + b * stride;
    V square[V::width];
    RECUR_UNROLL
    for (int r = 0; r < V::width; ++r) {
      square[r] = r < columns ? V::load(row) : V(Scalar(0));
      row += lanes;
      keep_in_general_register(row);
    }
    transpose(square);
    RECUR_UNROLL
    for (int r = 0; r < V::width; ++r) {
      if (b + r < rows) {
        square[r].store(place, columns);
      }
      place += stride;
      keep_in_general_register(place);
    }
  }
}

// Rows of lanes, unit by unit: a step's products, gate by gate, and the state.
template <class Scalar>
struct Lanes {
  Index units;
  Index lanes;  // of a row
  Scalar* by_input;
  Scalar* by_state;
  Scalar* h;
  Scalar* c;

  // The row where the first unit's slot ends up, when it is recorded.
  template <class E>
  Scalar* slot(Index k) const {
    return k < E::gates ? by_input + k * units * lanes
                        : by_state + (k - E::gates + E::shared_gates) * units * lanes;
  }
};

// The equations. bias: slot by slot. record: what backward needs takes the place of the products.
template <class E, class Scalar>
RECUR_FLAT_FUNCTION void equations_of_lanes(const E& equations, const Scalar* bias,
                                            const Lanes<Scalar>& at, bool record) {
  using V = Vec<Scalar>;
  constexpr WholeRegister whole;
  const Index gate = at.units * at.lanes;
  const StateRows<Scalar> state{at.h, 0, at.c, 0};
  for (Index unit = 0; unit < at.units; ++unit) {
    math::Slots<E, V> biases;
    RECUR_UNROLL
    for (std::size_t k = 0; k < biases.size(); ++k) {
      biases[k] = V(bias[static_cast<Index>(k) * at.units + unit]);
    }
    for (Index place = unit * at.lanes; place < (unit + 1) * at.lanes; place += V::width) {
      math::Slots<E, V> slots;
      RECUR_UNROLL
      for (std::size_t k = 0; k < slots.size(); ++k) {
        const Index slot = static_cast<Index>(k);
        const V sum = V::load(at.template slot<E>(slot) + place) + biases[k];
        slots[k] = slot < E::shared_gates ? V::load(at.by_state + slot * gate + place) + sum : sum;
      }
      const auto before = load_state<E, V>(StateRows<const Scalar>(state), place, whole);
      math::UnitState<V> after;
      equations.forward(slots, before, after);
      if (record) {
        RECUR_UNROLL
        for (std::size_t k = 0; k < slots.size(); ++k) {
          slots[k].store(at.template slot<E>(static_cast<Index>(k)) + place);
        }
      }
      store_state<E>(after, state, place, whole);
    }
  }
}

// Of no more sequences than a panel has columns.
template <class E, class Scalar>
void forward_scan_of_lanes(const E& equations, const PackedWeights<E, Scalar>& w, Index steps,
                           const Scalar* x, Index x_stride, Index x_step, ForwardScan<Scalar> at,
                           bool record) {
  constexpr Index most = tile_columns<Scalar>;
  constexpr Index most_units = native_width<Scalar>;
  const Index rows = at.rows;
  const Index inputs = w.sizes.input;
  const Index hidden = w.sizes.hidden;
  const Index gates = E::gates * hidden;
  const auto ih = w.ih.operand();
  const Panels<Scalar> panels(gates);
  const auto hh = w.hh.block(0);
  alignas(64) Scalar input[static_cast<std::size_t>(most_inputs_in_lanes * most)];
  alignas(64) Scalar by_input[static_cast<std::size_t>(E::gates * most_units * most)];
  alignas(64) Scalar by_state[static_cast<std::size_t>(E::gates * most_units * most)];
  alignas(64) Scalar h[static_cast<std::size_t>(most_units * most)];
  alignas(64) Scalar c[static_cast<std::size_t>(E::has_c ? most_units * most : 1)];
  const Index lanes = whole_registers<Scalar>(rows);
  const Lanes<Scalar> of_step{hidden, lanes, by_input, by_state, h, c};
  // `count` columns of the weights, `width` of which stand together, times K rows of lanes.
  const auto multiply = [&](Index count, Index K, const Scalar* weights, Index width,
                            const Scalar* factors, Scalar* products) {
    gemm_panel<Scalar>(count, lanes, K, {weights, 1, width}, factors, lanes, {products, lanes},
                       Start::zero);
  };

  rows_to_lanes(rows, hidden, at.prev.h, at.prev.h_stride, h, lanes);
  if constexpr (E::has_c) {
    rows_to_lanes(rows, hidden, at.prev.c, at.prev.c_stride, c, lanes);
  }
  for (Index t = 0; t < steps; ++t, x += x_step) {
    if (t > 0) {
      at.move();
    }
    rows_to_lanes(rows, inputs, x, x_stride, input, lanes);
    for (Index p = 0; p < panels.count(); ++p) {
      const Index n = panels.begin(p);
      multiply(panels.columns(p), inputs, ih.data + n * inputs, panels.width(p), input,
               by_input + n * lanes);
    }
    multiply(gates, hidden, hh.data, hh.width, h, by_state);
    equations_of_lanes(equations, w.bias.data(), of_step, record);
    lanes_to_rows(rows, hidden, h, lanes, at.next.h, at.next.h_stride);
    if constexpr (E::has_c) {
      if (at.c_step != 0 || t + 1 == steps) {  // where it is updated in place, at the end
        lanes_to_rows(rows, hidden, c, lanes, at.next.c, at.next.c_stride);
      }
    }
    for (Index k = 0; k < math::slot_count<E> && record; ++k) {
      lanes_to_rows(rows, hidden, of_step.template slot<E>(k), lanes, at.slots.data + k * hidden,
                    at.slots.stride);
    }
  }
}

}  // namespace detail

/// Whether steps of so many sequences are taken with a sequence in each lane: where units would
/// leave many lanes empty, and sequences few. The results have the same bits.
template <class E, class Scalar>
bool sequences_in_lanes(const PackedWeights<E, Scalar>& w, Index rows) {
  constexpr Index width = native_width<Scalar>;
  if constexpr (width == 1 || math::TwoProducts<E>) {
    return false;
  } else {
    const CellSizes& n = w.sizes;
    const Index registers = 3 * n.hidden <= width ? 1 : 2;  // of sequences, that it takes
    return 6 * n.hidden <= 5 * width && !n.projected() && n.input <= detail::most_inputs_in_lanes &&
           w.ih.operand().dots == 0 &&
           4 * rows >= 3 * std::max(registers * width, whole_registers<Scalar>(rows));
  }
}

/// `steps` steps, the products with the inputs included: of sequence b the first at x + b *
/// x_stride, the next x_step farther on. at, record: see forward_scan; of the slots nothing is
/// read. For cells and numbers of sequences that sequences_in_lanes names.
template <math::Equations E, class Scalar>
void forward_scan_in_lanes(const E& equations, const PackedWeights<E, Scalar>& w, Index steps,
                           const Scalar* x, Index x_stride, Index x_step,
                           const ForwardScan<Scalar>& at, bool record) {
  if constexpr (native_width<Scalar> != 1 && !math::TwoProducts<E>) {
    constexpr Index most = tile_columns<Scalar>;
    for (Index b = 0; b < at.rows; b += most) {
      ForwardScan<Scalar> part = at;
      part.rows = std::min(most, at.rows - b);
      part.slots = at.slots.rows_from(b);
      part.prev = at.prev.rows_from(b);
      part.next = at.next.rows_from(b);
      detail::forward_scan_of_lanes(equations, w, steps, x + b * x_stride, x_stride, x_step, part,
                                    record);
    }
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
