// SPDX-License-Identifier: MIT
//
// Dropout between layers: how much, where, from which generator, and backwards through its mask.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/bytes.hpp"
#include "support/gradient_check.hpp"

namespace dropout_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;
using RNN = recur::RNN<double>;
using Lengths = std::vector<Index>;
using RowMatrix = recur::RowMatrix<double>;

// ---- statistics ----

RNN ones_rnn(double p) {
  RNN rnn({.input_size = 10,
           .hidden_size = 1000,
           .num_layers = 2,
           .nonlinearity = recur::Nonlinearity::relu,
           .bias = false,
           .dropout = p});
  recur::update_parameters(rnn, [](const std::string&, auto& array) { array.setOnes(); });
  return rnn;
}

Tensor3<double> ones(Index steps, Index batch, Index features) {
  Tensor3<double> x(steps, batch, features);
  x.rows().setOnes();
  return x;
}

// PyTorch's test_RNN_dropout (point 4 of its checks, see pytorch_checklist_test.cpp): 10 reaches
// each unit of the first layer; a unit of the second sums up what is left of a thousand.
void expect_statistics(const RNN& rnn, double p, bool training) {
  RNN::Tape tape;
  tape.training = training;
  const auto [output, state] = rnn.forward(ones(1, 1, 10), {}, tape);
  const auto values = output[0].row(0).array();
  EXPECT_EQ(values.minCoeff(), values.maxCoeff());
  const double value = output(0, 0, 0);
  if (p == 0 || !training) {
    EXPECT_EQ(value, 10000);
  } else if (p == 1) {
    EXPECT_EQ(value, 0);
  } else {
    EXPECT_GT(value, 8000);
    EXPECT_LT(value, 12000);
    const double kept = value * (1 - p) / 10;  // of the thousand
    EXPECT_NEAR(kept, std::round(kept), 1e-3);
    EXPECT_NEAR(kept, 1000 * (1 - p), 4 * std::sqrt(1000 * p * (1 - p)));
  }
  EXPECT_TRUE((state.h[0].array() == 10).all());  // the first layer's state is not dropped
  EXPECT_TRUE((state.h[1].array() == value).all());
}

TEST(PyTorchChecklist, P04_DropoutScalesWhatItKeepsBetweenLayersOnly) {
  for (const double p : {0.0, 0.276, 0.731, 1.0}) {
    SCOPED_TRACE(p);
    expect_statistics(ones_rnn(p), p, true);
    expect_statistics(ones_rnn(p), p, false);
  }
}

TEST(Dropout, CanBeChangedAfterConstruction) {
  RNN rnn = ones_rnn(0.5);
  for (const double p : {1.0, 0.276, 0.0, 0.731}) {
    SCOPED_TRACE(p);
    rnn.set_dropout(p);
    EXPECT_EQ(rnn.options().dropout, p);
    expect_statistics(rnn, p, true);
    expect_statistics(rnn, p, false);
  }
}

// Every element and step is drawn by itself.
TEST(Dropout, DropsItsShareOfEveryStepSequenceAndUnit) {
  recur::Generator generator(1);
  const LSTM lstm(
      {.input_size = 3, .hidden_size = 20, .num_layers = 3, .dropout = 0.3, .bidirectional = true},
      generator);
  LSTM::Tape tape;
  lstm.forward(random_tensor<double>(generator, 30, 40, 3), {}, tape);
  for (const std::size_t layer : {1U, 2U}) {
    const auto mask = tape.layers[layer].dropout_mask.rows().array();
    ASSERT_EQ(mask.rows(), 30 * 40);
    ASSERT_EQ(mask.cols(), 2 * 20);
    EXPECT_TRUE((mask == 0 || mask == 1 / (1 - 0.3)).all());
    const auto share_dropped = [](const auto& part) {
      return static_cast<double>((part == 0).count()) / static_cast<double>(part.size());
    };
    // Five standard deviations of the share in 40, 30 and 1200 draws.
    for (Index row = 0; row < mask.rows(); ++row) {
      EXPECT_NEAR(share_dropped(mask.row(row)), 0.3, 5 * std::sqrt(0.3 * 0.7 / 40));
    }
    for (Index unit = 0; unit < mask.cols(); ++unit) {
      EXPECT_NEAR(share_dropped(mask.col(unit)), 0.3, 5 * std::sqrt(0.3 * 0.7 / 1200));
    }
    // No two rows alike.
    EXPECT_TRUE(
        (mask.topRows(mask.rows() - 1) != mask.bottomRows(mask.rows() - 1)).rowwise().any().all());
  }
}

