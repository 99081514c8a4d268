// SPDX-License-Identifier: MIT
#include "recur/kernels/transposed_product.hpp"

#include <limits>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace transposed_product_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::PackedMatrix;
using recur::kernels::panels_beside;
using recur::kernels::Start;
using recur::kernels::detail::Blocks;
using recur::test::random_matrix;

// Rows of C stand this much further apart than they are long; what is between must stay as it is.
constexpr Index gap = 3;

// The product of the parameter gradients, around its blocks.
template <class Scalar>
void check_transposed(Index M, Index N, Index K) {
  recur::Generator generator(static_cast<std::uint64_t>(M * 1009 + N * 31 + K));
  const auto a = random_matrix<Scalar>(generator, K, M + gap);
  const auto b = random_matrix<Scalar>(generator, K, N);
  const auto before = random_matrix<Scalar>(generator, M, N + gap);
  PackedMatrix<Scalar> packed;
  packed.assign(K, panels_beside<Scalar>(N, K), recur::kernels::RowsB<Scalar>{b.data(), N});
  RowMatrix<Scalar> c = before;
  recur::kernels::transposed_product<Scalar>(M, N, K, {a.data(), M + gap}, packed.operand(),
                                             {c.data(), N + gap}, Start::accumulate);
  ASSERT_TRUE(c.rightCols(gap) == before.rightCols(gap));
  const RowMatrix<Scalar> expected = before.leftCols(N) + a.leftCols(M).transpose() * b;
  const double tolerance = std::is_same_v<Scalar, float> ? 1e-4 : 1e-12;
  ASSERT_LT(static_cast<double>((c.leftCols(N) - expected).cwiseAbs().maxCoeff()), tolerance)
      << "M " << M << ", N " << N << ", K " << K;
  // Each element by itself, and the rows in two parts: not a bit changes.
  RowMatrix<Scalar> parts = before;
  const Index split = M / 3;
  for (const auto& [first, last] : {std::pair(Index(0), split), std::pair(split, M)}) {
    recur::kernels::transposed_product<Scalar>(
        last - first, N, K, {a.data() + first, M + gap}, packed.operand(),
        {parts.data() + first * (N + gap), N + gap}, Start::accumulate);
  }
  ASSERT_TRUE(parts == c);
  // From zero, whatever stood there.
  RowMatrix<Scalar> overwritten = before;
  overwritten.leftCols(N).setConstant(std::numeric_limits<Scalar>::quiet_NaN());
  recur::kernels::transposed_product<Scalar>(M, N, K, {a.data(), M + gap}, packed.operand(),
                                             {overwritten.data(), N + gap}, Start::zero);
  RowMatrix<Scalar> from_zero = before;
  from_zero.leftCols(N).setZero();
  recur::kernels::transposed_product<Scalar>(M, N, K, {a.data(), M + gap}, packed.operand(),
                                             {from_zero.data(), N + gap}, Start::accumulate);
  ASSERT_TRUE(overwritten == from_zero);

  // B of one register needs no packing; in long products the blocks of k add up in another order.
  if (N <= recur::kernels::native_width<Scalar>) {
    const auto narrow = [&](Start start, RowMatrix<Scalar> to) {
      for (const auto& [first, last] : {std::pair(Index(0), split), std::pair(split, M)}) {
        recur::kernels::narrow_transposed_product<Scalar>(
            last - first, N, K, {a.data() + first, M + gap}, {{b.data(), N}},
            {to.data() + first * (N + gap), N + gap}, start);
      }
      return to;
    };
    const auto difference = [&](const RowMatrix<Scalar>& got, const RowMatrix<Scalar>& wanted) {
      return static_cast<double>((got - wanted).cwiseAbs().maxCoeff());
    };
    ASSERT_LT(difference(narrow(Start::accumulate, before), c), tolerance)
        << M << ' ' << N << ' ' << K;
    ASSERT_LT(difference(narrow(Start::zero, overwritten), from_zero), tolerance);
  }

  // B as it stands, its rows in runs, the last of which may be shorter. Nothing is read behind it.
  for (const Index length : {Index(1), Index(7), Index(50), K + 1}) {
    const Index step = length + 3;
    const auto row = [&](Index k) { return k / length * step + k % length; };
    RowMatrix<Scalar> runs(K > 0 ? row(K - 1) + 1 : 0, N);
    runs.setConstant(std::numeric_limits<Scalar>::quiet_NaN());
    for (Index k = 0; k < K; ++k) {
      runs.row(row(k)) = b.row(k);
    }
    const auto multiply = [&](Start start, RowMatrix<Scalar> to) {
      const recur::kernels::RunsB<Scalar> those{{runs.data(), N}, length, step};
      if (N <= recur::kernels::native_width<Scalar>) {
        recur::kernels::narrow_transposed_product<Scalar>(M, N, K, {a.data(), M + gap}, those,
                                                          {to.data(), N + gap}, start);
      } else {
        recur::kernels::transposed_product<Scalar>(M, N, K, {a.data(), M + gap}, those,
                                                   {to.data(), N + gap}, start);
      }
      return to;
    };
    const auto difference = [&](const RowMatrix<Scalar>& got, const RowMatrix<Scalar>& wanted) {
      return static_cast<double>((got - wanted).cwiseAbs().maxCoeff());
    };
    ASSERT_LT(difference(multiply(Start::accumulate, before), c), tolerance)
        << M << ' ' << N << ' ' << K << ", runs of " << length;
    ASSERT_LT(difference(multiply(Start::zero, overwritten), from_zero), tolerance);
  }
}

