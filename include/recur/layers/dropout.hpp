// SPDX-License-Identifier: MIT
//
// Dropout between layers, on time-major buffers. The mask is kept on the tape.
#pragma once

#include "recur/layers/tape.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Input of a layer behind dropout: a fresh mask times `in`, the output below, (T, B, width).
/// Without dropout, `in`.
template <class Scalar>
const Scalar* drop_out(const Schedule& schedule, double p, Tape<Scalar>& tape,
                       LayerTape<Scalar>& record, const Scalar* in, Index width) {
  if (!tape.training || p == 0) {
    record.input.resize(0, 0, 0);
    record.dropout_mask.resize(0, 0, 0);
    return in;
  }
  record.input.resize(schedule.steps, schedule.batch, width);
  record.dropout_mask.resize(schedule.steps, schedule.batch, width);
  const Scalar keep = p < 1 ? Scalar(1 / (1 - p)) : Scalar(0);
  schedule.for_each_block(0, schedule.steps, [&](Index first, Index count) {
    for (Index k = first * width; k < (first + count) * width; ++k) {
      const Scalar factor = tape.generator.uniform(0.0, 1.0) < p ? Scalar(0) : keep;
      record.dropout_mask.data()[k] = factor;
      record.input.data()[k] = in[k] * factor;
    }
  });
  return record.input.data();
}

/// Gradients by that input, of steps [first, last), become those by the output below. d_x (·, B,
/// width): of steps [x_first, …).
template <class Scalar>
void drop_out_backward(const Schedule& schedule, Index first, Index last,
                       const LayerTape<Scalar>& record, Scalar* d_x, Index x_first) {
  if (record.dropout_mask.size() == 0) {
    return;
  }
  const Index width = record.dropout_mask.size(2);
  const Index first_row = x_first * schedule.batch;
  schedule.for_each_block(first, last, [&](Index row, Index count) {
    const Scalar* mask = record.dropout_mask.data() + row * width;
    Scalar* gradient = d_x + (row - first_row) * width;
    for (Index k = 0; k < count * width; ++k) {
      gradient[k] *= mask[k];
    }
  });
}

}  // namespace recur::inline RECUR_ABI::layers
