// SPDX-License-Identifier: MIT
//
// torch.nn.LSTM in closed form; the comparison with PyTorch is in golden_test.cpp.
#include "recur/layers/lstm.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace lstm_test {
namespace {

// c halves at every step, h = tanh(c) / 2.
TEST(LSTM, WithoutWeightsForgetsByHalves) {
  const auto lstm = recur::test::with_zero_weights(
      recur::LSTM<double>({.input_size = 2, .hidden_size = 3, .num_layers = 2}));
  recur::LSTM<double>::State initial;
  initial.c = recur::Tensor3<double>(2, 1, 3);
  initial.c.rows().setConstant(4);
  const auto [output, state] = lstm.forward(recur::Tensor3<double>(5, 1, 2), initial);
  double c = 4;
  for (recur::Index t = 0; t < 5; ++t) {
    c /= 2;
    EXPECT_DOUBLE_EQ(output(t, 0, 1), std::tanh(c) / 2) << t;
  }
  EXPECT_DOUBLE_EQ(state.c(0, 0, 2), c);
  EXPECT_DOUBLE_EQ(state.c(1, 0, 2), c);
}

TEST(LSTM, SizesAsTemplateArguments) {
  const recur::LSTM<float, 3, 4> fixed({.num_layers = 2});
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.rows(), 4 * 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.cols(), 4);
}

}  // namespace
}  // namespace lstm_test
