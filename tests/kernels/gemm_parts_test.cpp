// SPDX-License-Identifier: MIT
//
// Products that are summed in parts, against the definition: the parts one after the other, each a
// product by itself.
#include "recur/kernels/gemm_parts.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "recur/kernels/gemm_columns.hpp"
#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_parts_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::gemm;
using recur::kernels::native_width;
using recur::kernels::PackedMatrix;
using recur::kernels::parts_from;
using recur::kernels::parts_of_sum;
using recur::kernels::RowsB;
using recur::kernels::Start;
using recur::kernels::tile_columns;
using recur::test::random_matrix;
namespace detail = recur::kernels::detail;

template <class Scalar>
struct Product {
  RowMatrix<Scalar> a;     // M × K
  RowMatrix<Scalar> b;     // K × N
  RowMatrix<Scalar> c;     // M × N
  RowMatrix<Scalar> bias;  // 1 × N

  Product(Index M, Index N, Index K) {
    recur::Generator generator(static_cast<std::uint64_t>(M * 10007 + N * 101 + K));
    a = random_matrix<Scalar>(generator, M, K);
    b = random_matrix<Scalar>(generator, K, N);
    c = random_matrix<Scalar>(generator, M, N);
    bias = random_matrix<Scalar>(generator, 1, N);
  }

  // A B of every fourth term from k to before `last`, in a single part.
  RowMatrix<Scalar> every_fourth(Index k, Index last) const {
    Product those = *this;
    Index count = 0;
    for (; k < last; k += 4, ++count) {
      those.a.col(count) = a.col(k);
      those.b.row(count) = b.row(k);
    }
    RowMatrix<Scalar> sums = RowMatrix<Scalar>::Zero(a.rows(), b.cols());
    those.add(0, count, sums);
    return sums;
  }

  // C += A B over the terms [k, k + count), in one go.
  void add(Index k, Index count, RowMatrix<Scalar>& to) const {
    for (Index m = 0; m < a.rows(); ++m) {
      for (Index n = 0; n < b.cols(); ++n) {
        Scalar sum = 0;
        for (Index i = k; i < k + count; ++i) {
          sum = recur::kernels::has_multiply_add ? std::fma(a(m, i), b(i, n), sum)
                                                 : sum + a(m, i) * b(i, n);
        }
        to(m, n) = sum + to(m, n);
      }
    }
  }

  // Rows [first, last) as the scan multiplies them.
  void multiply(Index first, Index last, RowMatrix<Scalar>& to, bool back) const {
    const Index K = a.cols();
    const Index N = b.cols();
    PackedMatrix<Scalar> panels;
    panels.assign(K, N, RowsB<Scalar>{b.data(), N});
    gemm<Scalar>(last - first, N, K, {a.data() + first * K, K, 1}, panels.operand(),
                 {to.data() + first * N, N}, Start::bias, bias.data(),
                 {recur::kernels::SumOf::scan, parts_from<Scalar>(N), back});
  }
};

template <class Scalar>
void check(Index M, Index N, Index K) {
  const Product<Scalar> p(M, N, K);
  // Panel by panel and part by part; a panel is a whole product here.
  RowMatrix<Scalar> expected = p.bias.replicate(M, 1);
  const recur::kernels::Panels<Scalar> panels(N);
  for (Index panel = 0; panel < panels.count(); ++panel) {
    const Index n = panels.begin(panel);
    const Index columns = panels.columns(panel);
    const Index vectors = panels.width(panel) / native_width<Scalar>;
    const Index parts = n < parts_from<Scalar>(N) ? 1 : parts_of_sum(K, vectors);
    const Product<Scalar> narrow = [&] {
      Product<Scalar> part = p;
      part.b = RowMatrix<Scalar>(p.b.middleCols(n, columns));
      return part;
    }();
    RowMatrix<Scalar> sums = expected.middleCols(n, columns);
    if (vectors > 1 || parts == 1) {
      const detail::Stretches stretches(K, parts, recur::kernels::SumOf::scan);
      for (Index k = 0, count = 0; k < K; k += count) {
        count = stretches.at(k);
        narrow.add(k, count, sums);
      }
    }
    // By turns.
    for (Index first = 0, last = 0; vectors == 1 && parts > 1 && last < K; first = last) {
      last = parts == 8 && first == 0 ? K / 8 * 4 : K;
      const auto turn = [&](Index k) { return narrow.every_fourth(first + k, last); };
      sums += RowMatrix<Scalar>((turn(0) + turn(2)) + (turn(1) + turn(3)));
    }
    expected.middleCols(n, columns) = sums;
  }
  for (const bool back : {false, true}) {
    RowMatrix<Scalar> all = p.c;
    p.multiply(0, M, all, back);
    ASSERT_TRUE(all == expected) << "M " << M << ", N " << N << ", K " << K << ", back " << back;
    RowMatrix<Scalar> single = p.c;
    for (Index m = 0; m < M; ++m) {
      p.multiply(m, m + 1, single, back);
    }
    ASSERT_TRUE(single == expected) << "row by row: M " << M << ", N " << N << ", K " << K;
  }
}

