// SPDX-License-Identifier: MIT
//
// Losses with their gradients: torch.nn.functional.cross_entropy and mse_loss; softmax, log_softmax
// and argmax over the rows of a matrix.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// What becomes of the losses of all rows (cross_entropy) or elements (mse_loss).
enum class Reduction { mean, sum };

/// A loss and its gradient by what it was computed from.
template <class Array>
struct Loss {
  typename Array::Scalar value{};
  Array d_input;  ///< in the shape of the logits or predictions
};

struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  Index ignore_index = -100;   ///< targets of this value count for nothing
  double label_smoothing = 0;  ///< in [0, 1]: this share of the target is spread over all classes
};

struct MSELossOptions {
  Reduction reduction = Reduction::mean;
};

namespace detail {

template <class Derived>
using RowRef = Eigen::Ref<const RowMatrix<typename Derived::Scalar>, 0, Eigen::OuterStride<>>;

// Sums over many elements: of floats, in double.
template <class Scalar>
using SumOf = std::conditional_t<std::is_same_v<Scalar, float>, double, Scalar>;

// to = row - max - log(sum exp(row - max)), which overflows for no row.
template <class Row, class To>
void log_softmax_row(const Row& row, To&& to) {
  using std::log;
  to = (row.array() - row.maxCoeff()).matrix();
  to.array() -= log(to.array().exp().sum());
}

// Overwrites d_input with factor (prediction - target); returns the sum of the squared differences.
template <class A, class B, class To>
SumOf<typename A::Scalar> squared_error(const A& prediction, const B& target,
                                        typename A::Scalar factor, To&& d_input) {
  d_input = prediction - target;
  const auto sum = d_input.template cast<SumOf<typename A::Scalar>>().squaredNorm();
  d_input *= factor;
  return sum;
}

// What a sum over `count` losses is multiplied by.
inline double reduction_factor(Reduction reduction, Index count) {
  return reduction == Reduction::mean ? 1 / static_cast<double>(count) : 1;
}

}  // namespace detail

/// log(softmax(x)) of every row: (N × C), C > 0. Finite logits of any size overflow nowhere.
template <class Derived>
RowMatrix<typename Derived::Scalar> log_softmax(const Eigen::MatrixBase<Derived>& logits) {
  const detail::RowRef<Derived> x(logits.derived());
  if (x.cols() <= 0) {
    fail("log_softmax: expected at least one class, got ", shape_string({x.rows(), x.cols()}));
  }
  RowMatrix<typename Derived::Scalar> y(x.rows(), x.cols());
  for (Index n = 0; n < x.rows(); ++n) {
    detail::log_softmax_row(x.row(n), y.row(n));
  }
  return y;
}

/// exp(x) / sum(exp(x)) of every row: (N × C), C > 0.
template <class Derived>
RowMatrix<typename Derived::Scalar> softmax(const Eigen::MatrixBase<Derived>& logits) {
  auto y = log_softmax(logits);
  y.array() = y.array().exp();
  return y;
}

/// Column of the largest element of every row, the first of equals: (N × C), C > 0 → N. What a
/// classifier decides for.
template <class Derived>
std::vector<Index> argmax(const Eigen::MatrixBase<Derived>& scores) {
  if (scores.cols() <= 0) {
    fail("argmax: expected at least one class, got ", shape_string({scores.rows(), scores.cols()}));
  }
  std::vector<Index> columns(static_cast<std::size_t>(scores.rows()));
  for (Index n = 0; n < scores.rows(); ++n) {
    scores.row(n).maxCoeff(&columns[static_cast<std::size_t>(n)]);
  }
  return columns;
}

/// torch.nn.functional.cross_entropy of logits (N × C) and target classes (N), with eps standing
/// for label_smoothing, p = softmax(logits[n]), t = targets[n]:
///
///     loss[n] = -(1 - eps) log p[t] - eps/C sum_c log p[c]
///     d_input[n, c] = p[c] - (1 - eps) [c = t] - eps/C
///
/// and zero for rows whose target is ignore_index. `mean` divides both by the number of the other
/// rows; without any it is NaN, and the gradient zero. Logits of every time step: `y.rows()` of a
/// Tensor3. Errors: sizes that differ, a target outside [0, C), label_smoothing outside [0, 1].
/// loss: overwritten; its memory is used again.
template <class Derived>
void cross_entropy(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> targets,
                   const CrossEntropyOptions& options,
                   Loss<RowMatrix<typename Derived::Scalar>>& loss) {
  using Scalar = typename Derived::Scalar;
  using Sum = detail::SumOf<Scalar>;
  const detail::RowRef<Derived> x(logits.derived());
  const Index classes = x.cols();
  const double eps = options.label_smoothing;
  check(static_cast<Index>(targets.size()) == x.rows(),
        "cross_entropy: Expected input batch_size (", x.rows(), ") to match target batch_size (",
        targets.size(), ").");
  check(eps >= 0 && eps <= 1,
        "cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: ", eps);
  Index counted = 0;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const Index target = targets[n];
    if (target != options.ignore_index) {
      check(target >= 0 && target < classes, "cross_entropy: Target ", target,
            " is out of bounds: position ", n, ", expected 0 to ", classes - 1, " or ignore_index ",
            options.ignore_index);
      ++counted;
    }
  }

  const double factor = detail::reduction_factor(options.reduction, counted);
  const auto scale = static_cast<Scalar>(factor);
  const auto on_target = static_cast<Scalar>(1 - eps);
  const auto on_all = static_cast<Scalar>(eps / static_cast<double>(classes));
  Sum sum(0);
  loss.d_input.resize(x.rows(), classes);
  for (Index n = 0; n < x.rows(); ++n) {
    const Index target = targets[static_cast<std::size_t>(n)];
    auto row = loss.d_input.row(n);
    if (target == options.ignore_index) {
      row.setZero();
      continue;
    }
    detail::log_softmax_row(x.row(n), row);
    sum -= Sum(on_target * row(target));
    if (eps > 0) {
      sum -= Sum(on_all * row.sum());
    }
    row.array() = (row.array().exp() - on_all) * scale;
    row(target) -= on_target * scale;
  }
  loss.value = static_cast<Scalar>(sum * static_cast<Sum>(factor));
}

