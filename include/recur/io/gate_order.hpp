// SPDX-License-Identifier: MIT
//
// What the converters of other frameworks' weights share: the same gates in another order, and the
// replacement of all parameters of a layer at once. See keras.hpp and onnx.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <utility>  // std::move

#include "recur/layers/stack.hpp"

namespace recur::inline RECUR_ABI::detail {

/// place[k]: where gate k of ours (math/) stands among theirs.
template <std::size_t Gates>
using GateOrder = std::array<Index, Gates>;

/// Row blocks, one for each gate, from their order into ours.
template <std::size_t Gates, class Derived>
auto gates_to_ours(const GateOrder<Gates>& place, const Eigen::MatrixBase<Derived>& theirs) {
  typename Derived::PlainObject ours(theirs.rows(), theirs.cols());
  const Index hidden = theirs.rows() / static_cast<Index>(Gates);
  for (std::size_t k = 0; k < Gates; ++k) {
    ours.middleRows(static_cast<Index>(k) * hidden, hidden) =
        theirs.middleRows(place[k] * hidden, hidden);
  }
  return ours;
}

/// The other way round.
template <std::size_t Gates, class Derived>
auto gates_to_theirs(const GateOrder<Gates>& place, const Eigen::MatrixBase<Derived>& ours) {
  typename Derived::PlainObject theirs(ours.rows(), ours.cols());
  const Index hidden = ours.rows() / static_cast<Index>(Gates);
  for (std::size_t k = 0; k < Gates; ++k) {
    theirs.middleRows(place[k] * hidden, hidden) =
        ours.middleRows(static_cast<Index>(k) * hidden, hidden);
  }
  return theirs;
}

/// b_ih + b_hh, for conventions with one bias. Where one of them is zero the sum is the other, bit
/// by bit.
template <class Scalar>
Vector<Scalar> sum_of_biases(const Vector<Scalar>& b_ih, const Vector<Scalar>& b_hh) {
  return (b_hh.array() == Scalar(0)).select(b_ih, b_ih + b_hh);
}

/// Throws Error unless an array of theirs has the shape that the layer asks for.
inline void check_converted_shape(const std::string& where, const char* what, Index rows,
                                  Index cols, Index expected_rows, Index expected_cols) {
  check(rows == expected_rows && cols == expected_cols, where, ": ", what, ": expected ",
        shape_string({expected_rows, expected_cols}), ", got ", shape_string({rows, cols}));
}

/// Throws Error unless the layer has neither a projection nor fewer cells than asked for.
template <class Layer>
void check_convertible(const Layer& layer, const char* framework, Index index, Index direction) {
  check(layer.output_size() == layer.hidden_size(), framework,
        " has no projection: expected a layer with proj_size = 0, got ", layer.options().proj_size);
  check(
      index >= 0 && index < layer.num_layers() && direction >= 0 && direction < layer.directions(),
      framework, ": expected a layer below ", layer.num_layers(), " and a direction below ",
      layer.directions(), ", got ", index, " and ", direction);
}

}  // namespace recur::inline RECUR_ABI::detail
