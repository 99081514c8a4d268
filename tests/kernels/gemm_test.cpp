// SPDX-License-Identifier: MIT
//
// Products against plain loops, at every size around the register tiles and cache blocks.
#include "recur/kernels/gemm.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::gemm;
using recur::kernels::native_width;
using recur::kernels::PackedMatrix;
using recur::kernels::RowsB;
using recur::kernels::Start;
using recur::kernels::tile_columns;
using recur::test::random_matrix;

// Rows of C stand this much further apart than they are long; what is between must stay as it is.
constexpr Index gap = 3;

template <class Scalar>
struct Product {
  RowMatrix<Scalar> a;     // M × K
  RowMatrix<Scalar> b;     // K × N
  RowMatrix<Scalar> c;     // M × (N + gap)
  RowMatrix<Scalar> bias;  // 1 × N

  Product(Index M, Index N, Index K) {
    recur::Generator generator(static_cast<std::uint64_t>(M * 10007 + N * 101 + K));
    a = random_matrix<Scalar>(generator, M, K);
    b = random_matrix<Scalar>(generator, K, N);
    c = random_matrix<Scalar>(generator, M, N + gap);
    bias = random_matrix<Scalar>(generator, 1, N);
  }

  // Rows [first, last) of the product; B packed beforehand, or on the way.
  void multiply(Start start, Index first, Index last, RowMatrix<Scalar>& to, bool packed,
                bool back = false) const {
    const Index K = a.cols();
    const Index N = b.cols();
    const recur::kernels::GemmA<Scalar> rows{a.data() + first * K, K, 1};
    const recur::kernels::GemmC<Scalar> sums{to.data() + first * (N + gap), N + gap};
    const Scalar* from = start == Start::bias ? bias.data() : nullptr;
    if (packed) {
      PackedMatrix<Scalar> panels;
      panels.assign(K, N, RowsB<Scalar>{b.data(), N});
      gemm<Scalar>(last - first, N, K, rows, panels.operand(), sums, start, from,
                   {.what = recur::kernels::SumOf::gradients, .back = back});
    } else {
      gemm<Scalar>(last - first, N, K, rows, RowsB<Scalar>{b.data(), N}, sums, start, from);
    }
  }
};

template <class Scalar>
void check_product(Index M, Index N, Index K) {
  const Product<Scalar> p(M, N, K);
  for (const Start start : {Start::zero, Start::bias, Start::accumulate}) {
    RowMatrix<Scalar> actual = p.c;
    p.multiply(start, 0, M, actual, true);
    RowMatrix<Scalar> on_the_way = p.c;
    p.multiply(start, 0, M, on_the_way, false);
    ASSERT_TRUE(actual == on_the_way) << "M " << M << ", N " << N << ", K " << K;
    for (Index m = 0; m < M; ++m) {
      for (Index n = 0; n < N; ++n) {
        long double sum = start == Start::zero   ? 0
                          : start == Start::bias ? p.bias(0, n)
                                                 : p.c(m, n);
        long double magnitude = std::abs(sum) + 1;
        for (Index k = 0; k < K; ++k) {
          const long double product = static_cast<long double>(p.a(m, k)) * p.b(k, n);
          sum += product;
          magnitude += std::abs(product);
        }
        // Each of the K + 1 roundings is within half an epsilon of the sum so far.
        const long double bound = magnitude *
                                  static_cast<long double>(std::numeric_limits<Scalar>::epsilon()) *
                                  (K + 2) / 2;
        ASSERT_LE(std::abs(static_cast<long double>(actual(m, n)) - sum), bound)
            << "(" << m << ", " << n << ") of M " << M << ", N " << N << ", K " << K << ", start "
            << static_cast<int>(start);
      }
      for (Index n = N; n < N + gap; ++n) {
        ASSERT_EQ(actual(m, n), p.c(m, n))
            << "behind row " << m << " of M " << M << ", N " << N << ", K " << K;
      }
    }
  }
}

template <class Scalar>
void check_all_columns() {
  // Of one row, several panels are taken at once.
  for (Index N = 0; N <= 5 * tile_columns<Scalar> + 6; ++N) {
    check_product<Scalar>(1, N, 9);
  }
  for (Index N = 0; N <= 2 * tile_columns<Scalar> + 6; ++N) {
    for (const Index M : {5, 7}) {
      check_product<Scalar>(M, N, 9);
    }
  }
}

