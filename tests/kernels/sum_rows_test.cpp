// SPDX-License-Identifier: MIT
#include "recur/kernels/sum_rows.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace sum_rows_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::Start;
using recur::kernels::sum_rows;
using recur::test::random_matrix;

// Rows stand this much further apart than they are long; what is between must stay as it is.
constexpr Index gap = 3;

TEST(SumRows, OfEverySize) {
  recur::Generator generator(1);
  for (const Index K : {0, 1, 4, 5, 50}) {
    for (const Index N : {1, 3, 16, 37, 64, 150}) {
      SCOPED_TRACE(testing::Message() << K << " rows of " << N);
      const auto b = random_matrix<double>(generator, K, N + gap);
      RowMatrix<double> sum = random_matrix<double>(generator, 1, N + gap);
      RowMatrix<double> also = random_matrix<double>(generator, 1, N + gap);
      RowMatrix<double> expected = sum;
      RowMatrix<double> expected_also = also;
      const RowMatrix<double> of_b = b.leftCols(N).colwise().sum();
      expected.leftCols(N) += of_b;
      expected_also.leftCols(N) += of_b;
      RowMatrix<double> alone = sum;
      const recur::kernels::RowsB<double> rows{b.data(), N + gap};
      sum_rows<double>(K, N, rows, Start::accumulate, sum.data(), also.data());
      sum_rows<double>(K, N, rows, Start::accumulate, alone.data());
      EXPECT_LT((sum - expected).cwiseAbs().maxCoeff(), 1e-13);
      EXPECT_LT((also - expected_also).cwiseAbs().maxCoeff(), 1e-13);
      EXPECT_TRUE(alone == sum);
      EXPECT_TRUE(sum.rightCols(gap) == expected.rightCols(gap));
      sum.leftCols(N).setConstant(std::numeric_limits<double>::quiet_NaN());
      sum_rows<double>(K, N, rows, Start::zero, sum.data());
      EXPECT_LT((sum.leftCols(N) - of_b).cwiseAbs().maxCoeff(), 1e-13);
    }
  }
}

// Sums of equal numbers, whose roundings all go the same way: one by one in float they would be
// wrong by 4e-5 of themselves.
TEST(SumRows, ManyLoseNoDigits) {
  constexpr Index K = 6000;
  constexpr float term = 0.7F;
  const double exact = double{term} * K;
  const RowMatrix<float> rows = RowMatrix<float>::Constant(K, 20, term);
  RowMatrix<float> sum(1, 20);
  sum_rows<float>(K, 20, {rows.data(), 20}, Start::zero, sum.data());
  for (const float x : sum.reshaped()) {
    EXPECT_NEAR(x, exact, 1.2e-7 * exact);
  }
}

}  // namespace
}  // namespace sum_rows_test
