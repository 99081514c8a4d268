// SPDX-License-Identifier: MIT
//
// The pieces that gemm_test.cpp does not call by themselves.
#include "recur/kernels/gemm_tile.hpp"

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace gemm_tile_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::native_width;
using recur::kernels::whole_registers;
using recur::test::random_matrix;

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

}  // namespace
}  // namespace gemm_tile_test
