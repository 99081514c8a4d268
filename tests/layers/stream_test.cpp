// SPDX-License-Identifier: MIT
//
// Steps one at a time against forward on whole sequences, bit for bit; forward itself is held
// against PyTorch in golden_test.cpp, as are streams.
#include "recur/layers/stream.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/states.hpp"

namespace stream_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::error_of;
using recur::test::has_c;
using recur::test::random_state;
using recur::test::random_tensor;
using LSTM = recur::LSTM<float>;

template <class Layer>
std::span<const typename Layer::Scalar> step_of(const Tensor3<typename Layer::Scalar>& x, Index t) {
  return {x.view().row(t, 0), static_cast<std::size_t>(x.size(1) * x.size(2))};
}

// All steps from a state to the next, and the first ones again from zeros.
template <class Layer>
void expect_like_forward(const typename Layer::Options& options, Index batch) {
  using Scalar = typename Layer::Scalar;
  SCOPED_TRACE(testing::Message() << options.hidden_size << " units, " << options.num_layers
                                  << " layers, " << batch << " sequences");
  constexpr Index steps = 5;
  recur::Generator generator(3);
  const Layer layer(options, generator);
  const auto x = random_tensor<Scalar>(generator, steps, batch, layer.input_size());
  const auto initial = random_state(layer, batch, generator);
  const auto run = [&](auto& stream) {
    Tensor3<Scalar> output(steps, batch, layer.output_size());
    for (Index t = 0; t < steps; ++t) {
      const auto h = stream.step(step_of<Layer>(x, t));
      ASSERT_EQ(h.size(), static_cast<std::size_t>(batch * layer.output_size()));
      std::copy(h.begin(), h.end(), output.view().row(t, 0));
    }
    const auto expected = layer.forward(x, initial);
    EXPECT_TRUE(bytes_of(output) == bytes_of(expected.output));
    EXPECT_TRUE(bytes_of(stream.state()) == bytes_of(expected.state));
  };
  auto stream = layer.stream(batch);
  EXPECT_EQ(stream.batch(), batch);
  EXPECT_EQ(stream.input_size(), layer.input_size());
  EXPECT_EQ(stream.output_size(), layer.output_size());
  stream.set_state(initial);
  auto copy = stream;
  run(stream);
  run(copy);
  stream.reset();
  const auto first = layer.forward(x.view().narrow(0, 0, 1));
  const auto h = stream.step(step_of<Layer>(x, 0));
  EXPECT_TRUE(std::equal(h.begin(), h.end(), first.output.data()));
}

template <class Layer>
class StreamOf : public testing::Test {};
using Layers =
    testing::Types<recur::LSTM<float>, recur::LSTM<double>, recur::GRU<float>, recur::GRU<double>,
                   recur::RNN<float>, recur::RNN<double>, recur::GRUResetBefore<float>>;
TYPED_TEST_SUITE(StreamOf, Layers);

TYPED_TEST(StreamOf, GivesTheBitsOfForward) {
  const auto options = [](Index input, Index hidden, Index layers) {
    typename TypeParam::Options o;
    o.input_size = input;
    o.hidden_size = hidden;
    o.num_layers = layers;
    return o;
  };
  expect_like_forward<TypeParam>(options(1, 16, 1), 1);
  expect_like_forward<TypeParam>(options(3, 20, 3), 1);
  expect_like_forward<TypeParam>(options(40, 64, 2), 2);
  expect_like_forward<TypeParam>(options(3, 5, 2), 40);  // a sequence in each lane
}

TEST(Stream, WithAProjection) {
  LSTM::Options options;
  options.input_size = 3;
  options.hidden_size = 20;
  options.num_layers = 2;
  options.proj_size = 7;
  expect_like_forward<LSTM>(options, 1);
  expect_like_forward<LSTM>(options, 3);
}

// So much work in a step that other threads are called.
TEST(Stream, OnAnyNumberOfThreads) {
  LSTM::Options options;
  options.input_size = 64;
  options.hidden_size = 256;
  options.num_layers = 2;
  const int before = recur::max_threads();
  for (const int threads : {1, 2, 3}) {
    recur::set_num_threads(threads);
    expect_like_forward<LSTM>(options, 8);
  }
  recur::set_num_threads(before);
}