///     std::vector<recur::Index> labels = {3, 0, 9};
///     auto [value, d_logits] = recur::cross_entropy(logits, labels, {.label_smoothing = 0.1});
template <class Derived>
Loss<RowMatrix<typename Derived::Scalar>> cross_entropy(const Eigen::MatrixBase<Derived>& logits,
                                                        std::span<const Index> targets,
                                                        const CrossEntropyOptions& options = {}) {
  Loss<RowMatrix<typename Derived::Scalar>> loss;
  cross_entropy(logits, targets, options, loss);
  return loss;
}

/// torch.nn.functional.mse_loss: the mean (or sum) of (prediction - target)² over all elements;
/// d_input = 2 (prediction - target), divided by their number for the mean. Both of one shape:
/// matrices or arrays of three dimensions, else Error. loss: overwritten; its memory is used again.
template <class Derived, class Other>
void mse_loss(const Eigen::MatrixBase<Derived>& prediction, const Eigen::MatrixBase<Other>& target,
              const MSELossOptions& options, Loss<RowMatrix<typename Derived::Scalar>>& loss) {
  using Scalar = typename Derived::Scalar;
  if (prediction.rows() != target.rows() || prediction.cols() != target.cols()) {
    fail("mse_loss: target: expected the prediction's ",
         shape_string({prediction.rows(), prediction.cols()}), ", got ",
         shape_string({target.rows(), target.cols()}));
  }
  const double factor = detail::reduction_factor(options.reduction, prediction.size());
  loss.d_input.resize(prediction.rows(), prediction.cols());
  const auto sum =
      detail::squared_error(prediction, target, static_cast<Scalar>(2 * factor), loss.d_input);
  loss.value = static_cast<Scalar>(sum * static_cast<detail::SumOf<Scalar>>(factor));
}
template <class Scalar>
void mse_loss(const Tensor3<Scalar>& prediction,
              std::type_identity_t<Tensor3View<const Scalar>> target, const MSELossOptions& options,
              Loss<Tensor3<Scalar>>& loss) {
  if (prediction.size(0) != target.size(0) || prediction.size(1) != target.size(1) ||
      prediction.size(2) != target.size(2)) {
    fail("mse_loss: target: expected the prediction's ", prediction.shape(), ", got ",
         target.shape());
  }
  const double factor = detail::reduction_factor(options.reduction, prediction.size());
  loss.d_input.resize(prediction.size(0), prediction.size(1), prediction.size(2));
  detail::SumOf<Scalar> sum(0);
  for (Index i = 0; i < prediction.size(0); ++i) {
    sum += detail::squared_error(prediction[i], target[i], static_cast<Scalar>(2 * factor),
                                 loss.d_input[i]);
  }
  loss.value = static_cast<Scalar>(sum * static_cast<detail::SumOf<Scalar>>(factor));
}

///     auto [value, d_prediction] = recur::mse_loss(prediction, target);
template <class Derived, class Other>
Loss<RowMatrix<typename Derived::Scalar>> mse_loss(const Eigen::MatrixBase<Derived>& prediction,
                                                   const Eigen::MatrixBase<Other>& target,
                                                   const MSELossOptions& options = {}) {
  Loss<RowMatrix<typename Derived::Scalar>> loss;
  mse_loss(prediction, target, options, loss);
  return loss;
}
template <class Scalar>
Loss<Tensor3<Scalar>> mse_loss(const Tensor3<Scalar>& prediction,
                               std::type_identity_t<Tensor3View<const Scalar>> target,
                               const MSELossOptions& options = {}) {
  Loss<Tensor3<Scalar>> loss;
  mse_loss(prediction, target, options, loss);
  return loss;
}

}  // namespace recur::inline RECUR_ABI
