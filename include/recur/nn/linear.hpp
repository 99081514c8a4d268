// SPDX-License-Identifier: MIT
//
// torch.nn.Linear: y = x Wᵀ + b, on rows of features. The head of most recurrent models: a
// classifier on the last hidden state, or a prediction at every time step.
#pragma once

#include <cmath>

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/threads.hpp"

namespace recur::inline RECUR_ABI {

/// Arguments of torch.nn.Linear.
struct LinearOptions {
  Index in_features = 0;
  Index out_features = 0;
  bool bias = true;
};

/// y = x Wᵀ + b for every row x.
///
/// Shapes: x (N × in_features) → y (N × out_features); (T, B, in_features) → (T, B, out_features).
/// A slice output[t] or a block of rows goes in without a copy; a column-major matrix is copied.
/// Const member functions can be called from many threads. All errors are recur::Error and thrown
/// before anything is written.
///
///     recur::Linear<float> head({.in_features = 100, .out_features = 10});
///     auto [output, state] = lstm.forward(x);                 // (T, B, 100)
///     auto logits = head.forward(output[T - 1]);              // (B × 10), of the last step
///     auto loss = recur::cross_entropy(logits, labels);
///     auto gradients = head.backward(output[T - 1], loss.d_input);   // .input, .parameters
template <class Scalar_>
class Linear {
 public:
  using Scalar = Scalar_;
  using Options = LinearOptions;
  using Matrix = RowMatrix<Scalar>;
  using ConstMatrix = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;
  using ConstView = Tensor3View<const Scalar>;

  struct Parameters {
    RowMatrix<Scalar> weight;  ///< (out_features × in_features)
    Vector<Scalar> bias;       ///< (out_features); empty without bias

    /// f(name, p.weight...), f(name, p.bias...).
    static void visit(auto&& f, auto&... p) {
      f(ParameterName{"weight"}, p.weight...);
      if (((p.bias.size() > 0) || ...)) {
        f(ParameterName{"bias"}, p.bias...);
      }
    }
  };

  template <class Array>
  struct GradientsIn {
    Array input;  ///< by the input, in its shape
    Parameters parameters;
  };
  using Gradients = GradientsIn<Matrix>;
  using TensorGradients = GradientsIn<Tensor3<Scalar>>;

  /// Parameters ~ U(-1/sqrt(in_features), 1/sqrt(in_features)) from `generator`: with the same seed
  /// the numbers of torch.nn.Linear, up to rounding.
  explicit Linear(const Options& options, Generator& generator = default_generator())
      : options_(options) {
    check(options.in_features > 0, "Linear: in_features must be greater than zero, got ",
          options.in_features);
    check(options.out_features > 0, "Linear: out_features must be greater than zero, got ",
          options.out_features);
    const double bound = 1 / std::sqrt(static_cast<double>(options.in_features));
    parameters_.weight.resize(options.out_features, options.in_features);
    generator.fill_uniform(parameters_.weight, bound);
    if (options.bias) {
      parameters_.bias.resize(options.out_features);
      generator.fill_uniform(parameters_.bias, bound);
    }
    repack();
  }

  const Options& options() const { return options_; }
  Index in_features() const { return options_.in_features; }
  Index out_features() const { return options_.out_features; }
  const Parameters& parameters() const { return parameters_; }

  /// Calls f(Parameters&), then brings the packed copy up to date. Error where f resized one.
  template <class F>
  void update_parameters(F&& f) {
    change_parameters(parameters_, f, [this](ShapeRepair& repair) {
      repair(ParameterName{"weight"}, parameters_.weight, out_features(), in_features());
      repair(ParameterName{"bias"}, parameters_.bias, options_.bias ? out_features() : 0, Index{1});
      repack();
    });
  }

  Matrix forward(const ConstMatrix& x) const {
    Matrix y;
    forward(x, y);
    return y;
  }

  /// Into memory that is used again. y: overwritten, must not overlap x.
  void forward(const ConstMatrix& x, Matrix& y) const {
    check_input("Linear::forward", x.cols());
    y.resize(x.rows(), out_features());
    multiply(x.rows(), rows(x), y.data());
  }

  Tensor3<Scalar> forward(ConstView x) const {
    Tensor3<Scalar> y;
    forward(x, y);
    return y;
  }

  /// Into memory that is used again. y: overwritten, must not overlap x.
  void forward(ConstView x, Tensor3<Scalar>& y) const {
    check_input("Linear::forward", x.size(2));
    y.resize(x.size(0), x.size(1), out_features());
    for_each_matrix(
        x, [&](Index i, Index count, Rows x_rows) { multiply(count, x_rows, y.view().row(i, 0)); });
  }

  /// Gradients by x and the parameters. d_output: gradient of the loss by y, in its shape.
  Gradients backward(const ConstMatrix& x, const ConstMatrix& d_output) const {
    Gradients gradients;
    backward(x, d_output, gradients);
    return gradients;
  }

  /// The same into memory that is used again. gradients.parameters: added to (zero on first use,
  /// when empty); .input: overwritten.
  void backward(const ConstMatrix& x, const ConstMatrix& d_output, Gradients& gradients) const {
    check_input("Linear::backward", x.cols());
    if (d_output.rows() != x.rows() || d_output.cols() != out_features()) {
      fail("Linear::backward: d_output: expected ", shape_string({x.rows(), out_features()}),
           ", got ", shape_string({d_output.rows(), d_output.cols()}));
    }
    prepare(gradients.parameters);
    gradients.input.resize(x.rows(), in_features());
    add_gradients(x.rows(), rows(x), rows(d_output), gradients.parameters);
    multiply_back(x.rows(), rows(d_output), gradients.input.data());
  }

