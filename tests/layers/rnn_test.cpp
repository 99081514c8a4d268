// SPDX-License-Identifier: MIT
//
// torch.nn.RNN in closed form; the comparison with PyTorch is in golden_test.cpp.
#include "recur/layers/rnn.hpp"

#include <cmath>
#include <utility>

#include <gtest/gtest.h>

#include "support/random.hpp"
#include "support/zero_weights.hpp"

namespace rnn_test {
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

// In one go, 128 terms of W_hh h erred by 2.2e-8 to 2.3e-8 after many steps, 256 by as much.
TEST(RNN, AThousandStepsLoseFewDigits) {
  for (const auto& [hidden, most] : {std::pair(128, 2.05e-8), std::pair(256, 1.8e-8)}) {
    recur::Generator generator(1);
    const recur::RNN<float> rnn({.input_size = 3, .hidden_size = hidden}, generator);
    recur::RNN<double> exact({.input_size = 3, .hidden_size = hidden});
    exact.update_parameters([&](auto& p) {
      const auto& from = rnn.parameters().cell(0);
      p.cell(0).weight_ih = from.weight_ih.template cast<double>();
      p.cell(0).weight_hh = from.weight_hh.template cast<double>();
      p.cell(0).bias_ih = from.bias_ih.template cast<double>();
      p.cell(0).bias_hh = from.bias_hh.template cast<double>();
    });
    const auto x = recur::test::random_tensor<float>(generator, 1000, 4, 3);
    recur::Tensor3<double> exact_x(1000, 4, 3);
    exact_x.rows() = x.rows().cast<double>();
    const auto output = rnn.forward(x).output;
    const auto expected = exact.forward(exact_x).output;
    const double sum = (output.rows().cast<double>() - expected.rows()).squaredNorm();
    EXPECT_LT(std::sqrt(sum / static_cast<double>(output.size())), most) << hidden << " units";
  }
}

}  // namespace
}  // namespace rnn_test