TEST(TransposedProduct, AroundItsBlocks) {
  for (const Index M : {1, 5, 36, 37, 100}) {
    for (const Index N : {1, 4, 10, 16, 64, 65}) {
      check_transposed<float>(M, N, 20);
      check_transposed<double>(M, N, 20);
    }
  }
  for (const Index K : {0, 1, 31, 33, 95, 96, 97, 128, 129, 320, 321, 600}) {
    check_transposed<float>(40, 20, K);
    check_transposed<float>(97, 17, K);  // blocks that end in A and at its end
    check_transposed<float>(100, 13, K);
    check_transposed<double>(40, 20, K);
    check_transposed<double>(100, 7, K);
  }
}

// Rows of A on a page each: with narrow panels their blocks are copied.
TEST(TransposedProduct, OfRowsFarApart) {
  check_transposed<float>(1100, 20, 97);
  check_transposed<float>(820, 7, 130);
  check_transposed<double>(520, 10, 97);
}

// So many columns that blocks of A have several sums each, where the second-level cache is large.
TEST(TransposedProduct, OfManyColumns) {
  for (const Index K : {0, 1, 96, 97, 340, 341, 350, 700}) {
    check_transposed<float>(50, 515, K);
    check_transposed<double>(50, 512, K);
  }
}

// Not a bit depends on the processor's caches.
template <class Scalar>
void check_copied_blocks() {
  for (const Index K : {0, 1, 96, 97, 340, 341, 350, 700}) {
    for (const Index M : {7, 50, 101}) {
      for (const Index N : {17, 70, 131}) {
        recur::Generator generator(static_cast<std::uint64_t>(100 * K + 10 * M + N));
        const auto a = random_matrix<Scalar>(generator, K, M + 5);
        const auto b = random_matrix<Scalar>(generator, K, N);
        const auto before = random_matrix<Scalar>(generator, M, N);
        PackedMatrix<Scalar> packed;
        packed.assign(K, panels_beside<Scalar>(N, K), recur::kernels::RunsB<Scalar>{{b.data(), N}});
        const auto multiply = [&](Blocks blocks, Start start) {
          RowMatrix<Scalar> c = before;
          recur::kernels::detail::transposed_product_of<Scalar>(
              M, N, K, {a.data(), M + 5}, {{{packed.operand().data, 0}}, true}, {c.data(), N},
              start, blocks);
          return c;
        };
        for (const Start start : {Start::zero, Start::accumulate}) {
          const RowMatrix<Scalar> expected = multiply(Blocks::as_they_stand, start);
          for (const Blocks blocks : {Blocks::copied, Blocks::copied_for_several_sums}) {
            ASSERT_TRUE(multiply(blocks, start) == expected) << M << ' ' << N << ' ' << K;
          }
        }
      }
    }
  }
}
TEST(TransposedProduct, CopiedBlocksGiveTheSameBitsFloat) { check_copied_blocks<float>(); }
TEST(TransposedProduct, CopiedBlocksGiveTheSameBitsDouble) { check_copied_blocks<double>(); }