TEST(Gemm, EveryNumberOfColumns) {
  check_all_columns<float>();
  check_all_columns<double>();
}

// All columns for a block of terms, then for the next: as term by term for each panel.
TEST(Gemm, BlockByBlockGivesTheSameBits) {
  for (const Index N : {1, 17, 64, 70, 131}) {
    for (const Index K : {383, 384, 500, 1100}) {
      for (const Index M : {47, 48, 101}) {
        check_product<float>(M, N, K);
        const Product<float> p(M, N, K);
        RowMatrix<float> whole = p.c;
        p.multiply(Start::accumulate, 0, M, whole, true);
        RowMatrix<float> row_by_row = p.c;
        for (Index m = 0; m < M; ++m) {
          p.multiply(Start::accumulate, m, m + 1, row_by_row, true);
        }
        ASSERT_TRUE(whole == row_by_row) << "M " << M << ", N " << N << ", K " << K;
      }
    }
  }
  check_product<double>(50, 40, 400);
}

// In tiles of one register and more, which may have other heights.
TEST(Gemm, EveryNumberOfRows) {
  for (Index M = 0; M <= 70; ++M) {
    for (const Index N : {3, 9, 17, 30}) {
      check_product<float>(M, N, 5);
      check_product<double>(M, N, 5);
    }
  }
}

TEST(Gemm, EveryDepth) {
  for (Index K = 0; K <= 70; ++K) {
    check_product<float>(4, 21, K);
    check_product<double>(4, 21, K);
  }
}

TEST(Gemm, BeyondTheCacheBlocks) {
  for (const Index K : {127, 128, 129, 255, 256, 257, 512, 513, 1024, 2100}) {
    check_product<float>(7, 19, K);
    check_product<double>(3, 37, K);
  }
  for (const Index M : {95, 96, 97, 200}) {
    check_product<float>(M, 9, 130);
    check_product<double>(M, 5, 3);
  }
}

// Sums of 1,024 terms in one go had erred by up to 1.9 times as much as PyTorch's products; inputs
// of 40 and 64 made the output of an RNN of 64 units err by 1.06 times as much. Here: against sums
// of all terms one after the other, both compared with sums in double.
TEST(Gemm, SumsErrLessThanSumsInOneGo) {
  for (const auto& [K, most] :
       {std::pair(33, 0.85), {40, 0.85}, {64, 0.85}, {96, 0.85}, {1024, 0.6}, {4096, 0.6}}) {
    const Index M = 13;
    const Index N = 150;
    const Product<float> p(M, N, K);
    RowMatrix<float> c = p.c;
    p.multiply(Start::zero, 0, M, c, true);
    double error = 0;
    double error_in_one_go = 0;
    for (Index m = 0; m < M; ++m) {
      for (Index n = 0; n < N; ++n) {
        double exact = 0;
        float in_one_go = 0;
        for (Index k = 0; k < K; ++k) {
          exact += static_cast<double>(p.a(m, k)) * static_cast<double>(p.b(k, n));
          in_one_go = std::fma(p.a(m, k), p.b(k, n), in_one_go);
        }
        error += std::pow(static_cast<double>(c(m, n)) - exact, 2);
        error_in_one_go += std::pow(static_cast<double>(in_one_go) - exact, 2);
      }
    }
    EXPECT_LT(std::sqrt(error), most * std::sqrt(error_in_one_go)) << K << " terms";
  }
}

TEST(Gemm, OtherScalars) { check_product<long double>(7, 5, 9); }

// The rows may be computed in any parts: not a bit changes.
template <class Scalar>
void check_splits(Index M, Index N, Index K) {
  const Product<Scalar> p(M, N, K);
  RowMatrix<Scalar> whole = p.c;
  p.multiply(Start::bias, 0, M, whole, true);
  for (Index split = 0; split <= M; ++split) {
    RowMatrix<Scalar> parts = p.c;
    p.multiply(Start::bias, 0, split, parts, true);
    p.multiply(Start::bias, split, M, parts, true);
    ASSERT_TRUE(parts == whole) << "split at row " << split << " of " << M;
  }
  RowMatrix<Scalar> single = p.c;
  for (Index m = 0; m < M; ++m) {
    p.multiply(Start::bias, m, m + 1, single, true);
  }
  ASSERT_TRUE(single == whole) << "row by row";
}

