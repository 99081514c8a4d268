// SPDX-License-Identifier: MIT
#include "recur/layers/matrix_views.hpp"

#include <type_traits>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace matrix_views_test {
namespace {

using recur::Index;
using recur::RowMatrix;
namespace layers = recur::layers;

TEST(MatrixViews, RowMajorAndColumnMajorAreTheSameSequence) {
  recur::Generator generator(1);
  RowMatrix<double> by_rows = recur::test::random_matrix<double>(generator, 4, 3);
  Eigen::MatrixXd by_columns = by_rows.transpose();
  EXPECT_EQ(layers::sequence_steps(by_columns), 4);
  EXPECT_EQ(layers::sequence_features(by_columns), 3);
  const auto rows = layers::matrix_view(by_rows);
  const auto columns = layers::matrix_view(by_columns);
  EXPECT_EQ(rows.shape(), "(4, 1, 3)");
  EXPECT_EQ(columns.shape(), "(4, 1, 3)");
  EXPECT_EQ(columns.data(), by_columns.data());
  for (Index t = 0; t < 4; ++t) {
    for (Index j = 0; j < 3; ++j) {
      EXPECT_EQ(rows(t, 0, j), by_rows(t, j));
      EXPECT_EQ(columns(t, 0, j), by_rows(t, j));
    }
  }
}

TEST(MatrixViews, BlocksAreNotCopied) {
  const RowMatrix<double> big = RowMatrix<double>::Random(6, 7);
  const auto block = big.block(1, 2, 4, 3);
  const layers::MatrixRef<std::remove_const_t<decltype(block)>> reference(block);
  const auto view = layers::matrix_view(reference);
  EXPECT_EQ(view.data(), &big(1, 2));
  EXPECT_EQ(view.stride(0), 7);
  EXPECT_EQ(view(3, 0, 2), big(4, 4));
  static_assert(std::is_same_v<decltype(view), const recur::Tensor3View<const double>>);
}

TEST(MatrixViews, WithoutElementsOnlyNoSizesIsLeftOut) {
  RowMatrix<double> none;
  RowMatrix<double> no_steps(0, 3);
  EXPECT_TRUE(layers::matrix_view(none).absent());
  EXPECT_FALSE(layers::matrix_view(no_steps).absent());
  EXPECT_EQ(layers::matrix_view(no_steps).size(2), 3);
}

TEST(MatrixViews, States) {
  recur::LSTMState<Eigen::MatrixXf> state{Eigen::MatrixXf(5, 2), {}};
  EXPECT_EQ(layers::matrix_state_view(state).h.shape(), "(2, 1, 5)");
  EXPECT_TRUE(layers::matrix_state_view(state).c.absent());
  const recur::HiddenState<RowMatrix<float>> hidden{RowMatrix<float>(2, 5)};
  EXPECT_EQ(layers::matrix_state_view(hidden).h.shape(), "(2, 1, 5)");
}

TEST(MatrixViews, ResizeInTheirOwnOrder) {
  RowMatrix<double> by_rows;
  Eigen::MatrixXd by_columns;
  layers::resize_matrix(by_rows, 4, 3);
  layers::resize_matrix(by_columns, 4, 3);
  EXPECT_EQ(by_rows.rows(), 4);
  EXPECT_EQ(by_columns.rows(), 3);
}

}  // namespace
}  // namespace matrix_views_test
