// SPDX-License-Identifier: MIT
#include "recur/kernels/gemm_row.hpp"

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace gemm_row_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::test::random_matrix;
namespace detail = recur::kernels::detail;

// Two panels at once are what each is alone.
TEST(GemmRow, OfTwoPanels) {
  using V = recur::kernels::Vec<double>;
  constexpr Index columns = 2 * V::width;
  constexpr Index K = 9;
  recur::Generator generator(1);
  const auto a = random_matrix<double>(generator, 1, K);
  const auto b = random_matrix<double>(generator, 2 * K, columns);
  const auto bias = random_matrix<double>(generator, 1, 2 * columns);
  RowMatrix<double> c(1, 2 * columns);
  detail::gemm_row<V, 2, 2>(K, a.data(), 1, b.data(), K * columns, c.data(),
                            recur::kernels::Start::bias, bias.data());
  RowMatrix<double> expected = bias;
  expected.leftCols(columns) += a * b.topRows(K);
  expected.rightCols(columns) += a * b.bottomRows(K);
  EXPECT_LT((c - expected).cwiseAbs().maxCoeff(), 1e-14);
}

}  // namespace
}  // namespace gemm_row_test
