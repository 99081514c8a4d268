// SPDX-License-Identifier: MIT
//
// torch.nn.Embedding: a table of rows looked up by index. What turns characters, words or
// categories into the input of a recurrent layer.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// Arguments of torch.nn.Embedding.
struct EmbeddingOptions {
  Index num_embeddings = 0;  ///< rows of the table
  Index embedding_dim = 0;   ///< features of a row
  Index padding_idx = -1;    ///< this row starts as zero and gets no gradient; -1: none
};

/// Row k of the table for every index k.
///
/// Shapes: N indices → (N × embedding_dim); indices (T × B), as an Eigen matrix of Index → a
/// Tensor3 (T, B, embedding_dim), the input of a recurrent layer. Const member functions can be
/// called from many threads. All errors are recur::Error and thrown before anything is written.
///
///     recur::Embedding<float> embedding({.num_embeddings = 4, .embedding_dim = 10});
///     std::vector<recur::Index> word = {0, 1, 2, 2, 3};
///     recur::RowMatrix<float> x = embedding.forward(word);      // (5 × 10)
template <class Scalar_>
class Embedding {
 public:
  using Scalar = Scalar_;
  using Options = EmbeddingOptions;
  using Matrix = RowMatrix<Scalar>;
  using ConstMatrix = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;
  using ConstView = Tensor3View<const Scalar>;
  using Indices = std::span<const Index>;
  using IndexMatrix = Eigen::Ref<const RowMatrix<Index>, 0, Eigen::OuterStride<>>;

  struct Parameters {
    RowMatrix<Scalar> weight;  ///< (num_embeddings × embedding_dim)

    static void visit(auto&& f, auto&... p) { f(ParameterName{"weight"}, p.weight...); }
  };
  struct Gradients {
    Parameters parameters;
  };

  /// weight ~ N(0, 1) from `generator`; the row padding_idx is zero.
  explicit Embedding(const Options& options, Generator& generator = default_generator())
      : options_(options) {
    check(options.num_embeddings > 0, "Embedding: num_embeddings must be greater than zero, got ",
          options.num_embeddings);
    check(options.embedding_dim > 0, "Embedding: embedding_dim must be greater than zero, got ",
          options.embedding_dim);
    check(options.padding_idx >= -1 && options.padding_idx < options.num_embeddings,
          "Padding_idx must be within num_embeddings: expected -1 (none) to ",
          options.num_embeddings - 1, ", got ", options.padding_idx);
    parameters_.weight.resize(options.num_embeddings, options.embedding_dim);
    generator.fill_normal(parameters_.weight);
    if (options.padding_idx >= 0) {
      parameters_.weight.row(options.padding_idx).setZero();
    }
  }

  const Options& options() const { return options_; }
  Index num_embeddings() const { return options_.num_embeddings; }
  Index embedding_dim() const { return options_.embedding_dim; }
  const Parameters& parameters() const { return parameters_; }

  /// Calls f(Parameters&). Error where f resized one.
  template <class F>
  void update_parameters(F&& f) {
    change_parameters(parameters_, f, [this](ShapeRepair& repair) {
      repair(ParameterName{"weight"}, parameters_.weight, num_embeddings(), embedding_dim());
    });
  }

  Matrix forward(Indices indices) const {
    Matrix y;
    forward(indices, y);
    return y;
  }

  /// Into memory that is used again. y: overwritten.
  void forward(Indices indices, Matrix& y) const {
    const Index count = static_cast<Index>(indices.size());
    check_indices("Embedding::forward", count, 1, indices.data(), 1);
    y.resize(count, embedding_dim());
    for (Index k = 0; k < count; ++k) {
      y.row(k) = parameters_.weight.row(indices[static_cast<std::size_t>(k)]);
    }
  }

  Tensor3<Scalar> forward(const IndexMatrix& indices) const {
    Tensor3<Scalar> y;
    forward(indices, y);
    return y;
  }

  /// Into memory that is used again. y: overwritten.
  void forward(const IndexMatrix& indices, Tensor3<Scalar>& y) const {
    check_matrix("Embedding::forward", indices);
    y.resize(indices.rows(), indices.cols(), embedding_dim());
    for (Index i = 0; i < indices.rows(); ++i) {
      for (Index j = 0; j < indices.cols(); ++j) {
        y[i].row(j) = parameters_.weight.row(indices(i, j));
      }
    }
  }

  /// Gradients by the table: the sum of d_output's rows over the places where an index occurs.
  /// d_output: gradient of the loss by y, in its shape.
  Gradients backward(Indices indices, const ConstMatrix& d_output) const {
    Gradients gradients;
    backward(indices, d_output, gradients);
    return gradients;
  }

  /// gradients.parameters: added to (zero on first use, when empty).
  void backward(Indices indices, const ConstMatrix& d_output, Gradients& gradients) const {
    const Index count = static_cast<Index>(indices.size());
    check_indices("Embedding::backward", count, 1, indices.data(), 1);
    if (d_output.rows() != count || d_output.cols() != embedding_dim()) {
      fail("Embedding::backward: d_output: expected ", shape_string({count, embedding_dim()}),
           ", got ", shape_string({d_output.rows(), d_output.cols()}));
    }
    prepare(gradients.parameters);
    for (Index k = 0; k < count; ++k) {
      add_row(indices[static_cast<std::size_t>(k)], d_output.row(k), gradients.parameters);
    }
  }

  Gradients backward(const IndexMatrix& indices, ConstView d_output) const {
    Gradients gradients;
    backward(indices, d_output, gradients);
    return gradients;
  }

  /// gradients.parameters: added to (zero on first use, when empty).
  void backward(const IndexMatrix& indices, ConstView d_output, Gradients& gradients) const {
    check_matrix("Embedding::backward", indices);
    if (d_output.size(0) != indices.rows() || d_output.size(1) != indices.cols() ||
        d_output.size(2) != embedding_dim()) {
      fail("Embedding::backward: d_output: expected ",
           shape_string({indices.rows(), indices.cols(), embedding_dim()}), ", got ",
           d_output.shape());
    }
    prepare(gradients.parameters);
    for (Index i = 0; i < indices.rows(); ++i) {
      for (Index j = 0; j < indices.cols(); ++j) {
        add_row(indices(i, j), d_output[i].row(j), gradients.parameters);
      }
    }
  }

 private:
  void check_matrix(const char* function, const IndexMatrix& indices) const {
    check_indices(function, indices.rows(), indices.cols(), indices.data(), indices.outerStride());
  }

  void check_indices(const char* function, Index rows, Index columns, const Index* indices,
                     Index row_stride) const {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < columns; ++j) {
        const Index index = indices[i * row_stride + j];
        if (index < 0 || index >= num_embeddings()) {
          const bool list = columns == 1 && row_stride == 1;
          const std::string position = list ? std::to_string(i) : shape_string({i, j});
          fail(function, ": index out of range in self: got ", index, " at position ", position,
               ", expected 0 to ", num_embeddings() - 1);
        }
      }
    }
  }

  void prepare(Parameters& gradients) const {
    if (gradients.weight.size() == 0) {
      gradients = zero_gradients(*this);
    }
    check_gradients(parameters_, gradients);
  }

  template <class Row>
  void add_row(Index index, const Row& row, Parameters& gradients) const {
    if (index != options_.padding_idx) {
      gradients.weight.row(index) += row;
    }
  }

  Options options_;
  Parameters parameters_;
};

}  // namespace recur::inline RECUR_ABI
