// SPDX-License-Identifier: MIT
//
// A cell's equations on whole rows: the pointwise half of a time step, a vector register of units
// at a time. math/step.hpp does the same, one number at a time.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>  // std::integral_constant, std::is_same_v

#include "recur/kernels/activations.hpp"
#include "recur/kernels/packet.hpp"
#include "recur/kernels/prefetch.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// Rows of h and c in memory: row b starts at h + b * h_stride. What is not there is null: c of
/// cells that have none, h of cells with a projection (whose equations do not look at it).
template <class Scalar>
struct StateRows {
  Scalar* h = nullptr;
  Index h_stride = 0;
  Scalar* c = nullptr;
  Index c_stride = 0;

  // Null pointers come with stride 0 and stay null.
  StateRows rows_from(Index b) const {
    return {h + b * h_stride, h_stride, c + b * c_stride, c_stride};
  }
  StateRows units_from(Index unit) const {
    return {h == nullptr ? h : h + unit, h_stride, c == nullptr ? c : c + unit, c_stride};
  }
  operator StateRows<const Scalar>() const  // NOLINT(google-explicit-constructor)
      requires(!std::is_const_v<Scalar>) {
    return {h, h_stride, c, c_stride};
  }
};

/// Rows of slots: slot k of unit j of row b at data[b * stride + k * H + j].
template <class Scalar>
struct SlotRows {
  Scalar* data = nullptr;
  Index stride = 0;

  SlotRows rows_from(Index b) const { return {data + b * stride, stride}; }
  operator SlotRows<const Scalar>() const  // NOLINT(google-explicit-constructor)
      requires(!std::is_const_v<Scalar>) {
    return {data, stride};
  }
};

/// Slots that need not stand together: slot k of unit j of row b at data[k][b * stride[k] + j].
template <class E, class Scalar>
struct SlotPlaces {
  std::array<Scalar*, math::slot_count<E>> data{};
  std::array<Index, math::slot_count<E>> stride{};

  /// Units [first, …) of rows of `hidden` units.
  static RECUR_ALWAYS_INLINE SlotPlaces of(const SlotRows<Scalar>& rows, Index hidden,
                                           Index first) {
    SlotPlaces places;
    RECUR_UNROLL
    for (std::size_t k = 0; k < places.data.size(); ++k) {
      places.data[k] = rows.data + static_cast<Index>(k) * hidden + first;
      places.stride[k] = rows.stride;
    }
    return places;
  }
};

