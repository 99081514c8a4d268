// SPDX-License-Identifier: MIT
//
// torch.nn.RNN in closed form; the comparison with PyTorch is in golden_test.cpp.
#include "recur/layers/rnn.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace {

// One unit, x and h with weight one, relu: h sums up what is positive so far.
TEST(RNN, ReluSumsUpItsInput) {
  auto rnn = recur::test::with_zero_weights(recur::RNN<double>(
      {.input_size = 1, .hidden_size = 1, .nonlinearity = recur::Nonlinearity::relu}));
  rnn.update_parameters([](auto& p) {
    p.cells[0].weight_ih << 1;
    p.cells[0].weight_hh << 1;
  });
  recur::RowMatrix<double> x(5, 1);
  x << 1, 2, -5, 4, 0.5;
  recur::RowMatrix<double> expected(5, 1);
  expected << 1, 3, 0, 4, 4.5;
  EXPECT_EQ(rnn.forward(x).output, expected);
}

TEST(RNN, TanhByDefault) {
  auto rnn =
      recur::test::with_zero_weights(recur::RNN<double>({.input_size = 1, .hidden_size = 1}));
  rnn.update_parameters([](auto& p) { p.cells[0].weight_ih << 1; });
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Constant(1, 1, 0.5);
  EXPECT_DOUBLE_EQ(rnn.forward(x).output(0, 0), std::tanh(0.5));
}

TEST(RNN, SizesAsTemplateArguments) {
  const recur::RNN<float, 3, 4> fixed({.num_layers = 2});
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.rows(), 1 * 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.cols(), 4);
}

}  // namespace
