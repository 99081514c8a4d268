// SPDX-License-Identifier: MIT
//
// Between the arrays of the caller, padded in any order of the sequences or packed, and ours: (T,
// B, ·) with the sequences in order of falling length.
#pragma once

#include <algorithm>  // std::copy_n, std::fill_n

#include "recur/core/tensor.hpp"
#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI::layers {

/// Row (t, b) stands at data + (t·B + b) · size(2).
template <class Scalar>
bool is_time_major(const Schedule& schedule, Tensor3View<const Scalar> view) {
  const Index B = schedule.batch;
  return (B <= 1 || view.stride(1) == view.size(2)) &&
         (schedule.steps <= 1 || view.stride(0) == B * view.size(2));
}

/// Row `row` of step t in an array of the caller's.
template <class Element>
Element* caller_row(const Schedule& schedule, Tensor3View<Element> view, Index t, Index row) {
  return schedule.packed() ? view.row(0, schedule.offsets[static_cast<std::size_t>(t)] + row)
                           : view.row(t, schedule.source(row));
}

namespace detail {

template <class Scalar>
void copy_steps(const Schedule& schedule, Tensor3View<const Scalar> from, Tensor3View<Scalar> to) {
  if (is_time_major<Scalar>(schedule, from) && is_time_major<Scalar>(schedule, to)) {
    std::copy_n(from.data(), schedule.steps * schedule.batch * to.size(2), to.data());
    return;
  }
  for (Index t = 0; t < schedule.steps; ++t) {
    to[t] = from[t];
  }
}

}  // namespace detail

/// The caller's running steps to (T, B, ·); the other rows of `to` are left alone, and never read.
template <class Scalar>
void take_running(const Schedule& schedule, Tensor3View<const Scalar> from, Tensor3<Scalar>& to) {
  if (schedule.full()) {
    detail::copy_steps<Scalar>(schedule, from, to.view());
    return;
  }
  for (Index t = 0; t < schedule.steps; ++t) {
    for (Index row = 0; row < schedule.running(t); ++row) {
      std::copy_n(caller_row(schedule, from, t, row), to.size(2), to.view().row(t, row));
    }
  }
}

/// The running steps back to the caller, and zeros to the padding, where there is any.
template <class Scalar>
void give_running(const Schedule& schedule, Tensor3View<const Scalar> from,
                  Tensor3View<Scalar> to) {
  if (schedule.full()) {
    detail::copy_steps<Scalar>(schedule, from, to);
    return;
  }
  for (Index t = 0; t < schedule.steps; ++t) {
    const Index running = schedule.running(t);
    for (Index row = 0; row < running; ++row) {
      std::copy_n(from.row(t, row), to.size(2), caller_row(schedule, to, t, row));
    }
    for (Index row = running; row < schedule.batch && !schedule.packed(); ++row) {
      std::fill_n(caller_row(schedule, to, t, row), to.size(2), Scalar(0));
    }
  }
}

}  // namespace recur::inline RECUR_ABI::layers
