// SPDX-License-Identifier: MIT
//
// Eigen matrices seen as sequences. A sequence of T steps is a row-major T × I matrix or, the same
// bytes, a column-major I × T one; states are L·D × H or H × L·D likewise.
#pragma once

#include <type_traits>

#include "recur/core/state.hpp"

namespace recur::inline RECUR_ABI::layers {

/// A matrix of the storage order of `Derived`.
template <class Scalar, class Derived>
using MatrixLike = Eigen::Matrix<Scalar, Dynamic, Dynamic,
                                 Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor>;

/// Refers to a matrix whose rows (row-major) or columns may stand apart; copies an expression.
template <class Derived>
using MatrixRef =
    Eigen::Ref<const MatrixLike<typename Derived::Scalar, Derived>, 0, Eigen::OuterStride<>>;

/// Steps and features of a sequence.
template <class Derived>
Index sequence_steps(const Eigen::MatrixBase<Derived>& m) {
  return Derived::IsRowMajor ? m.rows() : m.cols();
}
template <class Derived>
Index sequence_features(const Eigen::MatrixBase<Derived>& m) {
  return Derived::IsRowMajor ? m.cols() : m.rows();
}

/// The matrix as (steps, 1, features), without a copy. A matrix of no steps and no features is left
/// out: absent().
template <class Matrix>
auto matrix_view(Matrix& m) {
  using View = Tensor3View<std::remove_pointer_t<decltype(m.data())>>;
  const Index steps = sequence_steps(m);
  return steps == 0 && sequence_features(m) == 0
             ? View()
             : View(m.data(), steps, 1, sequence_features(m), m.outerStride(), m.outerStride());
}

/// The same for a state of matrices, h and c.
template <class State>
auto matrix_state_view(State& state) {
  using View = decltype(matrix_view(state.h));
  if constexpr (requires { state.c; }) {
    return LSTMState<View>{matrix_view(state.h), matrix_view(state.c)};
  } else {
    return HiddenState<View>{matrix_view(state.h)};
  }
}

/// Gives a matrix these sizes, in its own order. Overwrites it.
template <class Matrix>
void resize_matrix(Matrix& m, Index steps, Index features) {
  Matrix::IsRowMajor ? m.resize(steps, features) : m.resize(features, steps);
}

}  // namespace recur::inline RECUR_ABI::layers
