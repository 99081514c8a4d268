// SPDX-License-Identifier: MIT
#include "recur/cells/options.hpp"

#include <gtest/gtest.h>

#include "recur/cells/lstm_cell.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/compare.hpp"

namespace options_test {
namespace {

using LSTM = recur::LSTM<float>;
using GRU = recur::GRU<float>;
using RNN = recur::RNN<float>;

TEST(Options, DefaultsArePyTorchs) {
  const recur::RecurrentOptions options;
  EXPECT_EQ(options.num_layers, 1);
  EXPECT_TRUE(options.bias);
  EXPECT_FALSE(options.batch_first);
  EXPECT_EQ(options.dropout, 0);
  EXPECT_FALSE(options.bidirectional);
  EXPECT_EQ(options.proj_size, 0);
  const recur::RNNOptions rnn;
  EXPECT_EQ(rnn.nonlinearity, recur::Nonlinearity::tanh);
  EXPECT_TRUE(rnn.bias);
}

TEST(Options, SizesMustBePositive) {
  EXPECT_ERROR(LSTM({.input_size = 3}), "hidden_size must be greater than zero");
  EXPECT_ERROR(GRU({.input_size = 3, .hidden_size = -1}), "hidden_size must be greater than zero");
  EXPECT_ERROR(LSTM({.hidden_size = 3}), "input_size must be greater than zero");
  EXPECT_ERROR(RNN({.input_size = 3, .hidden_size = 3, .num_layers = 0}),
               "num_layers must be greater than zero");
  EXPECT_ERROR(recur::LSTMCell<float>({.input_size = 3}), "hidden_size must be greater than zero");
}

TEST(Options, Dropout) {
  const char* text =
      "dropout should be a number in range [0, 1] representing the probability of an element being "
      "zeroed";
  EXPECT_ERROR(LSTM({.input_size = 3, .hidden_size = 3, .dropout = -0.1}), text);
  EXPECT_ERROR(RNN({.input_size = 3, .hidden_size = 3, .dropout = 1.1}), text);
  EXPECT_ERROR(GRU({.input_size = 3, .hidden_size = 3, .dropout = std::nan("")}), text);
  EXPECT_EQ(LSTM({.input_size = 3, .hidden_size = 3, .dropout = 1}).options().dropout, 1);
  // One layer has nothing to drop out between: PyTorch warns, it is no error.
  EXPECT_EQ(
      LSTM({.input_size = 3, .hidden_size = 3, .num_layers = 2, .dropout = 0.5}).options().dropout,
      0.5);
}

TEST(Options, Projection) {
  const char* only_lstm = "proj_size argument is only supported for LSTM, not RNN or GRU";
  EXPECT_ERROR(GRU({.input_size = 3, .hidden_size = 3, .proj_size = 2}), only_lstm);
  EXPECT_ERROR(RNN({.input_size = 3, .hidden_size = 3, .proj_size = 2}), only_lstm);
  EXPECT_ERROR(LSTM({.input_size = 3, .hidden_size = 3, .proj_size = 3}),
               "proj_size has to be smaller than hidden_size");
  EXPECT_ERROR(LSTM({.input_size = 3, .hidden_size = 3, .proj_size = -1}),
               "proj_size should be a positive integer or zero to disable projections");
}

TEST(Options, SizesOfTheTemplateArguments) {
  using Fixed = recur::GRU<float, 3, 5>;
  EXPECT_EQ(Fixed().input_size(), 3);
  EXPECT_EQ(Fixed({.input_size = 3, .hidden_size = 5}).hidden_size(), 5);
  EXPECT_ERROR(Fixed({.hidden_size = 4}),
               "hidden_size is fixed to 5 by a template argument, got 4");
}

}  // namespace
}  // namespace options_test
