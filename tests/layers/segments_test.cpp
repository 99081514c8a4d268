// SPDX-License-Identifier: MIT
//
// Training in segments against training with a tape of all steps (itself against PyTorch:
// golden_test.cpp, which has segments, too).
#include "recur/layers/segments.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/allocations.hpp"
#include "support/bytes.hpp"
#include "support/gradient_check.hpp"
#include "support/pass_data.hpp"
#include "support/random.hpp"

namespace segments_test {
namespace {

using recur::Index;
using recur::test::bytes_of;
using recur::test::error_of;
using recur::test::PassData;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;

// Both passes in segments against those with a tape; lengths: of all steps, or those.
template <class Layer, class... Lengths>
void expect_same_results(const Layer& layer, const PassData<Layer>& data, Index segment_steps,
                         const Lengths&... lengths) {
  SCOPED_TRACE(std::to_string(segment_steps) + " steps a segment");
  typename Layer::Tape tape;
  const auto out = layer.forward(data.x, lengths..., data.initial, tape);
  const auto expected = layer.backward(tape, data.d_output, data.d_state);

  typename Layer::SegmentedTape segments(segment_steps);
  for (const bool borrow : {false, true}) {
    segments.borrow_input = borrow;
    const auto segmented = layer.forward(data.x, lengths..., data.initial, segments);
    EXPECT_TRUE(bytes_of(segmented) == bytes_of(out)) << "output";
    for (const char* const time : {"first", "second"}) {  // the records are only read
      SCOPED_TRACE(time);
      const auto gradients = layer.backward(segments, data.d_output, data.d_state);
      EXPECT_TRUE(bytes_of(gradients.input) == bytes_of(expected.input)) << "d_input";
      EXPECT_TRUE(bytes_of(gradients.state) == bytes_of(expected.state)) << "d_state";
      recur::test::expect_parameters_close(gradients.parameters, expected.parameters, 1e-12);
    }
  }
}

template <class Layer>
class Segments : public testing::Test {};
using Layers = testing::Types<recur::LSTM<double>, recur::GRU<double>, recur::RNN<double>>;
TYPED_TEST_SUITE(Segments, Layers);

TYPED_TEST(Segments, GiveWhatATapeGives) {
  for (const bool batch_first : {false, true}) {
    const TypeParam layer(
        {.input_size = 3, .hidden_size = 21, .num_layers = 2, .batch_first = batch_first});
    const PassData<TypeParam> data(layer, 23, 18);
    for (const Index steps : {0, 1, 4, 5, 22, 23, 100}) {
      expect_same_results(layer, data, steps);
    }
  }
}

TYPED_TEST(Segments, OfNoSequences) {
  const TypeParam layer({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  expect_same_results(layer, PassData<TypeParam>(layer, 7, 0), 3);
}

// Some end within a segment, some before others begin, one has no step; the last segments none.
TYPED_TEST(Segments, OfSequencesOfDifferentLengths) {
  const TypeParam layer({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const PassData<TypeParam> data(layer, 23, 6);
  for (const Index steps : {1, 4, 7, 23}) {
    expect_same_results(layer, data, steps, std::vector<Index>{3, 17, 0, 8, 12, 9});
    expect_same_results(layer, data, steps, std::vector<Index>{0, 0, 0, 0, 0, 0});
  }
}

TEST(SegmentsOfLSTM, WithAProjection) {
  const LSTM layer({.input_size = 3, .hidden_size = 7, .num_layers = 2, .proj_size = 4});
  expect_same_results(layer, PassData<LSTM>(layer, 11, 5), 4);
}

// So many sequences of few units that they go backwards in two groups.
TEST(SegmentsOfLSTM, OfGroupsOfSequences) {
  const LSTM layer({.input_size = 3, .hidden_size = 10, .num_layers = 2});
  expect_same_results(layer, PassData<LSTM>(layer, 40, 64), 16);
}

// The second time masks must be those of the first, or the gradients are those of something else:
// by finite differences, as a Tape draws other masks.
TEST(SegmentsOfLSTM, DrawTheSameMasksAgain) {
  recur::Generator generator(3);
  LSTM layer({.input_size = 2, .hidden_size = 4, .num_layers = 3, .dropout = 0.4}, generator);
  PassData<LSTM> data(layer, 7, 3);
  LSTM::SegmentedTape tape(3);
  const auto forward = [&] {
    tape.generator = recur::Generator(8);
    return layer.forward(data.x, data.initial, tape);
  };
  const auto loss = [&] { return recur::test::dot(forward().output, data.d_output); };
  forward();
  EXPECT_FALSE(bytes_of(tape.generator) == bytes_of(recur::Generator(8)));  // it has drawn
  const auto gradients = layer.backward(tape, data.d_output);
  recur::test::expect_gradient(data.x.data(), recur::test::elements(gradients.input).values, loss,
                               1e-3, 1e-9, "input");
  recur::test::expect_parameter_gradients(layer, gradients.parameters, loss, 1e-3, 1e-9);

  tape.training = false;
  EXPECT_TRUE(bytes_of(forward()) == bytes_of(layer.forward(data.x, data.initial)));
  EXPECT_TRUE(bytes_of(tape.generator) == bytes_of(recur::Generator(8)));
}

// What may be left out, and what overlaps.
TEST(SegmentsOfLSTM, TakeWhatATapeTakes) {
  const LSTM layer({.input_size = 5, .hidden_size = 5, .num_layers = 2});
  PassData<LSTM> data(layer, 10, 3);
  LSTM::Tape tape;
  LSTM::SegmentedTape segments(4);
  const auto expect_same = [&](const LSTM::Gradients& gradients, const LSTM::Gradients& expected) {
    EXPECT_TRUE(bytes_of(gradients.input, gradients.state) ==
                bytes_of(expected.input, expected.state));
    recur::test::expect_parameters_close(gradients.parameters, expected.parameters, 1e-12);
  };
  EXPECT_TRUE(bytes_of(layer.forward(data.x, {}, segments)) ==
              bytes_of(layer.forward(data.x, {}, tape)));
  expect_same(layer.backward(segments, {}, data.d_state), layer.backward(tape, {}, data.d_state));
  expect_same(layer.backward(segments, data.d_output), layer.backward(tape, data.d_output));

  LSTM::Gradients expected;  // added to what there is
  LSTM::Gradients gradients;
  for (int time = 0; time < 2; ++time) {
    layer.backward(tape, data.d_output, data.d_state, expected);
    layer.backward(segments, data.d_output, data.d_state, gradients);
  }
  expect_same(gradients, expected);
  gradients.accumulate = expected.accumulate = false;  // overwritten
  gradients.input = data.d_output;
  gradients.state = data.d_state;
  layer.backward(segments, gradients.input, gradients.state, gradients);
  layer.backward(tape, data.d_output, data.d_state, expected);
  expect_same(gradients, expected);

  gradients.input_requires_grad = gradients.state_requires_grad = false;  // left alone
  const auto before = bytes_of(gradients.input, gradients.state);
  layer.backward(segments, {}, {}, gradients);
  EXPECT_TRUE(bytes_of(gradients.input, gradients.state) == before);

  LSTM::Output out;  // the state handed on in place
  out.state = data.initial;
  layer.forward(data.x, out.state, out, segments);
  EXPECT_TRUE(bytes_of(out) == bytes_of(layer.forward(data.x, data.initial)));
}

TEST(SegmentsOfLSTM, SayWhatDoesNotFit) {
  const recur::Tensor3<double> x(6, 2, 3);
  const LSTM both({.input_size = 3, .hidden_size = 4, .bidirectional = true});
  LSTM::SegmentedTape tape;
  EXPECT_EQ(error_of([&] { both.forward(x, {}, tape); }),
            "LSTM::forward: expected a layer of one direction for a SegmentedTape, got 2 (the "
            "reverse one begins with the last step)");
  const LSTM layer({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(
      error_of([&] { layer.backward(tape, {}); }),
      "LSTM::backward: expected a tape of a forward pass (call forward with this tape first)");
  tape.segment_steps = -2;
  EXPECT_EQ(error_of([&] { layer.forward(x, {}, tape); }),
            "LSTM::forward: expected segment_steps of a SegmentedTape to be 0 or more, got -2");
  tape.segment_steps = 4;
  layer.forward(x, {}, tape);
  EXPECT_EQ(error_of([&] { layer.backward(tape, recur::Tensor3<double>(6, 2, 3)); }),
            "Expected d_output size (6, 2, 4), got [6, 2, 3]");
  const LSTM other({.input_size = 3, .hidden_size = 5});
  EXPECT_EQ(error_of([&] { other.backward(tape, {}); }),
            "LSTM::backward: the tape was recorded by a layer of other sizes");
  EXPECT_EQ(error_of([&] { layer.forward(recur::Tensor3<double>(6, 2, 2), {}, tape); }),
            "input.size(-1) must be equal to input_size. Expected 3, got 2");
}

// As many scalars as the header says, and what a training step of one segment needs.
template <class Layer>
void check_peak(Index per_unit, Index states) {
  const Index T = 1000;
  const Index B = 32;
  const Index H = 32;
  const Index S = 40;
  const Layer layer({.input_size = H, .hidden_size = H, .num_layers = 3});
  recur::Generator generator(3);
  const auto x = random_tensor<float>(generator, T, B, H);
  typename Layer::Output out;
  typename Layer::Gradients gradients;
  const auto step_of = [&](auto tape, const auto& input) {
    tape.borrow_input = true;
    layer.forward(input, {}, out, tape);
    layer.backward(tape, out.output, {}, gradients);
  };
  const auto peak_of = [&](const auto& tape, const auto& input) {
    const auto step = [&] { step_of(tape, input); };
    step();  // memory of output, gradients and threads
    return static_cast<double>(recur::test::peak_bytes_of(step));
  };
  const auto bytes = [&](Index count) { return static_cast<double>(3 * count * B * H) * 4; };
  const double peak = peak_of(typename Layer::SegmentedTape(S), x.view());
  const double of_segment = peak_of(typename Layer::Tape(), x.view().narrow(0, 0, S));
  EXPECT_GE(peak, bytes(states * T / S + per_unit * S));
  EXPECT_LE(peak, bytes(states * T / S) + 1.1 * of_segment);
  EXPECT_LE(peak, 0.5 * bytes(per_unit * T));
}

TEST(SegmentedTape, IsAsLargeAsItSays) {
  if (!recur::test::can_count_allocations()) {
    GTEST_SKIP() << "malloc cannot be counted here";
  }
  check_peak<recur::LSTM<float>>(6, 2);
  check_peak<recur::GRU<float>>(5, 1);
  check_peak<recur::RNN<float>>(1, 1);
}

TEST(SegmentedTape, AllocatesNothingWhenUsedAgain) {
  const LSTM layer({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.5});
  const PassData<LSTM> data(layer, 23, 4);
  LSTM::SegmentedTape tape(5);
  LSTM::Output out;
  LSTM::Gradients gradients;
  const auto step = [&] {
    layer.forward(data.x, data.initial, out, tape);
    layer.backward(tape, data.d_output, data.d_state, gradients);
  };
  step();
  EXPECT_EQ(recur::test::allocations_of(step), 0U);
}

}  // namespace
}  // namespace segments_test