namespace detail {

// Loads and stores of whole registers, or of the first `count` units of one.
struct WholeRegister {
  template <class V>
  RECUR_ALWAYS_INLINE V load(const typename V::Scalar* from) const {
    return V::load(from);
  }
  template <class V>
  RECUR_ALWAYS_INLINE void store(const V& v, typename V::Scalar* to) const {
    v.store(to);
  }
};
struct PartOfRegister {
  Index count;
  template <class V>
  RECUR_ALWAYS_INLINE V load(const typename V::Scalar* from) const {
    return V::load(from, count);
  }
  template <class V>
  RECUR_ALWAYS_INLINE void store(const V& v, typename V::Scalar* to) const {
    v.store(to, count);
  }
};

template <class E, class V, class Scalar, class Access>
RECUR_ALWAYS_INLINE math::Slots<E, V> load_slots(const Scalar* slots, Index hidden, Access access) {
  math::Slots<E, V> units;
  RECUR_UNROLL
  for (std::size_t k = 0; k < units.size(); ++k) {
    units[k] = access.template load<V>(slots + static_cast<Index>(k) * hidden);
  }
  return units;
}

template <class V, class Scalar, std::size_t Count, class Access>
RECUR_ALWAYS_INLINE void store_slots(const std::array<V, Count>& units, Scalar* slots, Index hidden,
                                     Access access) {
  RECUR_UNROLL
  for (std::size_t k = 0; k < Count; ++k) {
    access.store(units[k], slots + static_cast<Index>(k) * hidden);
  }
}

template <class E, class V, class Scalar, class Access>
RECUR_ALWAYS_INLINE math::UnitState<V> load_state(const StateRows<const Scalar>& rows, Index unit,
                                                  Access access) {
  math::UnitState<V> state;
  state.h = rows.h == nullptr ? V(Scalar(0)) : access.template load<V>(rows.h + unit);
  if constexpr (E::has_c) {
    state.c = access.template load<V>(rows.c + unit);
  } else {
    state.c = V(Scalar(0));
  }
  return state;
}

template <class E, class V, class Scalar, class Access>
RECUR_ALWAYS_INLINE void store_state(const math::UnitState<V>& state, const StateRows<Scalar>& rows,
                                     Index unit, Access access) {
  access.store(state.h, rows.h + unit);
  if constexpr (E::has_c) {
    access.store(state.c, rows.c + unit);
  }
}

// f(unit, access) for all units of a row, a register at a time; the last register may be a part.
template <int Width, class F>
RECUR_ALWAYS_INLINE void for_each_register(Index hidden, F&& f) {
  Index unit = 0;
  for (; unit + Width <= hidden; unit += Width) {
    f(unit, WholeRegister{});
  }
  if (unit < hidden) {
    f(unit, PartOfRegister{hidden - unit});
  }
}

// Begins to fetch what backward will take of the tape a few rows later. It comes from the
// third-level cache or the memory, in pieces too short for the processor to foresee: without this
// the equations wait for it for more than half of their time. (What is behind the last row is the
// step after, which was there before.)
template <class E, class Scalar>
RECUR_ALWAYS_INLINE void fetch_row_ahead(Index hidden, const SlotRows<const Scalar>& slots,
                                         const StateRows<const Scalar>& prev,
                                         const StateRows<const Scalar>& d_output,
                                         const SlotRows<Scalar>& d_slots, Index unit) {
  constexpr Index ahead = 4;
  RECUR_UNROLL
  for (Index k = 0; k < math::slot_count<E>; ++k) {
    prefetch(slots.data + ahead * slots.stride + k * hidden + unit);
    prefetch_to_change(d_slots.data + ahead * d_slots.stride + k * hidden + unit);
  }
  if constexpr (E::has_c) {
    prefetch(prev.c + ahead * prev.c_stride + unit);
  }
  if (d_output.h != nullptr) {
    prefetch(d_output.h + ahead * d_output.h_stride + unit);
  }
}

// The same of what pointwise_forward adds to the sums, from the second level, where a register is a
// line of the cache. (LSTM and GRU of 256 units, inference, AVX-512: 1 to 2 % faster on Intel's
// processors; with the narrower registers of AVX2 1 % slower, and so are RNNs of few units on AMD's
// Zen 5, 1 to 5 %.)
template <class E, class Scalar>
RECUR_ALWAYS_INLINE void fetch_added_ahead(const SlotPlaces<E, const Scalar>& added,
                                           const StateRows<const Scalar>& prev, Index b,
                                           Index unit) {
  if constexpr (E::gates == 1 || native_width<Scalar> * static_cast<Index>(sizeof(Scalar)) < 64) {
    return;
  }
  constexpr Index ahead = 4;
  RECUR_UNROLL
  for (std::size_t k = 0; k < added.data.size(); ++k) {
    if (!math::stands_apart<E>(static_cast<Index>(k))) {
      prefetch(added.data[k] + (b + ahead) * added.stride[k] + unit);
    }
  }
  if constexpr (E::has_c) {
    prefetch(prev.c + (b + ahead) * prev.c_stride + unit);
  }
}

// One register of one row; see pointwise_backward. A function and no lambda for for_each_register:
// of one with so much in it GCC makes a call, or of the equations in it (10 units: 9 % slower).
template <bool FetchAhead, class E, class Scalar, class Access>
RECUR_FLATTEN RECUR_ALWAYS_INLINE void pointwise_backward_register(
    const E& equations, Index hidden, const SlotRows<const Scalar>& slots,
    const StateRows<const Scalar>& prev, const StateRows<const Scalar>& next,
    const SlotRows<Scalar>& d_slots, const StateRows<Scalar>& d,
    const StateRows<const Scalar>& d_output, Index unit, Access access) {
  using V = Vec<Scalar>;
  math::Slots<E, V> units;
  if constexpr (math::backward_reads_slots<E>) {
    if constexpr (FetchAhead) {
      fetch_row_ahead<E>(hidden, slots, prev, d_output, d_slots, unit);
    }
    units = load_slots<E, V>(slots.data + unit, hidden, access);
  }
  const auto before = load_state<E, V>(prev, unit, access);
  const auto after = load_state<E, V>(next, unit, access);
  auto gradient = load_state<E, V>(StateRows<const Scalar>(d), unit, access);
  if (d_output.h != nullptr) {
    gradient.h = gradient.h + access.template load<V>(d_output.h + unit);
  }
  equations.backward(units, before, after, gradient);
  store_slots(units, d_slots.data + unit, hidden, access);
  store_state<E>(gradient, d, unit, access);
}

}  // namespace detail

