// SPDX-License-Identifier: MIT
//
// One layer, forward and back, against loops of reference steps: sizes around the vector registers,
// chunks of steps, threads.
#include "recur/layers/layer_forward.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/compare_with_reference.hpp"

namespace layer_forward_test {
namespace {

using recur::Index;
using recur::test::expect_equals_reference;
namespace math = recur::math;

TEST(Layer, EqualsReferenceAtEverySizeAroundARegister) {
  for (Index hidden = 1; hidden <= 35; ++hidden) {
    SCOPED_TRACE(hidden);
    recur::LSTM<double> lstm({.input_size = 3, .hidden_size = hidden, .bidirectional = true});
    expect_equals_reference(math::LSTM(), lstm, 3, 2, 1e-12);
    recur::GRU<double> gru({.input_size = 3, .hidden_size = hidden, .bidirectional = true});
    expect_equals_reference(math::GRU(), gru, 3, 2, 1e-12);
    recur::RNN<double> rnn({.input_size = 3, .hidden_size = hidden, .bidirectional = true});
    expect_equals_reference(math::RNN(), rnn, 3, 2, 1e-12);
    if (hidden > 1) {
      recur::LSTM<double> projected(
          {.input_size = 3, .hidden_size = hidden, .proj_size = (hidden + 1) / 2});
      expect_equals_reference(math::LSTM(), projected, 3, 2, 1e-12);
    }
  }
}

TEST(Layer, EqualsReferenceAtEveryBatchSizeAroundATile) {
  for (Index batch = 1; batch <= 20; ++batch) {
    SCOPED_TRACE(batch);
    recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
    expect_equals_reference(math::LSTM(), lstm, 3, batch, 1e-12);
    recur::GRU<double> gru({.input_size = 3, .hidden_size = 5, .num_layers = 2});
    expect_equals_reference(math::GRU(), gru, 3, batch, 1e-12);
  }
}

TEST(Layer, FloatEqualsReference) {
  for (const Index hidden : {7, 16, 31, 33, 64, 67}) {
    SCOPED_TRACE(hidden);
    recur::LSTM<float> lstm(
        {.input_size = 20, .hidden_size = hidden, .num_layers = 2, .bidirectional = true});
    expect_equals_reference(math::LSTM(), lstm, 4, 7, 1e-5);
    recur::GRU<float> gru(
        {.input_size = 20, .hidden_size = hidden, .num_layers = 2, .bidirectional = true});
    expect_equals_reference(math::GRU(), gru, 4, 7, 1e-5);
  }
}

// Long sequences are taken in chunks of steps.
TEST(Layer, EqualsReferenceOverSeveralChunks) {
  const Index batch = 16;
  const Index steps = 45;
  const Index hidden = 48;
  recur::Schedule schedule;
  schedule.assign(steps, batch);
  ASSERT_LT(recur::layers::chunk_steps<double>(schedule, 4 * hidden) * 2, steps);

  recur::LSTM<double> lstm({.input_size = 4, .hidden_size = hidden, .bidirectional = true});
  expect_equals_reference(math::LSTM(), lstm, steps, batch, 1e-11);
  recur::LSTM<double> projected(
      {.input_size = 4, .hidden_size = hidden, .bidirectional = true, .proj_size = 10});
  expect_equals_reference(math::LSTM(), projected, steps, batch, 1e-11);
  recur::GRU<double> gru({.input_size = 4, .hidden_size = hidden, .num_layers = 2});
  expect_equals_reference(math::GRU(), gru, steps, batch, 1e-11);
}

// One layer's outputs and gradients with a number of threads.
template <class Layer>
auto pass_with_threads(const Layer& layer, const recur::Tensor3<float>& x, int threads) {
  const int before = recur::max_threads();
  recur::set_num_threads(threads);
  typename Layer::Tape tape;
  auto out = layer.forward(x, {}, tape);
  auto gradients = layer.backward(tape, out.output, out.state);
  recur::set_num_threads(before);
  return std::pair(std::move(out), std::move(gradients));
}

template <class Layer>
void expect_independent_of_threads(Index batch) {
  recur::Generator generator(3);
  const Layer layer({.input_size = 24, .hidden_size = 36, .num_layers = 2, .bidirectional = true},
                    generator);
  const auto x = recur::test::random_tensor<float>(generator, 12, batch, 24);
  const auto [out, gradients] = pass_with_threads(layer, x, 1);
  for (const int threads : {2, 3, 5}) {
    SCOPED_TRACE(threads);
    const auto [out_n, gradients_n] = pass_with_threads(layer, x, threads);
    recur::test::expect_same(out_n.output, out.output, "output");
    recur::test::expect_same(out_n.state.h, out.state.h, "h_n");
    recur::test::expect_same(gradients_n.input, gradients.input, "d_input");
    recur::test::expect_same(gradients_n.state.h, gradients.state.h, "d_h_0");
    recur::test::expect_parameters_close(gradients_n.parameters, gradients.parameters, 0);
  }
}

TEST(Layer, ThreadsDoNotChangeABit) {
  for (const Index batch : {1, 16, 37}) {
    expect_independent_of_threads<recur::LSTM<float>>(batch);
    expect_independent_of_threads<recur::GRU<float>>(batch);
  }
}

// A sequence gives the same whatever stands beside it in the batch.
TEST(Layer, BatchDoesNotChangeABit) {
  recur::Generator generator(4);
  const recur::LSTM<float> lstm(
      {.input_size = 5, .hidden_size = 21, .num_layers = 2, .bidirectional = true}, generator);
  const auto x = recur::test::random_tensor<float>(generator, 6, 13, 5);
  const auto all = lstm.forward(x);
  for (Index b = 0; b < x.size(1); ++b) {
    const auto one = lstm.forward(x.view().narrow(1, b, 1));
    recur::test::expect_same(one.output, recur::Tensor3<float>(all.output.view().narrow(1, b, 1)),
                             "output");
    recur::test::expect_same(one.state.c, recur::Tensor3<float>(all.state.c.view().narrow(1, b, 1)),
                             "c_n");
  }
}

}  // namespace
}  // namespace layer_forward_test