  TensorGradients backward(ConstView x, ConstView d_output) const {
    TensorGradients gradients;
    backward(x, d_output, gradients);
    return gradients;
  }

  /// As above, for three dimensions.
  void backward(ConstView x, ConstView d_output, TensorGradients& gradients) const {
    check_input("Linear::backward", x.size(2));
    if (d_output.size(0) != x.size(0) || d_output.size(1) != x.size(1) ||
        d_output.size(2) != out_features()) {
      fail("Linear::backward: d_output: expected ",
           shape_string({x.size(0), x.size(1), out_features()}), ", got ", d_output.shape());
    }
    prepare(gradients.parameters);
    gradients.input.resize(x.size(0), x.size(1), in_features());
    const auto add = [&](Index i, Index count, Rows x_rows, Rows d_rows) {
      add_gradients(count, x_rows, d_rows, gradients.parameters);
      multiply_back(count, d_rows, gradients.input.view().row(i, 0));
    };
    if (one_matrix(x) && one_matrix(d_output)) {
      add(0, x.size(0) * x.size(1), rows(x), rows(d_output));
    } else {
      for (Index i = 0; i < x.size(0); ++i) {
        add(i, x.size(1), rows(x.narrow(0, i, 1)), rows(d_output.narrow(0, i, 1)));
      }
    }
  }

 private:
  using Rows = kernels::GemmA<Scalar>;

  static Rows rows(const ConstMatrix& m) { return {m.data(), m.outerStride(), 1}; }
  static Rows rows(ConstView view) { return {view.data(), view.stride(1), 1}; }

  // True where all rows of a view are equally far apart, so that they are those of one matrix.
  static bool one_matrix(ConstView x) { return x.stride(0) == x.size(1) * x.stride(1); }

  // f(slice, number of rows, rows): once for all of them, or slice by slice.
  template <class F>
  static void for_each_matrix(ConstView x, F&& f) {
    if (one_matrix(x)) {
      f(Index(0), x.size(0) * x.size(1), rows(x));
    } else {
      for (Index i = 0; i < x.size(0); ++i) {
        f(i, x.size(1), rows(x.narrow(0, i, 1)));
      }
    }
  }

  void repack() {
    packed_.assign_transposed(parameters_.weight, 0, out_features());
    packed_back_.assign(parameters_.weight, 0, out_features());
  }

  void check_input(const char* function, Index features) const {
    check(features == in_features(), function,
          ": input.size(-1) must be equal to in_features. Expected ", in_features(), ", got ",
          features);
  }

  void prepare(Parameters& gradients) const {
    if (gradients.weight.size() == 0) {
      gradients = zero_gradients(*this);
    }
    check_gradients(parameters_, gradients);
  }

  int useful_threads(Index count) const {
    return kernels::useful_threads(static_cast<double>(count * in_features() * out_features()));
  }

  // y (count × out) = x Wᵀ + b
  void multiply(Index count, Rows x, Scalar* y) const {
    const kernels::FlushDenormals flush;
    const bool bias = parameters_.bias.size() > 0;
    kernels::parallel_ranges(
        useful_threads(count), count, kernels::tile_rows, [&](Index first, Index last) {
          kernels::gemm<Scalar>(last - first, out_features(), in_features(),
                                {x.data + first * x.row_stride, x.row_stride, 1}, packed_.operand(),
                                {y + first * out_features(), out_features()},
                                bias ? kernels::Start::bias : kernels::Start::zero,
                                bias ? parameters_.bias.data() : nullptr);
        });
  }

  // dx (count × in) = dy W
  void multiply_back(Index count, Rows dy, Scalar* dx) const {
    const kernels::FlushDenormals flush;
    kernels::parallel_ranges(
        useful_threads(count), count, kernels::tile_rows, [&](Index first, Index last) {
          kernels::gemm<Scalar>(last - first, in_features(), out_features(),
                                {dy.data + first * dy.row_stride, dy.row_stride, 1},
                                packed_back_.operand(), {dx + first * in_features(), in_features()},
                                kernels::Start::zero, nullptr, {kernels::SumOf::gradients});
        });
  }

  // dW (out × in) += dyᵀ x,  db += the sum of the rows of dy
  void add_gradients(Index count, Rows x, Rows dy, Parameters& gradients) const {
    const kernels::FlushDenormals flush;
    kernels::parallel_ranges(
        useful_threads(count), out_features(), kernels::tile_rows, [&](Index first, Index last) {
          kernels::gemm<Scalar>(last - first, in_features(), count,
                                {dy.data + first, 1, dy.row_stride},
                                kernels::RowsB<Scalar>{x.data, x.row_stride},
                                {gradients.weight.data() + first * in_features(), in_features()},
                                kernels::Start::accumulate);
        });
    if (options_.bias) {
      for (Index k = 0; k < count; ++k) {
        gradients.bias +=
            Eigen::Map<const Vector<Scalar>>(dy.data + k * dy.row_stride, out_features());
      }
    }
  }

  Options options_;
  Parameters parameters_;
  kernels::PackedMatrix<Scalar> packed_;       // Wᵀ
  kernels::PackedMatrix<Scalar> packed_back_;  // W
};

}  // namespace recur::inline RECUR_ABI