/// Units [first, last) of a row.
struct Units {
  Index first;
  Index last;
};

/// One row, where the compiler should know it.
using OneRow = std::integral_constant<Index, 1>;

/// One step forward of `units` units of `rows` sequences. sums: read. added: to the sums, but for
/// those of slots whose other half stands apart; null: nothing. record: overwritten with what
/// backward needs, unless it is null; may be sums. prev: read. next: overwritten; next.c may be
/// prev.c.
template <math::Equations E, class Scalar>
RECUR_FLATTEN RECUR_ALWAYS_INLINE void pointwise_forward(
    const E& equations, Index rows, Index units, const SlotPlaces<E, const Scalar>& sums,
    const SlotPlaces<E, const Scalar>& added, const SlotPlaces<E, Scalar>& record,
    StateRows<const Scalar> prev, StateRows<Scalar> next) {
  using V = Vec<Scalar>;
  const bool adds = added.data.back() != nullptr;
  detail::for_each_register<V::width>(units, [&](Index unit, auto access) {
    const auto load_added = [&](Index b, math::Slots<E, V>& slots) {
      RECUR_UNROLL
      for (std::size_t k = 0; k < slots.size(); ++k) {
        if (!math::stands_apart<E>(static_cast<Index>(k))) {
          slots[k] = access.template load<V>(added.data[k] + b * added.stride[k] + unit);
        }
      }
    };
    math::Slots<E, V> more;
    more.fill(V(Scalar(0)));
    if (adds) {
      load_added(0, more);
    }
    for (Index b = 0; b < rows; ++b) {
      math::Slots<E, V> slots;
      RECUR_UNROLL
      for (std::size_t k = 0; k < slots.size(); ++k) {
        slots[k] = access.template load<V>(sums.data[k] + b * sums.stride[k] + unit);
        if (adds && !math::stands_apart<E>(static_cast<Index>(k))) {
          slots[k] = slots[k] + more[k];
        }
      }
      // Before the record of this row is stored, which may be in the same place: a part of a
      // register that overlaps what was just stored would have to wait for it.
      if (adds && b + 1 < rows) {
        load_added(b + 1, more);
        detail::fetch_added_ahead<E>(added, prev, b, unit);
      }
      const auto before = detail::load_state<E, V>(prev.rows_from(b), unit, access);
      math::UnitState<V> after;
      equations.forward(slots, before, after);
      if (record.data[0] != nullptr) {
        RECUR_UNROLL
        for (std::size_t k = 0; k < slots.size(); ++k) {
          access.store(slots[k], record.data[k] + b * record.stride[k] + unit);
        }
      }
      detail::store_state<E>(after, next.rows_from(b), unit, access);
    }
  });
}

/// One step backward of some of `hidden` units. slots: what forward left; not read where the
/// equations do not. d_slots: overwritten with the gradients by the sums. d: in: gradients by next;
/// out: gradients by prev, without the part that comes through W_hh. d_output.h: added to d.h
/// first, unless it is null. Rows: Index, or OneRow where that is known.
template <math::Equations E, class Scalar, class Rows>
RECUR_FLATTEN void pointwise_backward(const E& equations, Rows rows, Index hidden, Units units,
                                      SlotRows<const Scalar> slots, StateRows<const Scalar> prev,
                                      StateRows<const Scalar> next, SlotRows<Scalar> d_slots,
                                      StateRows<Scalar> d, StateRows<const Scalar> d_output = {}) {
  constexpr Index width = native_width<Scalar>;
  constexpr bool fetch_ahead = !std::is_same_v<Rows, OneRow>;
  for (Index b = 0; b < rows; ++b) {
    Index unit = units.first;
    for (; unit + width <= units.last; unit += width) {
      detail::pointwise_backward_register<fetch_ahead>(equations, hidden, slots, prev, next,
                                                       d_slots, d, d_output, unit,
                                                       detail::WholeRegister{});
    }
    if (unit < units.last) {
      detail::pointwise_backward_register<fetch_ahead>(equations, hidden, slots, prev, next,
                                                       d_slots, d, d_output, unit,
                                                       detail::PartOfRegister{units.last - unit});
    }
    if constexpr (math::backward_reads_slots<E>) {
      slots = slots.rows_from(1);
    }
    prev = prev.rows_from(1);
    next = next.rows_from(1);
    d_slots = d_slots.rows_from(1);
    d = d.rows_from(1);
    d_output = d_output.rows_from(1);
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
