// SPDX-License-Identifier: MIT
//
// torch.nn.RNNCell in closed form; the comparison with PyTorch is in cell_test.cpp.
#include "recur/cells/rnn_cell.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace rnn_cell_test {
namespace {

// h' = f(b_ih + b_hh + 2 h), f: tanh or relu.
TEST(RNNCell, BothNonlinearities) {
  for (const auto nonlinearity : {recur::Nonlinearity::tanh, recur::Nonlinearity::relu}) {
    auto cell = recur::test::with_zero_weights(
        recur::RNNCell<double>({.input_size = 1, .hidden_size = 1, .nonlinearity = nonlinearity}));
    cell.update_parameters([](auto& p) {
      p.bias_ih << 0.25;
      p.bias_hh << 0.5;
      p.weight_hh << 2;
    });
    const recur::RowMatrix<double> x = recur::RowMatrix<double>::Zero(1, 1);
    for (const double before : {0.125, -1.0}) {
      const recur::RowMatrix<double> h = recur::RowMatrix<double>::Constant(1, 1, before);
      const double sum = 0.75 + 2 * before;
      EXPECT_DOUBLE_EQ(cell.forward(x, {h}).h(0, 0), nonlinearity == recur::Nonlinearity::tanh
                                                         ? std::tanh(sum)
                                                         : std::fmax(sum, 0.0));
    }
  }
}

TEST(RNNCell, SizesAsTemplateArguments) {
  const recur::RNNCell<float, 3, 4> fixed;
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().weight_ih.rows(), 1 * 4);
  EXPECT_EQ(fixed.parameters().weight_hh.cols(), 4);
}

}  // namespace
}  // namespace rnn_cell_test
