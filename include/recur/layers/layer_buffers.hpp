// SPDX-License-Identifier: MIT
//
// What a layer reads and writes, on its way forward and back.
#pragma once

#include "recur/core/tensor.hpp"
#include "recur/kernels/pointwise.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Memory of one direction of a layer. Slot and step strides are those of a (·, B, D·size) tensor.
template <class Scalar>
struct DirectionBuffers {
  Scalar* h = nullptr;  ///< slot s of row b at h + s * h_slot + b * h_row
  Index h_slot = 0;
  Index h_row = 0;
  Scalar* c = nullptr;  ///< the same; c_slot is 0 where c is updated in place
  Index c_slot = 0;
  Index c_row = 0;
  Scalar* slots = nullptr;        ///< contiguous (·, B, slots·H)
  Scalar* unprojected = nullptr;  ///< the same steps, contiguous (·, B, H)
  bool all_steps = true;          ///< those have all steps; else only a chunk's

  kernels::StateRows<Scalar> state(Index slot, Index row) const {
    return {h + slot * h_slot + row * h_row, h_row, c + slot * c_slot + row * c_row, c_row};
  }
};

/// The gradients on their way backwards through a layer.
template <class Scalar>
struct GradientFlow {
  Tensor3View<const Scalar> d_output;  ///< (·, B, D·output), by its output, of steps
                                       ///< [output_first, …); absent: zeros
  Index output_first = 0;
  Scalar* d_x = nullptr;  ///< (·, B, I), by its input, of steps [x_first, …); or null. Overwritten
                          ///< where rows run; of two directions added to. Of one direction it may
                          ///< be d_output: its steps are read before they are written
  Index x_first = 0;
};

}  // namespace recur::inline RECUR_ABI::layers
