// SPDX-License-Identifier: MIT
//
// What a layer reads and writes, on its way forward and back.
#pragma once

#include <span>

#include "recur/core/cell_parameters.hpp"
#include "recur/core/tensor.hpp"
#include "recur/kernels/gemm.hpp"
#include "recur/kernels/pointwise.hpp"
#include "recur/layers/tape.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Slot of the state before step t of direction d.
inline Index state_slot_before(Index d, Index t) { return d == 0 ? t : t + 2; }

/// Memory of one direction of a layer. Slot and step strides are those of a (·, B, D·size) tensor.
template <class Scalar>
struct DirectionBuffers {
  Scalar* h = nullptr;  ///< slot s of row b at h + s * h_slot + b * h_row
  Index h_slot = 0;
  Index h_row = 0;
  Scalar* initial_h = nullptr;  ///< row b at initial_h + b * h_row, in place of the slot before the
                                ///< first step; null: in that slot
  Scalar* c = nullptr;          ///< the same; c_slot is 0 where c is updated in place
  Index c_slot = 0;
  Index c_row = 0;
  Scalar* slots = nullptr;  ///< (·, B, slots·H), rows slots_row apart
  Index slots_row = 0;
  Scalar* unprojected = nullptr;  ///< the same steps, contiguous (·, B, H)
  bool all_steps = true;          ///< those have all steps; else only a chunk's

  kernels::StateRows<Scalar> state(Index slot, Index row) const {
    return {h + slot * h_slot + row * h_row, h_row, c + slot * c_slot + row * c_row, c_row};
  }

  /// That before the first step, whose slot it would be.
  kernels::StateRows<Scalar> initial_state(Index slot, Index row) const {
    kernels::StateRows<Scalar> rows = state(slot, row);
    if (initial_h != nullptr) {
      rows.h = initial_h + row * h_row;
    }
    return rows;
  }
};

/// Rows (·, ·, width) of a (T, B, width) tensor, whose first is that of `step` and `sequence`.
template <class Element>
struct RowsOf {
  Tensor3View<Element> view;
  Index step = 0;
  Index sequence = 0;

  bool absent() const { return view.data() == nullptr; }
  Element* row(Index t, Index b) const { return view.row(t - step, b - sequence); }
};

/// A group of the batch's sequences on its way backwards through a layer.
template <class Scalar>
struct SequenceGroup {
  Index first;  ///< sequences [first, last): all of them, or half of a batch of equal lengths
  Index last;
  ChunkMemory<Scalar>& memory;

  RowsOf<const Scalar> d_output;  ///< (·, ·, D·output), by the layer's output; absent: zeros
  RowsOf<Scalar> d_x;  ///< (·, ·, I), by its input; or absent. Overwritten where rows run; of two
                       ///< directions added to. Of one direction it may be d_output: its steps are
                       ///< read before they are written
  bool d_initial = true;  ///< whether the gradients by the initial state are asked for

  Index count() const { return last - first; }
};

}  // namespace recur::inline RECUR_ABI::layers
