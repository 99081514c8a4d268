// SPDX-License-Identifier: MIT
//
// Dropout between layers, on time-major buffers. The mask is kept on the tape.
#pragma once

#include <algorithm>  // std::min

#include "recur/layers/layer_buffers.hpp"
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

/// Gradients by that input, of steps [first, last) of a group, become those by the output below.
template <class Scalar>
void drop_out_backward(const Schedule& schedule, Index first, Index last,
                       const LayerTape<Scalar>& record, const SequenceGroup<Scalar>& group) {
  if (record.dropout_mask.size() == 0 || group.d_x.absent()) {
    return;
  }
  const Index width = record.dropout_mask.size(2);
  for (Index t = first; t < last; ++t) {
    const Index count = std::min(group.last, schedule.running(t)) - group.first;
    const Scalar* mask = record.dropout_mask.view().row(t, group.first);
    Scalar* gradient = group.d_x.row(t, group.first);
    for (Index k = 0; k < count * width; ++k) {
      gradient[k] *= mask[k];
    }
  }
}

}  // namespace recur::inline RECUR_ABI::layers
