// SPDX-License-Identifier: MIT
//
// A row times a matrix of one register of columns: whole numbers against the definition, any
// numbers against the product of a panel, bit by bit.
#include "recur/kernels/quarters.hpp"

#include <utility>

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace quarters_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::native_width;
using recur::kernels::Vec;
namespace detail = recur::kernels::detail;

template <Index registers>
void check() {
  if constexpr (detail::has_quarters<float>) {
    using V = Vec<float>;
    constexpr Index K = registers * V::width;
    SCOPED_TRACE(K);
    const auto product = [](const RowMatrix<float>& row, const RowMatrix<float>& b, V start) {
      const detail::TurnedMatrix<float, K> turned(b.data());
      V factors[registers];
      for (Index k = 0; k < registers; ++k) {
        factors[k] = V::load(row.data() + k * V::width);
      }
      RowMatrix<float> alone(1, V::width);
      turned.product(factors).store(alone.data());
      RowMatrix<float> sum(1, V::width);
      turned.add_product(start, factors).store(sum.data());
      return std::pair(alone, sum);
    };
    RowMatrix<float> row(1, K);
    RowMatrix<float> b(K, V::width);
    for (Index k = 0; k < K; ++k) {
      row(0, k) = static_cast<float>(k % 7 - 3);
      for (Index n = 0; n < V::width; ++n) {
        b(k, n) = static_cast<float>((5 * k + 3 * n) % 11 - 5);
      }
    }
    const auto [alone, sum] = product(row, b, V(2.0F));
    EXPECT_TRUE(alone == row * b);
    EXPECT_TRUE(sum == ((row * b).array() + 2.0F).matrix());

    recur::Generator generator(K);
    row = recur::test::random_matrix<float>(generator, 1, K);
    b = recur::test::random_matrix<float>(generator, K, V::width);
    const RowMatrix<float> start = recur::test::random_matrix<float>(generator, 1, V::width);
    RowMatrix<float> expected = start;
    ASSERT_TRUE(detail::gemm_panel_in_parts<float>(
        recur::kernels::parts_of_sum(K, 1), 1, V::width, K, {row.data(), K, 1}, b.data(), V::width,
        {expected.data(), V::width}, recur::kernels::Start::accumulate, nullptr, false));
    EXPECT_TRUE(product(row, b, V::load(start.data())).second == expected);
    ASSERT_TRUE(detail::gemm_panel_in_parts<float>(
        recur::kernels::parts_of_sum(K, 1), 1, V::width, K, {row.data(), K, 1}, b.data(), V::width,
        {expected.data(), V::width}, recur::kernels::Start::zero, nullptr, false));
    EXPECT_TRUE(product(row, b, V(0.0F)).first == expected);
  }
}

TEST(Quarters, ProductIsThatOfAPanel) {
  check<1>();
  check<2>();
  check<3>();
  check<4>();
}

}  // namespace
}  // namespace quarters_test
