// SPDX-License-Identifier: MIT
//
// Products whose last columns are dot products, against plain loops.
#include "recur/kernels/gemm_dots.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "recur/kernels/gemm_columns.hpp"
#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_dots_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::dot_columns;
using recur::kernels::gemm;
using recur::kernels::GemmA;
using recur::kernels::native_width;
using recur::kernels::PackedMatrix;
using recur::kernels::Start;
using recur::kernels::tile_columns;
using recur::test::random_matrix;

constexpr Index gap = 3;  // columns behind C's, which must stay as they are

template <class Scalar>
struct Product {
  Index M;
  Index N;
  Index K;
  RowMatrix<Scalar> a;     // M × (K + gap)
  RowMatrix<Scalar> b;     // K × N
  RowMatrix<Scalar> c;     // M × (N + gap)
  RowMatrix<Scalar> bias;  // 1 × N
  PackedMatrix<Scalar> packed;

  Product(Index rows, Index columns, Index depth) : M(rows), N(columns), K(depth) {
    recur::Generator generator(static_cast<std::uint64_t>(M * 10007 + N * 101 + K));
    a = random_matrix<Scalar>(generator, M, K + gap);
    b = random_matrix<Scalar>(generator, K, N);
    c = random_matrix<Scalar>(generator, M, N + gap);
    bias = random_matrix<Scalar>(generator, 1, N);
    packed.assign(b, 0, K);
  }

  GemmA<Scalar> rows_from(Index m) const { return {a.data() + m * a.cols(), a.cols(), 1}; }

  void multiply(Start start, Index first, Index last, RowMatrix<Scalar>& to) const {
    gemm<Scalar>(last - first, N, K, rows_from(first), packed.operand(),
                 {to.data() + first * to.cols(), to.cols()}, start,
                 start == Start::bias ? bias.data() : nullptr);
  }
};

template <class Scalar>
void check(Index M, Index N, Index K) {
  const Product<Scalar> p(M, N, K);
  for (const Start start : {Start::zero, Start::bias, Start::accumulate}) {
    RowMatrix<Scalar> actual = p.c;
    p.multiply(start, 0, M, actual);
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
    RowMatrix<Scalar> row_by_row = p.c;
    for (Index m = 0; m < M; ++m) {
      p.multiply(start, m, m + 1, row_by_row);
    }
    ASSERT_TRUE(row_by_row == actual) << "M " << M << ", N " << N << ", K " << K;
  }
}

template <class Scalar>
class GemmDots : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmDots, Scalars);

TYPED_TEST(GemmDots, EveryNumberOfColumns) {
  using Scalar = TypeParam;
  const Index K = 27 * native_width<Scalar> + 5;
  Index with_dots = 0;
  for (Index N = 0; N <= 2 * tile_columns<Scalar> + native_width<Scalar>; ++N) {
    check<Scalar>(5, N, K);
    with_dots += Product<Scalar>(1, N, K).packed.operand().dots > 0;
  }
  EXPECT_EQ(with_dots > 0, native_width<Scalar> > 1);
}

TYPED_TEST(GemmDots, EveryDepth) {
  for (Index K = 0; K <= 5 * native_width<TypeParam> + 1; ++K) {
    check<TypeParam>(5, native_width<TypeParam> + 1, K);
  }
}

TYPED_TEST(GemmDots, EveryNumberOfRows) {
  for (Index M = 0; M <= 11; ++M) {
    check<TypeParam>(M, 2 * native_width<TypeParam> + 1, 120);
  }
  check<TypeParam>(200, native_width<TypeParam> + 1, 120);
}

// The threads of a step share columns: dots, too, are computed once, by one of them.
TYPED_TEST(GemmDots, ColumnsSharedGiveTheSameBits) {
  using Scalar = TypeParam;
  for (const Index M : {1, 7}) {
    for (const Index whole : {Index(0), Index(1), Index(4), Index(6), Index(8)}) {
      const Product<Scalar> p(M, whole * native_width<Scalar> + 1, 300);
      RowMatrix<Scalar> expected = p.c;
      RowMatrix<Scalar> actual = p.c;
      const auto multiply = [&](int threads, RowMatrix<Scalar>& to) {
        recur::kernels::gemm_by_columns<Scalar>({threads, false}, M, p.N, p.K, p.rows_from(0),
                                                p.packed.operand(), {to.data(), to.cols()},
                                                Start::accumulate);
      };
      multiply(1, expected);
      for (const int threads : {2, 3, 9}) {
        actual = p.c;
        multiply(threads, actual);
        ASSERT_TRUE(actual == expected) << "M " << M << ", N " << p.N << ", threads " << threads;
      }
      RowMatrix<Scalar> without(M, p.N);
      gemm<Scalar>(M, p.N, p.K, p.rows_from(0), p.packed.operand(), {without.data(), p.N},
                   Start::zero);
      EXPECT_LT((expected.leftCols(p.N) - p.c.leftCols(p.N) - without).cwiseAbs().maxCoeff(),
                Scalar(1e4) * std::numeric_limits<Scalar>::epsilon());
      EXPECT_TRUE(expected.rightCols(gap) == p.c.rightCols(gap));
    }
  }
}

// What is behind the last term is not read into the sum, be it NaN.
TYPED_TEST(GemmDots, NaNStaysInItsRow) {
  using Scalar = TypeParam;
  Product<Scalar> p(7, native_width<Scalar> + 1, 4 * native_width<Scalar> + 1);
  p.a(3, 2) = std::numeric_limits<Scalar>::quiet_NaN();
  p.a.rightCols(gap).setConstant(std::numeric_limits<Scalar>::quiet_NaN());
  RowMatrix<Scalar> actual = p.c;
  p.multiply(Start::zero, 0, 7, actual);
  for (Index m = 0; m < 7; ++m) {
    for (Index n = 0; n < p.N; ++n) {
      EXPECT_EQ(std::isnan(actual(m, n)), m == 3);
    }
  }
}

// No dots where they would cost more than a register of columns.
TEST(DotColumns, OnlyWhereTheySaveTime) {
  constexpr Index width = native_width<float>;
  EXPECT_EQ(dot_columns<float>(4 * width, 400), 0);
  EXPECT_EQ(dot_columns<float>(4 * width + 1, 3), 0);
  EXPECT_EQ(dot_columns<float>(0, 400), 0);
  EXPECT_EQ(dot_columns<float>(4 * width - 1, 400), 0);
  EXPECT_EQ(dot_columns<float>(4 * width + 1, 400), width > 1 ? 1 : 0);
  EXPECT_EQ(dot_columns<float>(7, 0), 0);
}

}  // namespace
}  // namespace gemm_dots_test