template <class Scalar>
void check_all() {
  for (const Index K : {0, 1, 15, 16, 17, 19, 31, 32, 35, 64, 127, 128, 130, 131, 257}) {
    for (Index N = 1; N <= 2 * tile_columns<Scalar> + 3; N += 3) {
      for (const Index M : {1, 2, 3, 5, 7, 13}) {
        check<Scalar>(M, N, K);
      }
    }
  }
  check<Scalar>(100, native_width<Scalar>, 40);
  check<Scalar>(100, tile_columns<Scalar>, 70);
  check<Scalar>(3, 5, 1025);
}

TEST(GemmParts, AreThoseOfTheDefinitionFloat) { check_all<float>(); }
TEST(GemmParts, AreThoseOfTheDefinitionDouble) { check_all<double>(); }

TEST(GemmParts, ShortSumsStayWhole) {
  EXPECT_EQ(parts_of_sum(15, 1), 1);
  EXPECT_EQ(parts_of_sum(16, 1), 4);
  EXPECT_EQ(parts_of_sum(31, 1), 4);
  EXPECT_EQ(parts_of_sum(32, 1), 8);
  EXPECT_EQ(parts_of_sum(40, 1), 4);
  EXPECT_EQ(parts_of_sum(48, 1), 8);
  EXPECT_EQ(parts_of_sum(65, 1), 8);
  EXPECT_EQ(parts_of_sum(1024, 2), 2);
  if (recur::kernels::tile_vectors >= 4) {
    EXPECT_EQ(parts_of_sum(15, 4), 1);
    EXPECT_EQ(parts_of_sum(16, 4), 2);
    EXPECT_EQ(parts_of_sum(128, 4), 4);
  }
  EXPECT_EQ(parts_of_sum(1025, 1), 1);
}

// A block of four registers, where a tile has two (AVX2), was multiplied as if it had two.
TEST(GemmParts, BlocksWiderThanATileStayWhole) {
  EXPECT_EQ(parts_of_sum(64, recur::kernels::tile_vectors + 1), 1);
}

// The last stretch takes what is left over.
TEST(GemmParts, StretchesCoverTheSum) {
  for (const Index parts : {1, 2, 4}) {
    for (Index K = 1; K < 600; K += 7) {
      if (parts > 1 && K < 16) {
        continue;
      }
      using recur::kernels::SumOf;
      for (const auto what : {SumOf::inputs, SumOf::gradients, SumOf::scan}) {
        const detail::Stretches stretches(K, parts, what);
        Index k = 0;
        Index count = 0;
        for (; k < K; k += stretches.at(k)) {
          ++count;
        }
        const auto [alone, of_few, of_many] = detail::terms_in_one_go(what);
        const Index most = K <= 200 ? of_few : of_many;
        const Index blocks = K <= alone ? 1 : std::max<Index>(2, (K + most - 1) / most);
        EXPECT_EQ(k, K);
        EXPECT_EQ(count, parts > 1 ? parts : blocks);
      }
    }
  }
}

}  // namespace
}  // namespace gemm_parts_test
