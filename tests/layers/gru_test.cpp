// SPDX-License-Identifier: MIT
//
// torch.nn.GRU in closed form; the comparison with PyTorch is in golden_test.cpp.
#include "recur/layers/gru.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/zero_weights.hpp"

namespace gru_test {
namespace {

// h halves at every step; so does its gradient on the way back.
TEST(GRU, WithoutWeightsForgetsByHalves) {
  const auto gru = recur::test::with_zero_weights(
      recur::GRU<double>({.input_size = 2, .hidden_size = 3, .bidirectional = true}));
  recur::GRU<double>::State initial;
  initial.h = recur::Tensor3<double>(2, 1, 3);
  initial.h.rows().setConstant(4);
  recur::GRU<double>::Tape tape;
  const auto [output, state] = gru.forward(recur::Tensor3<double>(5, 1, 2), initial, tape);
  for (recur::Index t = 0; t < 5; ++t) {
    EXPECT_DOUBLE_EQ(output(t, 0, 0), std::ldexp(4.0, -static_cast<int>(t + 1))) << t;
    EXPECT_DOUBLE_EQ(output(t, 0, 3), std::ldexp(4.0, -static_cast<int>(5 - t))) << t;
  }
  recur::GRU<double>::State d_state;
  d_state.h = recur::Tensor3<double>(2, 1, 3);
  d_state.h.rows().setOnes();
  const auto gradients = gru.backward(tape, {}, d_state);
  EXPECT_DOUBLE_EQ(gradients.state.h(0, 0, 0), 1.0 / 32);
  EXPECT_DOUBLE_EQ(gradients.state.h(1, 0, 2), 1.0 / 32);
}

TEST(GRU, SizesAsTemplateArguments) {
  const recur::GRU<float, 3, 4> fixed({.num_layers = 2});
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.rows(), 3 * 4);
  EXPECT_EQ(fixed.parameters().cell(1).weight_ih.cols(), 4);
}

}  // namespace
}  // namespace gru_test
