// SPDX-License-Identifier: MIT
#include "recur/kernels/gemm_columns.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_columns_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::PackedMatrix;
using recur::kernels::Panels;
using recur::kernels::parts_from;
using recur::kernels::RowsB;
using recur::kernels::Start;
using recur::kernels::tile_columns;
using recur::test::random_matrix;

// Threads share columns in the middle of a panel, too: not a bit changes.
template <class Scalar>
void check_shared_columns() {
  for (const Index K : {1, 20, 33, 140}) {
    for (Index N = 1; N <= 5 * tile_columns<Scalar>; N += 7) {
      for (const Index M : {1, 5, 6, 20}) {
        recur::Generator generator(static_cast<std::uint64_t>(M * 10007 + N * 101 + K));
        const auto a = random_matrix<Scalar>(generator, M, K);
        const auto b = random_matrix<Scalar>(generator, K, N);
        const auto before = random_matrix<Scalar>(generator, M, N);
        PackedMatrix<Scalar> panels;
        panels.assign(K, N, RowsB<Scalar>{b.data(), N});
        const auto multiply = [&](int threads, bool back) {
          RowMatrix<Scalar> sums = before;
          recur::kernels::gemm_by_columns<Scalar>({threads, back}, M, N, K, {a.data(), K, 1},
                                                  panels.operand(), {sums.data(), N},
                                                  Start::accumulate);
          return sums;
        };
        const RowMatrix<Scalar> alone = multiply(1, false);
        for (int threads = 2; threads <= 5; ++threads) {
          for (const bool back : {false, true}) {
            ASSERT_TRUE(multiply(threads, back) == alone)
                << "M " << M << ", N " << N << ", K " << K << ", threads " << threads;
          }
        }
      }
    }
  }
}

TEST(GemmColumns, ColumnsSharedByThreadsGiveTheSameBits) {
  check_shared_columns<float>();
  check_shared_columns<double>();
}

TEST(GemmColumns, PartsBeginBehindWholePanelsThatStandTogether) {
  constexpr Index panel = tile_columns<float>;
  EXPECT_EQ(parts_from<float>(1), 0);
  EXPECT_EQ(parts_from<float>(panel), 0) << "it stands alone";
  EXPECT_EQ(parts_from<float>(2 * panel), 2 * panel);
  for (Index N = 1; N <= 6 * panel; ++N) {
    const Index whole = Panels<float>(N).whole();
    EXPECT_EQ(parts_from<float>(N), whole > 1 ? whole * panel : 0);
  }
}

// One row or a few take whole panels, so many threads whatever there is; all columns once.
TEST(GemmColumns, AreSharedByPanelsOrRegisters) {
  constexpr Index N = 5 * tile_columns<float> + 3;
  for (const Index M : {1, 5, 6}) {
    for (int threads = 1; threads <= 7; ++threads) {
      std::vector<int> taken(N, 0);
      recur::kernels::parallel_columns<float>(threads, M, N, 9, 3, [&](Index first, Index last) {
        const Panels<float> panels(N - 3);
        if (M == 1 && first < N - 3) {
          EXPECT_EQ(panels.begin(panels.at(first)), first);
        }
        EXPECT_EQ(first % recur::kernels::native_width<float>, 0);
        for (Index n = first; n < last; ++n) {
          ++taken[static_cast<std::size_t>(n)];
        }
      });
      EXPECT_EQ(std::count(taken.begin(), taken.end(), 1), N);
    }
  }
}

}  // namespace
}  // namespace gemm_columns_test
