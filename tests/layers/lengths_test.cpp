// SPDX-License-Identifier: MIT
//
// Sequences of different lengths in one batch against a loop over the sequences, each alone.
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/gradient_check.hpp"

namespace lengths_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::expect_close;
using recur::test::random_tensor;
using Lengths = std::vector<Index>;

// What stands behind a sequence's end must be zero.
void expect_zero_behind(const Tensor3<double>& tensor, Index sequence, Index length,
                        const char* what) {
  for (Index t = length; t < tensor.size(0); ++t) {
    EXPECT_TRUE(tensor[t].row(sequence).isZero(0))
        << what << " of sequence " << sequence << " at step " << t;
  }
}

template <class Layer>
void expect_equals_loop(const Layer& layer, const Lengths& lengths, Index steps, bool with_state) {
  constexpr bool has_c = requires(typename Layer::State state) { state.c; };
  const Index B = static_cast<Index>(lengths.size());
  const Index states = layer.num_layers() * layer.directions();
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, steps, B, layer.input_size());
  const auto d_output =
      random_tensor<double>(generator, steps, B, layer.directions() * layer.output_size());
  typename Layer::State initial;
  typename Layer::State d_state;
  d_state.h = random_tensor<double>(generator, states, B, layer.output_size());
  if (with_state) {
    initial.h = random_tensor<double>(generator, states, B, layer.output_size());
  }
  if constexpr (has_c) {
    d_state.c = random_tensor<double>(generator, states, B, layer.hidden_size());
    if (with_state) {
      initial.c = random_tensor<double>(generator, states, B, layer.hidden_size());
    }
  }

  typename Layer::Tape tape;
  const auto out = layer.forward(x, lengths, initial, tape);
  recur::test::expect_same(layer.forward(x, lengths, initial).output, out.output, "inference");
  const auto gradients = layer.backward(tape, d_output, d_state);

  const auto one = [](const Tensor3<double>& tensor, Index b) {
    return tensor.size() == 0 ? Tensor3<double>() : Tensor3<double>(tensor.view().narrow(1, b, 1));
  };
  const auto first = [&](const Tensor3<double>& tensor, Index b, Index length) {
    return Tensor3<double>(tensor.view().narrow(1, b, 1).narrow(0, 0, length));
  };
  const auto state_of = [&](const typename Layer::State& state, Index b) {
    typename Layer::State part;
    part.h = one(state.h, b);
    if constexpr (has_c) {
      part.c = one(state.c, b);
    }
    return part;
  };
  const double tolerance = 1e-12;
  auto expected_parameters = recur::zero_gradients(layer);
  for (Index b = 0; b < B; ++b) {
    SCOPED_TRACE(b);
    const Index length = lengths[static_cast<std::size_t>(b)];
    expect_zero_behind(out.output, b, length, "output");
    expect_zero_behind(gradients.input, b, length, "d_input");
    if (length == 0) {  // the state passes through
      const Tensor3<double> zeros(states, 1, layer.output_size());
      expect_close(one(out.state.h, b), with_state ? one(initial.h, b) : zeros, 0, "h_n");
      expect_close(one(gradients.state.h, b), one(d_state.h, b), 0, "d_h_0");
      continue;
    }
    typename Layer::Tape own;
    const auto single = layer.forward(first(x, b, length), state_of(initial, b), own);
    typename Layer::Gradients single_gradients;
    single_gradients.parameters = std::move(expected_parameters);
    layer.backward(own, first(d_output, b, length), state_of(d_state, b), single_gradients);
    expected_parameters = std::move(single_gradients.parameters);
    expect_close(first(out.output, b, length), single.output, tolerance, "output");
    expect_close(one(out.state.h, b), single.state.h, tolerance, "h_n");
    expect_close(first(gradients.input, b, length), single_gradients.input, tolerance, "d_input");
    expect_close(one(gradients.state.h, b), single_gradients.state.h, tolerance, "d_h_0");
    if constexpr (has_c) {
      expect_close(one(out.state.c, b), single.state.c, tolerance, "c_n");
      expect_close(one(gradients.state.c, b), single_gradients.state.c, tolerance, "d_c_0");
    }
  }
  recur::test::expect_parameters_close(gradients.parameters, expected_parameters, tolerance);
}