// ---- where ----

template <class Layer>
Layer make(double p, Index layers = 2, bool bidirectional = false) {
  recur::Generator generator(3);
  typename Layer::Options options;
  options.input_size = 3;
  options.hidden_size = 5;
  options.num_layers = layers;
  options.dropout = p;
  options.bidirectional = bidirectional;
  return Layer(options, generator);
}

template <class Layer>
void expect_none_in_evaluation() {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto layer = make<Layer>(0.5, 3, true);
  const auto without = make<Layer>(0, 3, true).forward(x);
  typename Layer::Tape tape;
  EXPECT_FALSE(bytes_of(layer.forward(x, {}, tape)) == bytes_of(without));
  EXPECT_TRUE(bytes_of(layer.forward(x)) == bytes_of(without)) << "inference";
  const std::string before = bytes_of(tape.generator);
  tape.training = false;
  const auto out = layer.forward(x, {}, tape);
  EXPECT_TRUE(bytes_of(out) == bytes_of(without)) << "training = false";
  EXPECT_TRUE(bytes_of(tape.generator) == before) << "nothing is drawn";

  // Backward knows of no mask either.
  typename Layer::Tape plain;
  make<Layer>(0, 3, true).forward(x, {}, plain);
  EXPECT_TRUE(bytes_of(layer.backward(tape, out.output, out.state)) ==
              bytes_of(layer.backward(plain, out.output, out.state)));
}

TEST(Dropout, NoneInEvaluation) {
  expect_none_in_evaluation<LSTM>();
  expect_none_in_evaluation<GRU>();
  expect_none_in_evaluation<RNN>();
}

TEST(Dropout, OneLayerHasNoneAndWarns) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  testing::internal::CaptureStderr();
  const auto gru = make<GRU>(0.5, 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "recur: warning: dropout option adds dropout after all but last recurrent layer, so "
            "non-zero dropout expects num_layers greater than 1, but got dropout=0.5 and "
            "num_layers=1\n");
  GRU::Tape tape;
  EXPECT_TRUE(bytes_of(gru.forward(x, {}, tape)) == bytes_of(gru.forward(x)));
  EXPECT_TRUE(bytes_of(tape.generator) == bytes_of(recur::Generator()));
}

// A layer of its own, with the parameters of one of a stack's layers.
GRU layer_of(const GRU& stack, Index layer) {
  GRU one({.input_size = layer == 0 ? stack.input_size() : stack.directions() * stack.hidden_size(),
           .hidden_size = stack.hidden_size(),
           .bidirectional = stack.options().bidirectional});
  one.update_parameters([&](GRU::Parameters& p) {
    for (Index d = 0; d < stack.directions(); ++d) {
      p.cell(0, d) = stack.parameters().cell(layer, d);
    }
  });
  return one;
}

// Layer by layer, the output of each times the mask that the tape shows: the same bits.
TEST(Dropout, MaskOfTheTapeIsWhatTheOutputsWereMultipliedBy) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto gru = make<GRU>(0.4, 3, true);
  GRU::Tape tape;
  const auto all = gru.forward(x, {}, tape);
  Tensor3<double> in = x;
  for (Index layer = 0; layer < 3; ++layer) {
    const auto& record = tape.layers[static_cast<std::size_t>(layer)];
    if (layer > 0) {
      in.rows().array() *= record.dropout_mask.rows().array();
      EXPECT_TRUE(bytes_of(record.input) == bytes_of(in));
    }
    in = layer_of(gru, layer).forward(in).output;
  }
  EXPECT_TRUE(bytes_of(all.output) == bytes_of(in));
}

