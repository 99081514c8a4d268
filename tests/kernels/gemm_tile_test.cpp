// SPDX-License-Identifier: MIT
//
// The pieces that gemm_test.cpp does not call by themselves.
#include "recur/kernels/gemm_tile.hpp"

#include <algorithm>  // std::min

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::native_width;
using recur::kernels::panel_width;
using recur::kernels::tile_columns;
using recur::kernels::whole_registers;
using recur::test::random_matrix;
namespace detail = recur::kernels::detail;

TEST(GemmTile, PanelsEndWithAWholeRegister) {
  constexpr Index width = native_width<float>;
  constexpr Index panel = tile_columns<float>;
  EXPECT_EQ(whole_registers<float>(0), 0);
  EXPECT_EQ(whole_registers<float>(1), width);
  EXPECT_EQ(whole_registers<float>(width), width);
  EXPECT_EQ(whole_registers<float>(width + 1), 2 * width);
  EXPECT_EQ(panel_width<float>(2 * panel, 0), panel);
  EXPECT_EQ(panel_width<float>(panel + 1, 0), panel);
  EXPECT_EQ(panel_width<float>(panel + 1, panel), width);
}

TEST(GemmTile, CopiedRowsEndWithZeros) {
  for (Index count = 0; count <= 3 * native_width<double> + 1; ++count) {
    recur::Generator generator(static_cast<std::uint64_t>(count));
    const auto from = random_matrix<double>(generator, 1, count);
    const Index whole = whole_registers<double>(count);
    RowMatrix<double> to = RowMatrix<double>::Constant(1, whole + 1, 7);
    recur::kernels::copy_row(from.data(), count, to.data());
    EXPECT_TRUE(to.leftCols(count) == from);
    EXPECT_TRUE((to.middleCols(count, whole - count).array() == 0).all());
    EXPECT_EQ(to(0, whole), 7) << "written beyond a register";
  }
}

// Sums of 50 terms, which are added to what C starts from one after the other: not a bit differs
// from as many products.
template <class Scalar>
void check_tiles_of_sums() {
  using recur::kernels::Start;
  constexpr Index columns = tile_columns<Scalar>;
  const Index of_sum = 50;
  for (const Index K : {49, 50, 51, 99, 120, 150}) {
    for (Index M = 1; M <= 2 * recur::kernels::rows_of_tile(recur::kernels::tile_vectors); ++M) {
      for (const Index N : {Index(1), columns - 1, columns}) {
        recur::Generator generator(static_cast<std::uint64_t>(100 * K + 10 * M + N));
        const auto a = random_matrix<Scalar>(generator, M, K);
        const auto b = random_matrix<Scalar>(generator, K, columns);
        const auto bias = random_matrix<Scalar>(generator, 1, columns);
        const auto before = random_matrix<Scalar>(generator, M, columns);
        for (const Start start : {Start::zero, Start::bias, Start::accumulate}) {
          const auto multiply = [&](Index first, detail::Terms terms, Start from,
                                    RowMatrix<Scalar>& c) {
            detail::gemm_panel<Scalar>(M, N, terms, {a.data() + first, K, 1},
                                       b.data() + first * columns, columns, {c.data(), columns},
                                       from, bias.data());
          };
          RowMatrix<Scalar> expected = before;
          for (Index first = 0; first < K; first += of_sum) {
            multiply(first, std::min(K - first, of_sum), first == 0 ? start : Start::accumulate,
                     expected);
          }
          RowMatrix<Scalar> c = before;
          multiply(0, {K, of_sum}, start, c);
          ASSERT_TRUE(c == expected) << M << " rows, " << N << " columns, " << K << " terms";
        }
      }
    }
  }
}
TEST(GemmTile, SumsOneAfterTheOtherFloat) { check_tiles_of_sums<float>(); }
TEST(GemmTile, SumsOneAfterTheOtherDouble) { check_tiles_of_sums<double>(); }

}  // namespace
