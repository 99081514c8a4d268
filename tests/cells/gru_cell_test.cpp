// SPDX-License-Identifier: MIT
//
// torch.nn.GRUCell in closed form; the comparison with PyTorch is in cell_test.cpp.
#include "recur/cells/gru_cell.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace gru_cell_test {
namespace {

// z = 1/2, n = 0: h' = h / 2.
TEST(GRUCell, WithoutWeightsHalvesH) {
  const auto cell =
      recur::test::with_zero_weights(recur::GRUCell<double>({.input_size = 3, .hidden_size = 2}));
  recur::RowMatrix<double> h(1, 2);
  h << 1, -3;
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Constant(1, 3, 7);
  EXPECT_EQ(cell.forward(x, {h}).h, recur::RowMatrix<double>(h / 2));
}

// r = 1/2, z = 0: h' = n = tanh(b_in + b_hn / 2). The bias b_hn is inside the product with r.
TEST(GRUCell, ResetGateCoversTheRecurrentBias) {
  auto cell =
      recur::test::with_zero_weights(recur::GRUCell<double>({.input_size = 1, .hidden_size = 1}));
  cell.update_parameters([](auto& p) {
    p.bias_ih << 0, -800, 0.5;  // r, z, n
    p.bias_hh << 0, 0, 3;
  });
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Zero(1, 1);
  EXPECT_DOUBLE_EQ(cell.forward(x).h(0, 0), std::tanh(0.5 + 3.0 / 2));
}

TEST(GRUCell, SizesAsTemplateArguments) {
  const recur::GRUCell<float, 3, 4> fixed;
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().weight_ih.rows(), 3 * 4);
  EXPECT_EQ(fixed.parameters().weight_hh.cols(), 4);
}

}  // namespace
}  // namespace gru_cell_test