template <class Layer>
void check_all(const Layer& layer) {
  for (const bool with_state : {true, false}) {
    SCOPED_TRACE(with_state);
    expect_equals_loop(layer, {5}, 5, with_state);
    expect_equals_loop(layer, {10, 10, 6, 2, 2, 1, 1}, 10, with_state);
    expect_equals_loop(layer, {2, 1, 3, 2, 10, 5, 3}, 10, with_state);
    expect_equals_loop(layer, {2, 0, 3, 0}, 7,
                       with_state);  // some are empty; no one reaches the end
    expect_equals_loop(layer, {0, 0}, 3, with_state);
    expect_equals_loop(layer, {0, 1, 0}, 2, with_state);  // a single step in all
  }
}

TEST(Lengths, EqualALoopOverTheSequences) {
  check_all(recur::LSTM<double>({.input_size = 3, .hidden_size = 5}));
  check_all(recur::LSTM<double>(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}));
  check_all(recur::LSTM<double>(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2}));
  check_all(recur::GRU<double>(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}));
  check_all(recur::RNN<double>(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}));
}

// More rows than a chunk of backward has; an input that fills a register, and one that does not.
TEST(Lengths, EqualALoopOverTheSequencesInSeveralChunks) {
  Lengths lengths;
  for (Index k = 0; k < 60; ++k) {
    lengths.push_back(k * 37 % 60 * 2);
  }
  lengths[20] = 180;  // most steps run with this one alone
  for (const Index input : {3, 20}) {
    for (const bool bidirectional : {false, true}) {
      SCOPED_TRACE(testing::Message() << "I " << input << ", bidirectional " << bidirectional);
      const recur::RecurrentOptions options{
          .input_size = input, .hidden_size = 9, .bidirectional = bidirectional};
      expect_equals_loop(recur::GRU<double>(options), lengths, 180, true);
      auto projected = recur::LSTM<double>::Options(options);
      projected.proj_size = 4;
      expect_equals_loop(recur::LSTM<double>(projected), lengths, 180, true);
    }
  }
}

// Whatever stands in the padding, NaN included, reaches nothing.
TEST(Lengths, PaddingIsNeverRead) {
  recur::Generator generator(2);
  const recur::LSTM<double> lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.5, .bidirectional = true});
  const Lengths lengths{2, 4, 0};
  auto x = random_tensor<double>(generator, 5, 3, 3);
  auto d_output = random_tensor<double>(generator, 5, 3, 10);
  for (Index b = 0; b < 3; ++b) {
    for (Index t = lengths[static_cast<std::size_t>(b)]; t < 5; ++t) {
      x[t].row(b).setConstant(std::nan(""));
      d_output[t].row(b).setConstant(std::nan(""));
    }
  }
  recur::LSTM<double>::Tape tape;
  const auto out = lstm.forward(x, lengths, {}, tape);
  const auto gradients = lstm.backward(tape, d_output, out.state);
  EXPECT_TRUE(out.output.rows().allFinite());
  EXPECT_TRUE(out.state.h.rows().allFinite());
  EXPECT_TRUE(gradients.input.rows().allFinite());
  recur::for_each_gradient([](const auto& array) { EXPECT_TRUE(array.allFinite()); },
                           gradients.parameters);
}

TEST(Lengths, BatchFirst) {
  recur::Generator generator(2);
  recur::Generator same(2);
  const recur::GRU<double> gru({.input_size = 3, .hidden_size = 5, .batch_first = true}, generator);
  const recur::GRU<double> time_major({.input_size = 3, .hidden_size = 5}, same);
  const auto x = random_tensor<double>(generator, 3, 6, 3);
  const Lengths lengths{2, 6, 3};
  const auto expected = time_major.forward(Tensor3<double>(x.view().transposed()), lengths);
  const auto actual = gru.forward(x, lengths);
  recur::test::expect_same(Tensor3<double>(actual.output.view().transposed()), expected.output,
                           "output");
  EXPECT_ERROR(gru.forward(x, Lengths{1, 2}),
               "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)");
  EXPECT_ERROR(gru.forward(x, Lengths{1, 2, 7}), "lengths[2]: expected 0 to 6");
}

}  // namespace
}  // namespace lengths_test
