// SPDX-License-Identifier: MIT
//
// torch.nn.Dropout: zeroes elements at random in training and scales the others up, so that the
// expected value stays. (Dropout between the layers of an LSTM is an option of the LSTM.)
#pragma once

#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// Every element is zero with probability p, else multiplied by 1/(1-p): y = mask * x.
///
/// The mask holds 0 or 1/(1-p) in the shape of x, and is all that backward needs. Matrices
/// (row-major, slices and blocks of rows without a copy) and tensors of three dimensions. There is
/// no training flag: forward with a generator is training, forward without one is evaluation, the
/// identity.
///
///     const recur::Dropout<float> dropout(0.5);
///     recur::RowMatrix<float> mask;
///     auto y = dropout.forward(x, recur::default_generator(), mask);
///     auto dx = dropout.backward(dy, mask);
template <class Scalar_>
class Dropout {
 public:
  using Scalar = Scalar_;
  using Matrix = RowMatrix<Scalar>;
  using ConstMatrix = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;
  using ConstView = Tensor3View<const Scalar>;

  /// Error unless p is in [0, 1].
  explicit Dropout(double p = 0.5) { set_p(p); }

  double p() const { return p_; }
  /// Probability of zero from the next call on.
  void set_p(double p) {
    check(p >= 0 && p <= 1, "dropout probability has to be between 0 and 1, but got ", p);
    p_ = p;
  }

  /// Evaluation: x as it is.
  Matrix forward(const ConstMatrix& x) const { return x; }
  Tensor3<Scalar> forward(ConstView x) const { return Tensor3<Scalar>(x); }

  /// Training. mask: overwritten.
  Matrix forward(const ConstMatrix& x, Generator& generator, Matrix& mask) const {
    Matrix y;
    forward(x, generator, mask, y);
    return y;
  }
  Tensor3<Scalar> forward(ConstView x, Generator& generator, Tensor3<Scalar>& mask) const {
    Tensor3<Scalar> y;
    forward(x, generator, mask, y);
    return y;
  }

  /// Training into memory that is used again. mask, y: overwritten; y may be x.
  void forward(const ConstMatrix& x, Generator& generator, Matrix& mask, Matrix& y) const {
    mask.resize(x.rows(), x.cols());
    draw(generator, mask.data(), mask.size());
    y.resize(x.rows(), x.cols());
    y = x.cwiseProduct(mask);
  }
  void forward(ConstView x, Generator& generator, Tensor3<Scalar>& mask, Tensor3<Scalar>& y) const {
    mask.resize(x.size(0), x.size(1), x.size(2));
    draw(generator, mask.data(), mask.size());
    multiply(x, mask, y);
  }

  /// Gradient by x: mask * d_output. Error when their shapes differ.
  Matrix backward(const ConstMatrix& d_output, const ConstMatrix& mask) const {
    Matrix d_input;
    backward(d_output, mask, d_input);
    return d_input;
  }
  Tensor3<Scalar> backward(ConstView d_output, ConstView mask) const {
    Tensor3<Scalar> d_input;
    backward(d_output, mask, d_input);
    return d_input;
  }

  /// Into memory that is used again. d_input: overwritten; may be d_output.
  void backward(const ConstMatrix& d_output, const ConstMatrix& mask, Matrix& d_input) const {
    if (d_output.rows() != mask.rows() || d_output.cols() != mask.cols()) {
      fail("Dropout::backward: d_output: expected the mask's ",
           shape_string({mask.rows(), mask.cols()}), ", got ",
           shape_string({d_output.rows(), d_output.cols()}));
    }
    d_input.resize(mask.rows(), mask.cols());
    d_input = d_output.cwiseProduct(mask);
  }
  void backward(ConstView d_output, ConstView mask, Tensor3<Scalar>& d_input) const {
    if (d_output.size(0) != mask.size(0) || d_output.size(1) != mask.size(1) ||
        d_output.size(2) != mask.size(2)) {
      fail("Dropout::backward: d_output: expected the mask's ", mask.shape(), ", got ",
           d_output.shape());
    }
    multiply(d_output, mask, d_input);
  }

 private:
  void draw(Generator& generator, Scalar* mask, Index count) const {
    const Scalar keep = p_ < 1 ? static_cast<Scalar>(1 / (1 - p_)) : Scalar(0);
    for (Index k = 0; k < count; ++k) {
      mask[k] = generator.uniform(0.0, 1.0) < p_ ? Scalar(0) : keep;
    }
  }

  static void multiply(ConstView x, ConstView mask, Tensor3<Scalar>& y) {
    y.resize(x.size(0), x.size(1), x.size(2));
    for (Index i = 0; i < x.size(0); ++i) {
      y[i] = x[i].cwiseProduct(mask[i]);
    }
  }

  double p_ = 0;
};

}  // namespace recur::inline RECUR_ABI
