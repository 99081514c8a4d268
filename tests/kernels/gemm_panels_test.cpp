// SPDX-License-Identifier: MIT
//
// The ways through the panels; products of every shape are in gemm_test.cpp.
#include "recur/kernels/gemm_panels.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_panels_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::Manner;
using recur::kernels::Start;
using recur::kernels::SumOf;
namespace detail = recur::kernels::detail;

TEST(GemmPanels, GroupsFromTheFirstAndBack) {
  const auto walk = [](bool back) {
    std::vector<std::vector<Index>> groups;
    const detail::Groups all(2, 9, 3, back);
    for (Index k = 0; k < all.count(); ++k) {
      groups.push_back({all[k].first, all[k].last, all[k].next});
    }
    return groups;
  };
  using Groups = std::vector<std::vector<Index>>;
  EXPECT_EQ(walk(false), (Groups{{2, 5, 5}, {5, 8, 8}, {8, 9, 9}}));
  EXPECT_EQ(walk(true), (Groups{{8, 9, 5}, {5, 8, 2}, {2, 5, 9}}));
  EXPECT_EQ(detail::Groups(4, 4, 3, false).count(), 0);
}

// Panel by panel and block by block: the same sums, to the bit.
TEST(GemmPanels, BlockByBlockEqualsPanelByPanel) {
  for (const Index N : {1, 70, 200}) {
    for (const Index K : {90, 390, 700}) {
      constexpr Index M = 50;
      recur::Generator generator(static_cast<std::uint64_t>(N * 1000 + K));
      const auto a = recur::test::random_matrix<float>(generator, M, K);
      const auto b = recur::test::random_matrix<float>(generator, K, N);
      const auto bias = recur::test::random_matrix<float>(generator, 1, N);
      recur::kernels::PackedMatrix<float> packed;
      packed.assign(K, N, recur::kernels::RowsB<float>{b.data(), N});
      const Manner manner{.what = SumOf::gradients};
      const auto product = [&](RowMatrix<float>& c) {
        return detail::Product<float>{M,
                                      N,
                                      K,
                                      detail::length_of_block(K, manner.what),
                                      {a.data(), K, 1},
                                      packed.operand().data,
                                      {c.data(), N},
                                      Start::bias,
                                      bias.data(),
                                      manner};
      };
      RowMatrix<float> by_panels(M, N);
      RowMatrix<float> by_blocks(M, N);
      detail::gemm_by_panels(product(by_panels));
      detail::gemm_by_blocks(product(by_blocks));
      EXPECT_TRUE(by_panels == by_blocks) << "N " << N << ", K " << K;
      const RowMatrix<double> exact =
          (a.cast<double>() * b.cast<double>()).rowwise() + bias.cast<double>().row(0);
      EXPECT_LT((by_panels.cast<double>() - exact).cwiseAbs().maxCoeff(), 1e-4);
      EXPECT_EQ(detail::goes_block_by_block(product(by_panels)),
                K >= 4 * detail::terms_in_one_go(manner.what).most);
    }
  }
}

}  // namespace
}  // namespace gemm_panels_test