// Backward takes long sequences in chunks of steps, one direction all layers of each chunk.
TEST(Dropout, GradientsOverSeveralChunks) {
  recur::Generator generator(2);
  const Index steps = 40;
  const Index batch = 20;
  for (const bool bidirectional : {false, true}) {
    SCOPED_TRACE(bidirectional ? "two directions" : "one direction");
    const GRU gru({.input_size = 3,
                   .hidden_size = 48,
                   .num_layers = 3,
                   .dropout = 0.4,
                   .bidirectional = bidirectional},
                  generator);
    ASSERT_GT(steps * batch,
              2 * recur::layers::chunk_rows<double>(4 * 48, recur::layers::enough_rows_backward));
    const auto x = random_tensor<double>(generator, steps, batch, 3);
    Lengths lengths(static_cast<std::size_t>(batch), steps);
    for (const std::string given : {"no lengths", "equal lengths", "different lengths"}) {
      SCOPED_TRACE(given);
      if (given == "different lengths") {
        lengths[3] = 7;
        lengths[11] = 25;
      }
      GRU::Tape tape;
      const auto out = given == "no lengths" ? gru.forward(x, {}, tape)  // in groups of sequences
                                             : gru.forward(x, lengths, {}, tape);
      const auto gradients = gru.backward(tape, out.output);

      std::vector<GRU::Tape> tapes(3);
      Tensor3<double> in = x;
      const auto mask = [&](Index layer, Tensor3<double>& rows) {
        // The tape has the sequences in order of their lengths.
        const auto& mask_of = tape.layers[static_cast<std::size_t>(layer)].dropout_mask;
        for (Index t = 0; t < steps; ++t) {
          for (Index row = 0; row < tape.schedule.running(t); ++row) {
            rows[t].row(tape.schedule.source(row)).array() *= mask_of[t].row(row).array();
          }
        }
      };
      for (Index layer = 0; layer < 3; ++layer) {
        if (layer > 0) {
          mask(layer, in);
        }
        in = layer_of(gru, layer)
                 .forward(in, lengths, {}, tapes[static_cast<std::size_t>(layer)])
                 .output;
      }
      for (Index layer = 2; layer >= 0; --layer) {
        const auto one = layer_of(gru, layer).backward(tapes[static_cast<std::size_t>(layer)], in);
        in = one.input;
        if (layer > 0) {
          mask(layer, in);
        }
        for (Index d = 0; d < gru.directions(); ++d) {
          const auto& actual = gradients.parameters.cell(layer, d).weight_hh;
          EXPECT_TRUE(actual.isApprox(one.parameters.cell(0, d).weight_hh, 1e-12))
              << "layer " << layer << ", direction " << d;
        }
      }
      EXPECT_TRUE(RowMatrix(gradients.input.rows()).isApprox(RowMatrix(in.rows()), 1e-12));
    }
  }
}

// p = 1: the second layer sees zeros, and nothing goes back through it.
TEST(Dropout, OfEverything) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto gru = make<GRU>(1, 2, true);
  GRU::Tape tape;
  const auto [output, state] = gru.forward(x, {}, tape);
  const auto expected = layer_of(gru, 1).forward(Tensor3<double>(6, 4, 10));
  EXPECT_TRUE(bytes_of(output) == bytes_of(expected.output));
  const auto gradients = gru.backward(tape, output);
  EXPECT_TRUE(gradients.input.rows().isZero(0));
  EXPECT_TRUE(gradients.parameters.cell(0, 1).weight_hh.isZero(0));
  EXPECT_TRUE(gradients.parameters.cell(1, 0).weight_ih.isZero(0));
  EXPECT_FALSE(gradients.parameters.cell(1, 0).bias_ih.isZero(0));
}

// ---- the generator ----

TEST(Dropout, SameSeedSameMask) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto lstm = make<LSTM>(0.5);
  LSTM::Tape tape;
  LSTM::Tape other;
  const auto with_seed = [&](LSTM::Tape& t, std::uint64_t seed) {
    t.generator = recur::Generator(seed);
    return bytes_of(lstm.forward(x, {}, t));
  };
  const std::string first = with_seed(tape, 7);
  EXPECT_TRUE(bytes_of(lstm.forward(x, {}, tape)) != first) << "a fresh mask for every call";
  EXPECT_TRUE(with_seed(tape, 7) == first);
  EXPECT_TRUE(with_seed(other, 7) == first);
  EXPECT_TRUE(with_seed(other, 8) != first);
}

