// SPDX-License-Identifier: MIT
//
// What a recurrent cell is: its equations for one hidden unit at one time step, forward and
// backward. Everything else (products, layers, directions, lengths, BPTT, files) is the same for
// all cells and is written once. A new cell is one header: see math/gru.hpp.
//
// Legend, for the whole library:
//   T steps   B batch   I input_size   H hidden_size   L layers   D directions
//   G gates of the cell   x input   h hidden state and output   c cell state
//   dy gradient of the loss by y   prev: step t-1   next: step t
//
// The products give G·H sums a row, a = W_ih x + b_ih + W_hh h + b_hh, gate by gate. Gates whose
// two halves are needed apart (n of the GRU) come last: `shared_gates` counts the ones before them.
// The equations see one *slot* a gate, holding the whole sum for shared gates and the input half
// for the others, followed by the recurrent halves of the others:
//   LSTM: i f g o          GRU: r z n (W_hn h + b_hn)          RNN: one
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <utility>  // std::as_const

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::math {

/// The state of a unit (V = a number) or of several (V = a vector register). c only where has_c.
template <class V>
struct UnitState {
  V h;
  V c;
};

template <class E>
inline constexpr int slot_count = 2 * E::gates - E::shared_gates;

/// Slot k holds the input's half of a sum whose recurrent half has a slot of its own.
template <class E>
constexpr bool stands_apart(Index k) {
  return k >= E::shared_gates && k < E::gates;
}

template <class E, class V>
using Slots = std::array<V, static_cast<std::size_t>(slot_count<E>)>;

/// Whether backward needs what forward left in the slots.
template <class E>
inline constexpr bool backward_reads_slots = [] {
  if constexpr (requires { E::backward_reads_slots; }) {
    return E::backward_reads_slots;
  } else {
    return true;
  }
}();

/// The requirements on a cell's equations. V is any scalar, or a vector register of units.
///
/// forward:  slots in: sums; out: what backward needs (activated gates). prev in, next out.
/// backward: slots in: what forward left; out: gradients by the sums, slot by slot.
///           d in: gradients by next.h and next.c; out: by prev.h and prev.c, leaving out the part
///           of prev.h that comes through W_hh.
/// Optional: `static constexpr const char* slot_names[]`, by which Recurrent::observe finds what
/// forward left in the slots; `static constexpr bool backward_reads_slots = false`, with which
/// layers do not keep them.
template <class E>
concept Equations = requires(const E& equations, Slots<E, double>& slots,
                             UnitState<double>& state) {
  { E::name } -> std::convertible_to<const char*>;
  { E::can_project } -> std::convertible_to<bool>;
  { E::gates } -> std::convertible_to<int>;
  { E::shared_gates } -> std::convertible_to<int>;
  { E::has_c } -> std::convertible_to<bool>;
  equations.forward(slots, std::as_const(state), state);
  equations.backward(slots, std::as_const(state), std::as_const(state), state);
}
&&E::shared_gates <= E::gates;

/// The requirements on a cell of two products a step, one after the other: the last gate multiplies
/// not h but an *operand* that the other gates make of it (math/gru_reset_before.hpp). Its slots
/// are whole sums, gate by gate, and then the operand.
///
/// operand:           slots in: sums of all gates but the last; out: what backward needs of them,
///                    and the operand. Then the last gate's sum becomes complete, and forward
///                    comes.
/// backward:          as above, but the first gate and the operand: it leaves the operand as it is.
/// backward_operand:  recorded: what forward left. slots in: what backward left; out: with the
///                    first gate. d_operand: the gradient by the operand. d.h: added to.
template <class E>
concept TwoProducts = Equations<E> && E::gates - E::shared_gates == 1 &&
                      requires(const E& equations, Slots<E, double>& slots,
                               UnitState<double>& state) {
  equations.operand(slots, std::as_const(state));
  equations.backward_operand(std::as_const(slots), slots, 1.0, std::as_const(state), state);
};

}  // namespace recur::inline RECUR_ABI::math