// The panels may be taken from the last to the first: not a bit changes.
template <class Scalar>
void check_back(Index M, Index N, Index K) {
  const Product<Scalar> p(M, N, K);
  RowMatrix<Scalar> forth = p.c;
  p.multiply(Start::accumulate, 0, M, forth, true);
  RowMatrix<Scalar> back = p.c;
  p.multiply(Start::accumulate, 0, M, back, true, true);
  ASSERT_TRUE(back == forth) << "M " << M << ", N " << N << ", K " << K;
}

TEST(Gemm, BackGivesTheSameBits) {
  for (const Index M : {1, 2, 100}) {
    for (Index N = 0; N < 10; ++N) {
      check_back<float>(M, N * tile_columns<float> + N % 3, 30);
      check_back<double>(M, N * tile_columns<double> + N % 3, 1030);
    }
  }
}

TEST(Gemm, RowsInAnyPartsGiveTheSameBits) {
  check_splits<float>(29, 43, 150);
  check_splits<double>(29, 43, 150);
  check_splits<float>(7, 5 * tile_columns<float> + 3, 20);
  check_splits<float>(7, 5 * tile_columns<float> + 3, 2100);
  check_splits<float>(13, 7, 20);
  check_splits<double>(13, 3, 20);
}

// A few panels two at a time, so that they are sooner read again; many as fast as they come.
TEST(Gemm, PanelsAtOnce) {
  using recur::kernels::detail::panels_at_once;
  using recur::kernels::detail::row_panels;
  EXPECT_EQ(panels_at_once<4>(1), 2);
  EXPECT_EQ(panels_at_once<4>(2 * row_panels - 1), 2);
  EXPECT_EQ(panels_at_once<4>(2 * row_panels), row_panels);
  EXPECT_EQ(panels_at_once<3>(row_panels - 1), 2);
  EXPECT_EQ(panels_at_once<3>(row_panels), row_panels);
}

// The sum of one element is in the order of k, whatever tile its column falls into.
template <class Scalar>
void check_columns_apart() {
  const Index N = 2 * tile_columns<Scalar> + 5;
  const Index K = 140;
  const Product<Scalar> p(5, N, K);
  RowMatrix<Scalar> whole(5, N);
  gemm<Scalar>(5, N, K, {p.a.data(), K, 1}, RowsB<Scalar>{p.b.data(), N}, {whole.data(), N},
               Start::zero);
  for (Index n = 0; n < N; ++n) {
    RowMatrix<Scalar> column(5, 1);
    gemm<Scalar>(5, 1, K, {p.a.data(), K, 1}, RowsB<Scalar>{p.b.data() + n, N}, {column.data(), 1},
                 Start::zero);
    ASSERT_TRUE(column == whole.col(n)) << "column " << n;
  }
}

TEST(Gemm, ColumnsApartGiveTheSameBits) {
  check_columns_apart<float>();
  check_columns_apart<double>();
}

// A by columns, one of its rows for all of B.
TEST(Gemm, TransposedA) {
  recur::Generator generator(1);
  const RowMatrix<double> a = random_matrix<double>(generator, 150, 13);  // K × M
  const RowMatrix<double> b = random_matrix<double>(generator, 150, 10);
  RowMatrix<double> c(13, 10);
  gemm<double>(13, 10, 150, {a.data(), 1, 13}, RowsB<double>{b.data(), 10}, {c.data(), 10},
               Start::zero);
  EXPECT_LT((c - a.transpose() * b).cwiseAbs().maxCoeff(), 1e-12);
}

// NaN and infinities are neither skipped nor made up.
TEST(Gemm, NaNStaysInItsRowAndColumn) {
  Product<float> p(7, 40, 12);
  p.a(3, 5) = std::numeric_limits<float>::quiet_NaN();
  RowMatrix<float> actual = p.c;
  p.multiply(Start::zero, 0, 7, actual, true);
  for (Index m = 0; m < 7; ++m) {
    for (Index n = 0; n < 40; ++n) {
      EXPECT_EQ(std::isnan(actual(m, n)), m == 3);
    }
  }
}

}  // namespace
}  // namespace gemm_test
