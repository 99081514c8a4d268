// SPDX-License-Identifier: MIT
//
// Reading a tape by name: the states and gates of every step, in the caller's order.
#pragma once

#include <algorithm>  // std::copy_n, std::find
#include <span>
#include <string>
#include <string_view>

#include "recur/layers/shape_checks.hpp"

namespace recur::inline RECUR_ABI::layers {

/// The cell's own names of its slots; none where its equations give none.
template <math::Equations E>
std::span<const char* const> slot_names() {
  if constexpr (requires { E::slot_names; }) {
    static_assert(std::size(E::slot_names) == static_cast<std::size_t>(math::slot_count<E>),
                  "slot_names: one for each slot of the equations");
    return E::slot_names;
  } else {
    return {};
  }
}

/// (T, B, ·): `name` at every step of one layer and direction, sequences in the caller's order,
/// zeros behind their ends. See Recurrent::observe.
template <math::Equations E, class Scalar>
Tensor3<Scalar> observe(const Tape<Scalar>& tape, std::string_view name, Index layer,
                        Index direction, const ModuleSizes& n) {
  ShapeChecks<E, Scalar>{n}.tape(tape, "observe");
  check(layer >= 0 && layer < n.layers, E::name, "::observe: expected a layer from 0 to ",
        n.layers - 1, ", got ", layer);
  check(direction >= 0 && direction < n.directions, E::name,
        "::observe: expected a direction from 0 to ", n.directions - 1, ", got ", direction);

  const Schedule& schedule = tape.schedule;
  const LayerTape<Scalar>& record = tape.layers[static_cast<std::size_t>(layer)];
  const auto gates = slot_names<E>();
  const auto gate = std::find(gates.begin(), gates.end(), name);
  Tensor3View<const Scalar> found;  // step t at slot t + 1 of h and c
  if (name == "h") {
    found = record.h.view().narrow(0, 1, schedule.steps).narrow(2, direction * n.output, n.output);
  } else if (E::has_c && name == "c") {
    found = record.c.view().narrow(0, 1, schedule.steps).narrow(2, direction * n.hidden, n.hidden);
  } else if (gate != gates.end()) {
    found = record.slots[static_cast<std::size_t>(direction)].view().narrow(
        2, (gate - gates.begin()) * n.hidden, n.hidden);
  } else {
    std::string names = E::has_c ? "h, c" : "h";
    for (const char* known : gates) {
      names += std::string(", ") + known;
    }
    fail(E::name, "::observe: expected one of ", names, "; got ", name);
  }

  Tensor3<Scalar> result(schedule.steps, schedule.batch, found.size(2));
  for (Index t = 0; t < schedule.steps; ++t) {
    for (Index row = 0; row < schedule.running(t); ++row) {
      std::copy_n(found.row(t, row), found.size(2), result.view().row(t, schedule.source(row)));
    }
  }
  return result;
}

}  // namespace recur::inline RECUR_ABI::layers
