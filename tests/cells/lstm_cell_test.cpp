// SPDX-License-Identifier: MIT
//
// torch.nn.LSTMCell in closed form; the comparison with PyTorch is in cell_test.cpp.
#include "recur/cells/lstm_cell.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace lstm_cell_test {
namespace {

// All gates 1/2, the candidate 0: c' = c / 2, h' = tanh(c') / 2.
TEST(LSTMCell, WithoutWeightsHalvesC) {
  const auto cell =
      recur::test::with_zero_weights(recur::LSTMCell<double>({.input_size = 3, .hidden_size = 2}));
  recur::RowMatrix<double> c(1, 2);
  c << 1, -3;
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Constant(1, 3, 7);
  const auto next = cell.forward(x, {{}, c});
  for (recur::Index j = 0; j < 2; ++j) {
    EXPECT_DOUBLE_EQ(next.c(0, j), c(0, j) / 2);
    EXPECT_DOUBLE_EQ(next.h(0, j), std::tanh(c(0, j) / 2) / 2);
  }
}

// i and f open, g = tanh 1, o open: c' = c + tanh 1.
TEST(LSTMCell, BiasesOpenTheGatesInTorchsOrder) {
  auto cell =
      recur::test::with_zero_weights(recur::LSTMCell<double>({.input_size = 1, .hidden_size = 1}));
  cell.update_parameters([](auto& p) { p.bias_ih << 100, 100, 1, 100; });  // i, f, g, o
  recur::RowMatrix<double> c(1, 1);
  c << 0.25;
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Zero(1, 1);
  const auto next = cell.forward(x, {{}, c});
  EXPECT_DOUBLE_EQ(next.c(0, 0), 0.25 + std::tanh(1.0));
  EXPECT_DOUBLE_EQ(next.h(0, 0), std::tanh(0.25 + std::tanh(1.0)));
}

TEST(LSTMCell, SizesAsTemplateArguments) {
  const recur::LSTMCell<float, 3, 4> fixed;
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().weight_ih.rows(), 4 * 4);
  EXPECT_EQ(fixed.parameters().weight_hh.cols(), 4);
}

}  // namespace
}  // namespace lstm_cell_test
