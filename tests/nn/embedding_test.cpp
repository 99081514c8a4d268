// SPDX-License-Identifier: MIT
#include "recur/nn/embedding.hpp"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "golden/nn.hpp"
#include "support/arrays.hpp"
#include "support/gradient_check.hpp"
#include "support/resized_parameters.hpp"

namespace embedding_test {
namespace {

namespace golden = recur::golden::nn;
using recur::Embedding;
using recur::Error;
using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::error_of;
using recur::test::expect_near;

template <class Scalar>
Embedding<Scalar> golden_embedding() {
  Embedding<Scalar> embedding({.num_embeddings = 5, .embedding_dim = 3, .padding_idx = 2});
  embedding.update_parameters(
      [](auto& p) { recur::test::fill(p.weight, golden::embedding_weight); });
  return embedding;
}

RowMatrix<Index> golden_indices() {
  return recur::test::matrix_of<Index>(golden::embedding_indices, 2, 4);
}

TEST(Embedding, IsTorchs) {
  const auto embedding = golden_embedding<double>();
  const auto dy = recur::test::tensor_of<double>(golden::embedding_d_output, 2, 4, 3);
  const Tensor3<double> y = embedding.forward(golden_indices());
  EXPECT_EQ(y.shape(), "(2, 4, 3)");
  expect_near(y, golden::embedding_y, 0);
  expect_near(embedding.backward(golden_indices(), dy).parameters.weight,
              golden::embedding_d_weight, 1e-12);

  const RowMatrix<Index> matrix = golden_indices();
  const std::vector<Index> list(matrix.data(), matrix.data() + matrix.size());
  expect_near(embedding.forward(list), golden::embedding_y, 0);
  expect_near(embedding.backward(list, dy.rows()).parameters.weight, golden::embedding_d_weight,
              1e-12);
}

TEST(Embedding, IsTorchsInFloat) {
  const auto embedding = golden_embedding<float>();
  const auto dy = recur::test::tensor_of<float>(golden::embedding_d_output, 2, 4, 3);
  expect_near(embedding.forward(golden_indices()), golden::embedding_y, 1e-7);
  expect_near(embedding.backward(golden_indices(), dy).parameters.weight,
              golden::embedding_d_weight, 1e-6);
}

TEST(Embedding, GradientsAreThoseOfFiniteDifferences) {
  const std::vector<Index> list = {1, 3, 3, 0};
  Embedding<double> embedding({.num_embeddings = 4, .embedding_dim = 2});
  const RowMatrix<double> dy = embedding.forward(list);  // of the loss |y|²/2
  const auto gradients = embedding.backward(list, dy);
  recur::test::expect_parameter_gradients(
      embedding, gradients.parameters, [&] { return embedding.forward(list).squaredNorm() / 2; },
      1e-3, 1e-9);
}

TEST(Embedding, BackwardAdds) {
  const auto embedding = golden_embedding<double>();
  const auto dy = recur::test::tensor_of<double>(golden::embedding_d_output, 2, 4, 3);
  Embedding<double>::Gradients gradients;
  embedding.backward(golden_indices(), dy, gradients);
  const auto once = gradients.parameters.weight;
  embedding.backward(golden_indices(), dy, gradients);
  EXPECT_TRUE(gradients.parameters.weight.isApprox(2 * once, 1e-14));
  EXPECT_TRUE(gradients.parameters.weight.row(2).isZero(0));
}

TEST(Embedding, StartsNormalWithAZeroPaddingRow) {
  recur::Generator generator(1);
  const Embedding<double> embedding({.num_embeddings = 100, .embedding_dim = 100, .padding_idx = 7},
                                    generator);
  const auto& weight = embedding.parameters().weight;
  EXPECT_TRUE(weight.row(7).isZero(0));
  EXPECT_NEAR(weight.mean(), 0, 0.03);
  EXPECT_NEAR(weight.squaredNorm() / 9900, 1, 0.05);
}

TEST(Embedding, ErrorsNameIndexAndPosition) {
  const auto embedding = golden_embedding<double>();
  const std::vector<Index> list = {0, 4, 5};
  EXPECT_EQ(error_of([&] { embedding.forward(list); }),
            "Embedding::forward: index out of range in self: got 5 at position 2, expected 0 to 4");
  RowMatrix<Index> matrix = golden_indices();
  matrix(1, 2) = -1;
  EXPECT_EQ(
      error_of([&] { embedding.forward(matrix); }),
      "Embedding::forward: index out of range in self: got -1 at position (1, 2), expected 0 to 4");
  Embedding<double>::Gradients gradients;
  EXPECT_THROW(embedding.backward(matrix, Tensor3<double>(2, 4, 3), gradients), Error);
  EXPECT_EQ(gradients.parameters.weight.size(), 0);  // nothing was written
  EXPECT_EQ(error_of([&] { embedding.backward(golden_indices(), Tensor3<double>(2, 4, 4)); }),
            "Embedding::backward: d_output: expected (2, 4, 3), got (2, 4, 4)");
  EXPECT_EQ(
      error_of([&] { embedding.backward(std::vector<Index>{1}, RowMatrix<double>::Zero(2, 3)); }),
      "Embedding::backward: d_output: expected (1, 3), got (2, 3)");
  EXPECT_EQ(error_of([] {
              Embedding<double>({.num_embeddings = 3, .embedding_dim = 2, .padding_idx = 3});
            }),
            "Padding_idx must be within num_embeddings: expected -1 (none) to 2, got 3");
  EXPECT_THROW(Embedding<double>({.num_embeddings = 0, .embedding_dim = 2}), Error);
  EXPECT_THROW(Embedding<double>({.num_embeddings = 2, .embedding_dim = 0}), Error);
}

TEST(Embedding, ParameterResizedByAnUpdateIsAnErrorAndRestored) {
  recur::Generator generator(2);
  const std::vector<recur::Index> indices = {0, 2, 1};
  recur::test::expect_resizing_is_refused(
      recur::Embedding<double>({.num_embeddings = 3, .embedding_dim = 4}, generator),
      [&](const auto& embedding) { return embedding.forward(indices); });
}

}  // namespace
}  // namespace embedding_test