// The caller's generator goes in by assignment and comes back, drawn from.
TEST(Dropout, GeneratorOfTheCaller) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto lstm = make<LSTM>(0.5);
  LSTM::Tape in_one;
  in_one.generator = recur::Generator(7);
  const auto first = lstm.forward(x, {}, in_one);
  const auto second = lstm.forward(x, {}, in_one);

  recur::Generator mine(7);
  LSTM::Tape tapes[2];
  for (LSTM::Tape& tape : tapes) {
    tape.generator = mine;
    const auto out = lstm.forward(x, {}, tape);
    EXPECT_TRUE(bytes_of(out) == bytes_of(&tape == tapes ? first : second));
    mine = tape.generator;
  }
  const std::string default_before = bytes_of(recur::default_generator());
  lstm.forward(x, {}, in_one);
  EXPECT_TRUE(bytes_of(recur::default_generator()) == default_before);
}

// 53 bits of two draws each for every element that counts, and none for the padding.
TEST(Dropout, DrawsForValidElementsOnly) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  const auto expect_draws = [&](const LSTM& lstm, const Lengths& lengths, Index elements) {
    LSTM::Tape tape;
    lstm.forward(x, lengths, {}, tape);
    recur::Generator expected;
    expected.engine().discard(static_cast<unsigned long long>(2 * elements));
    EXPECT_TRUE(tape.generator.engine() == expected.engine()) << elements;
  };
  const auto lstm = make<LSTM>(0.5, 3, true);
  expect_draws(lstm, {6, 6, 6, 6}, 2 * 10 * 24);
  expect_draws(lstm, {2, 6, 0, 3}, 2 * 10 * 11);
  expect_draws(lstm, {1, 1, 1, 1}, 2 * 10 * 4);
  expect_draws(lstm, {0, 0, 0, 0}, 0);
  expect_draws(make<LSTM>(1), {2, 6, 0, 3}, 5 * 11);
  expect_draws(make<LSTM>(0), {2, 6, 0, 3}, 0);
}

// ---- backward ----

// By everything that goes in, with the mask held fast by the same generator before each forward.
template <class Layer>
void expect_exact_gradients(Layer layer, const Lengths& lengths) {
  recur::Generator generator(5);
  recur::test::randomize_parameters(layer, generator);
  const Index states = layer.num_layers() * layer.directions();
  auto x = random_tensor<double>(generator, 4, 3, layer.input_size());
  const auto d_output =
      random_tensor<double>(generator, 4, 3, layer.directions() * layer.output_size());
  typename Layer::State initial;
  typename Layer::State d_state;
  initial.h = random_tensor<double>(generator, states, 3, layer.output_size());
  d_state.h = random_tensor<double>(generator, states, 3, layer.output_size());
  typename Layer::Tape tape;
  const auto loss = [&] {
    tape.generator = recur::Generator(9);
    const auto [output, state] = layer.forward(x, lengths, initial, tape);
    return recur::test::dot(output, d_output) + recur::test::dot(state.h, d_state.h);
  };
  loss();
  const auto gradients = layer.backward(tape, d_output, d_state);
  using recur::test::elements;
  using recur::test::expect_gradient;
  expect_gradient(x.data(), elements(gradients.input).values, loss, 1e-3, 1e-9, "input");
  expect_gradient(initial.h.data(), elements(gradients.state.h).values, loss, 1e-3, 1e-9, "h_0");
  recur::test::expect_parameter_gradients(layer, gradients.parameters, loss, 1e-3, 1e-9);
}

TEST(Dropout, GradientsEqualFiniteDifferencesWithTheMaskHeldFast) {
  for (const Lengths& lengths : {Lengths{4, 4, 4}, Lengths{2, 4, 1}}) {
    SCOPED_TRACE(lengths[0]);
    for (const double p : {0.4, 1.0}) {
      SCOPED_TRACE(p);
      expect_exact_gradients(make<LSTM>(p, 3, true), lengths);
      expect_exact_gradients(make<GRU>(p, 3, true), lengths);
      expect_exact_gradients(make<RNN>(p, 3, true), lengths);
    }
    recur::Generator generator(3);
    expect_exact_gradients(LSTM({.input_size = 3,
                                 .hidden_size = 5,
                                 .num_layers = 3,
                                 .dropout = 0.4,
                                 .bidirectional = true,
                                 .proj_size = 2},
                                generator),
                           lengths);
  }
}

}  // namespace
}  // namespace dropout_test