// 64 bytes are a line of the cache.
TEST(TransposedProduct, RowsAreAnOddNumberOfLinesApart) {
  using recur::kernels::spread_row;
  EXPECT_EQ(spread_row<float>(40), 40);  // but for few
  EXPECT_EQ(spread_row<float>(64), 64);
  EXPECT_EQ(spread_row<float>(65), 80);
  EXPECT_EQ(spread_row<float>(400), 400);
  EXPECT_EQ(spread_row<float>(1024), 1040);
  EXPECT_EQ(spread_row<double>(32), 32);
  EXPECT_EQ(spread_row<double>(33), 40);
  EXPECT_EQ(spread_row<double>(400), 408);
}

TEST(TransposedProduct, OfASingleTerm) {
  recur::Generator generator(2);
  for (const Index M : {1, 7, 20}) {
    for (const Index N : {1, 4, 16, 21, 64, 65, 150}) {
      const auto a = random_matrix<float>(generator, 1, M);
      const auto b = random_matrix<float>(generator, 1, N);
      const auto before = random_matrix<float>(generator, M, N + gap);
      RowMatrix<float> c = before;
      recur::kernels::outer_product<float>(M, N, a.data(), b.data(), {c.data(), N + gap},
                                           Start::accumulate);
      const RowMatrix<double> product = a.cast<double>().transpose() * b.cast<double>();  // exact
      const RowMatrix<double> sum = before.leftCols(N).cast<double>() + product;
      EXPECT_LT((c.leftCols(N).cast<double>() - sum).cwiseAbs().maxCoeff(), 2.4e-7)
          << M << ' ' << N;
      EXPECT_TRUE(c.rightCols(gap) == before.rightCols(gap));
      c.leftCols(N).setConstant(std::numeric_limits<float>::quiet_NaN());
      recur::kernels::outer_product<float>(M, N, a.data(), b.data(), {c.data(), N + gap},
                                           Start::zero);
      EXPECT_TRUE(c.leftCols(N) == product.cast<float>()) << M << ' ' << N;
      EXPECT_TRUE(c.rightCols(gap) == before.rightCols(gap));
    }
  }
}

// Sums of equal numbers, whose roundings all go the same way. One by one they would be wrong by
// 4e-5 of themselves; in blocks of 256, by 2.7e-6.
TEST(TransposedProduct, ManyTermsLoseFewDigits) {
  constexpr Index K = 6000;
  constexpr float term = 0.7F;
  const double exact = double{term} * K;
  const RowMatrix<float> rows = RowMatrix<float>::Constant(K, 20, term);
  const RowMatrix<float> ones = RowMatrix<float>::Ones(K, 7);
  PackedMatrix<float> packed;
  packed.assign(K, panels_beside<float>(20, K), recur::kernels::RowsB<float>{rows.data(), 20});
  RowMatrix<float> c(7, 20);
  recur::kernels::transposed_product<float>(7, 20, K, {ones.data(), 7}, packed.operand(),
                                            {c.data(), 20}, Start::zero);
  for (const float x : c.reshaped()) {
    EXPECT_NEAR(x, exact, 1.5e-6 * exact);
  }
}

}  // namespace
}  // namespace transposed_product_test