// What comes out goes in again.
TEST(Stream, FeedsItself) {
  recur::Generator generator(1);
  const LSTM lstm({.input_size = 6, .hidden_size = 6, .num_layers = 2}, generator);
  Tensor3<float> x = random_tensor<float>(generator, 1, 1, 6);
  auto stream = lstm.stream();
  auto h = stream.step(step_of<LSTM>(x, 0));
  LSTM::State state;
  for (int t = 0; t < 4; ++t) {
    auto next = lstm.forward(x, state);
    EXPECT_TRUE(std::equal(h.begin(), h.end(), next.output.data()));
    x = next.output;
    state = std::move(next.state);
    h = stream.step(h);
  }
}

TEST(Stream, IntoTheCallersMemory) {
  recur::Generator generator(1);
  const LSTM lstm({.input_size = 2, .hidden_size = 3}, generator);
  auto stream = lstm.stream();
  auto other = lstm.stream();
  const std::array<float, 2> x = {1, -2};
  std::array<float, 3> out{};
  stream.step(x, out);
  const auto h = other.step(x);
  EXPECT_TRUE(std::equal(h.begin(), h.end(), out.begin()));
  Eigen::Vector3f in_place(1, -2, 0);  // x at its start
  stream.reset();
  stream.step({in_place.data(), 2}, {in_place.data(), 3});
  EXPECT_TRUE(std::equal(h.begin(), h.end(), in_place.data()));
}

TEST(Stream, ParametersCountFromTheNextStepOn) {
  recur::Generator generator(1);
  LSTM lstm({.input_size = 2, .hidden_size = 3}, generator);
  auto stream = lstm.stream();
  recur::test::randomize_parameters(lstm, generator);
  const Tensor3<float> x = random_tensor<float>(generator, 1, 1, 2);
  const auto h = stream.step(step_of<LSTM>(x, 0));
  const auto expected = lstm.forward(x);
  EXPECT_TRUE(std::equal(h.begin(), h.end(), expected.output.data()));
}

TEST(Stream, StepsAllocateNothing) {
  if (!recur::test::can_count_allocations()) {
    GTEST_SKIP() << "malloc cannot be counted here";
  }
  recur::Generator generator(1);
  const LSTM lstm({.input_size = 2, .hidden_size = 5, .num_layers = 2, .proj_size = 3}, generator);
  auto stream = lstm.stream(3);
  const std::vector<float> x(6, 0.5F);
  std::vector<float> out(9);
  EXPECT_EQ(recur::test::allocations_of([&] {
              stream.step(x);
              stream.step(x, out);
              stream.reset();
            }),
            0U);
}

TEST(Stream, Errors) {
  recur::Generator generator(1);
  LSTM lstm({.input_size = 2, .hidden_size = 3, .num_layers = 2}, generator);
  EXPECT_EQ(error_of([&] { lstm.stream(0); }),
            "LSTM::stream: expected one sequence or more, got 0");
  const LSTM both({.input_size = 2, .hidden_size = 3, .bidirectional = true}, generator);
  EXPECT_EQ(error_of([&] { both.stream(); }),
            "LSTM::stream: expected a layer of one direction, got 2 (the reverse one begins with "
            "the last step)");

  auto stream = lstm.stream(2);
  stream.set_state(random_state(lstm, 2, generator));
  const std::string before = bytes_of(stream.state());
  const std::vector<float> x(4, 1.0F);
  std::vector<float> out(5, 7.0F);
  EXPECT_EQ(error_of([&] { stream.step(out); }), "LSTM::stream: x: expected 2 x 2 numbers, got 5");
  EXPECT_EQ(error_of([&] { stream.step(x, out); }),
            "LSTM::stream: out: expected 2 x 3 numbers, got 5");
  const Tensor3<float> wrong(2, 1, 3);
  const Tensor3<float> right(2, 2, 3);
  EXPECT_EQ(error_of([&] {
              stream.set_state({wrong, right});
            }),
            "Expected hidden[0] size (2, 2, 3), got [2, 1, 3]");
  EXPECT_EQ(error_of([&] {
              stream.set_state({right, wrong});
            }),
            "Expected hidden[1] size (2, 2, 3), got [2, 1, 3]");
  EXPECT_TRUE(bytes_of(stream.state()) == before);
  EXPECT_EQ(out, std::vector<float>(5, 7.0F));

  lstm = LSTM({.input_size = 2, .hidden_size = 4, .num_layers = 2}, generator);
  EXPECT_EQ(error_of([&] { stream.step(x); }),
            "LSTM::stream: the layer has other sizes than when the stream was made");
  lstm = LSTM({.input_size = 2, .hidden_size = 3}, generator);
  EXPECT_EQ(error_of([&] { stream.step(x); }),
            "LSTM::stream: the layer has other sizes than when the stream was made");
  EXPECT_TRUE(bytes_of(stream.state()) == before);
}

}  // namespace
}  // namespace stream_test
