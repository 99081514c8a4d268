// SPDX-License-Identifier: MIT
//
// The checks alone; that every call makes them before it writes: stack_test.cpp, calls_test.cpp.
#include "recur/layers/shape_checks.hpp"

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"

#include "support/compare.hpp"

namespace shape_checks_test {
namespace {

using recur::Tensor3;
using LSTMChecks = recur::layers::ShapeChecks<recur::math::LSTM, float>;
using GRUChecks = recur::layers::ShapeChecks<recur::math::GRU, float>;

constexpr recur::layers::ModuleSizes sizes{
    .input = 3, .hidden = 5, .output = 2, .layers = 2, .directions = 2};

TEST(ShapeChecks, Sizes) {
  EXPECT_EQ(sizes.states(), 4);
  EXPECT_EQ(sizes.features(), 4);
}

TEST(ShapeChecks, Input) {
  const LSTMChecks checks{sizes};
  const Tensor3<float> h(4, 7, 2);
  const Tensor3<float> c(4, 7, 5);
  checks.input(3, {}, 7, 1);
  checks.input(3, {h, c}, 7, 1);
  EXPECT_ERROR(checks.input(4, {}, 7, 1),
               "input.size(-1) must be equal to input_size. Expected 3, got 4");
  EXPECT_ERROR(checks.input(3, {c, c}, 7, 1), "Expected hidden[0] size (4, 7, 2), got [4, 7, 5]");
  EXPECT_ERROR(checks.input(3, {h, h}, 7, 1), "Expected hidden[1] size (4, 7, 5), got [4, 7, 2]");
  EXPECT_ERROR(checks.input(3, {h, c}, 8, 1), "Expected hidden[0] size (4, 8, 2), got [4, 7, 2]");
  EXPECT_ERROR(checks.input(3, {}, 7, 0), "Expected sequence length to be larger than 0 in RNN");
  EXPECT_ERROR(GRUChecks{sizes}.input(3, {c}, 7, 1),
               "Expected hidden size (4, 7, 2), got [4, 7, 5]");
}

TEST(ShapeChecks, Gradients) {
  const LSTMChecks checks{sizes};
  checks.state_gradients({}, 7);
  EXPECT_ERROR(checks.state_gradients({Tensor3<float>(4, 6, 2), {}}, 7),
               "Expected d_state.h size (4, 7, 2), got [4, 6, 2]");
  EXPECT_ERROR(checks.state_gradients({{}, Tensor3<float>(4, 7, 2)}, 7),
               "Expected d_state.c size (4, 7, 5), got [4, 7, 2]");
}

TEST(ShapeChecks, TapeOfNoCall) {
  EXPECT_ERROR(LSTMChecks{sizes}.tape(recur::Tape<float>(), "backward"),
               "LSTM::backward: expected a tape of 2 layers, got 0");
}

}  // namespace
}  // namespace shape_checks_test
