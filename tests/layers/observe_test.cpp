// SPDX-License-Identifier: MIT
#include "recur/layers/observe.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/compare.hpp"
#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"
#include "support/reference.hpp"

namespace observe_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_close;
using recur::test::expect_same;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
namespace math = recur::math;

using MinimalGatedUnit = recur::Recurrent<recur::test::MinimalGatedUnit, double>;

// Everything observable of a layer that ran on x (T, B, I) against steps of the reference.
template <class E, class Layer>
void expect_equals_reference(const E& equations, Layer layer,
                             const std::vector<std::string>& gates) {
  recur::Generator generator(1);
  recur::test::randomize_parameters(layer, generator);
  const Index T = 4;
  const Index B = 3;
  const Index H = layer.hidden_size();
  const auto x = random_tensor<double>(generator, T, B, layer.input_size());
  typename Layer::Tape tape;
  layer.forward(x, {}, tape);

  for (Index k = 0; k < layer.num_layers(); ++k) {
    for (Index d = 0; d < layer.directions(); ++d) {
      SCOPED_TRACE(std::to_string(k) + "." + std::to_string(d));
      math::BatchState<double> state{RowMatrix<double>::Zero(B, layer.output_size()),
                                     RowMatrix<double>::Zero(B, E::has_c ? H : 0)};
      const auto h = layer.observe(tape, "h", k, d);
      ASSERT_EQ(h.shape(), Tensor3<double>(T, B, layer.output_size()).shape());
      for (Index step = 0; step < T; ++step) {
        const Index t = d == 0 ? step : T - 1 - step;
        RowMatrix<double> in = x[t];
        if (k > 0) {
          in.resize(B, layer.directions() * layer.output_size());
          for (Index below = 0; below < layer.directions(); ++below) {
            in.middleCols(below * layer.output_size(), layer.output_size()) =
                layer.observe(tape, "h", k - 1, below)[t];
          }
        }
        const auto record = math::forward_step(equations, layer.parameters().cell(k, d), in, state);
        state = record.next;
        expect_close(RowMatrix<double>(h[t]), record.next.h, 1e-13, "h");
        if constexpr (E::has_c) {
          expect_close(RowMatrix<double>(layer.observe(tape, "c", k, d)[t]), record.next.c, 1e-13,
                       "c");
        }
        for (std::size_t gate = 0; gate < gates.size(); ++gate) {
          const auto found = layer.observe(tape, gates[gate], k, d);
          ASSERT_EQ(found.shape(), Tensor3<double>(T, B, H).shape());
          expect_close(RowMatrix<double>(found[t]),
                       RowMatrix<double>(record.slots.middleCols(static_cast<Index>(gate) * H, H)),
                       1e-13, gates[gate]);
        }
      }
    }
  }
}

TEST(Observe, EqualsTheReference) {
  expect_equals_reference(math::LSTM(), LSTM({.input_size = 3, .hidden_size = 5, .num_layers = 2}),
                          {"i", "f", "g", "o"});
  expect_equals_reference(math::LSTM(),
                          LSTM({.input_size = 3,
                                .hidden_size = 5,
                                .num_layers = 2,
                                .bidirectional = true,
                                .proj_size = 2}),
                          {"i", "f", "g", "o"});
  expect_equals_reference(
      math::GRU(),
      recur::GRU<double>(
          {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}),
      {"r", "z", "n", "hn"});
  expect_equals_reference(math::RNN(), recur::RNN<double>({.input_size = 3, .hidden_size = 5}), {});
  expect_equals_reference(recur::test::MinimalGatedUnit(),
                          MinimalGatedUnit({.input_size = 3, .hidden_size = 5}), {"f", "n", "hn"});
}

// The equations hold among what was observed, computed by hand.
TEST(Observe, EquationsHold) {
  recur::Generator generator(2);
  const LSTM lstm({.input_size = 3, .hidden_size = 5}, generator);
  LSTM::Tape tape;
  lstm.forward(random_tensor<double>(generator, 6, 2, 3), {}, tape);
  const auto at = [&](const char* name, Index t) {
    return Eigen::ArrayXXd(lstm.observe(tape, name)[t]);
  };
  for (Index t = 1; t < 6; ++t) {
    EXPECT_TRUE(at("c", t).isApprox(at("f", t) * at("c", t - 1) + at("i", t) * at("g", t), 1e-13));
    EXPECT_TRUE(at("h", t).isApprox(at("o", t) * at("c", t).tanh(), 1e-13));
  }
}

// Sequences of different lengths: each as it is when it runs alone, zeros behind its end.
TEST(Observe, CallersOrderAndZerosAtThePadding) {
  recur::Generator generator(3);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true},
                  generator);
  const std::vector<Index> lengths{2, 6, 1, 4};
  const auto x = random_tensor<double>(generator, 6, 4, 3);
  LSTM::Tape tape;
  LSTM::Tape packed_tape;
  lstm.forward(x, lengths, {}, tape);
  lstm.forward(recur::pack_padded_sequence(x, lengths, {.enforce_sorted = false}), {}, packed_tape);
  for (const char* name : {"h", "c", "i", "f", "g", "o"}) {
    for (Index d = 0; d < 2; ++d) {
      const auto all = lstm.observe(tape, name, 1, d);
      ASSERT_EQ(all.shape(), "(6, 4, 5)");
      expect_same(lstm.observe(packed_tape, name, 1, d), all, name);
      for (Index b = 0; b < 4; ++b) {
        const Index length = lengths[static_cast<std::size_t>(b)];
        LSTM::Tape alone;
        lstm.forward(Tensor3<double>(x.view().narrow(1, b, 1).narrow(0, 0, length)), {}, alone);
        expect_close(Tensor3<double>(all.view().narrow(1, b, 1).narrow(0, 0, length)),
                     lstm.observe(alone, name, 1, d), 1e-13, name);
        for (Index t = length; t < 6; ++t) {
          EXPECT_TRUE(all[t].row(b).isZero(0)) << name;
        }
      }
    }
  }
}

TEST(Observe, IsTimeMajorWhateverTheInput) {
  recur::Generator generator(4);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .batch_first = true}, generator);
  LSTM::Tape tape;
  const auto out = lstm.forward(random_tensor<double>(generator, 2, 6, 3), {}, tape);
  expect_same(lstm.observe(tape, "h"), Tensor3<double>(out.output.view().transposed()), "h");
  lstm.forward(recur::test::random_matrix<double>(generator, 6, 3), {}, tape);
  EXPECT_EQ(lstm.observe(tape, "c").shape(), "(6, 1, 5)");
}

TEST(Observe, Errors) {
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const recur::GRU<double> gru({.input_size = 3, .hidden_size = 5});
  const recur::RNN<double> rnn({.input_size = 3, .hidden_size = 5});
  const MinimalGatedUnit unit({.input_size = 3, .hidden_size = 5});
  LSTM::Tape tape;
  EXPECT_ERROR(lstm.observe(tape, "c"),
               "LSTM::observe: expected a tape of 2 layers, got 0 (call forward with this tape");
  const Tensor3<double> x(4, 2, 3);
  lstm.forward(x, {}, tape);
  EXPECT_ERROR(lstm.observe(tape, "z"), "LSTM::observe: expected one of h, c, i, f, g, o; got z");
  EXPECT_ERROR(lstm.observe(tape, "h", 2), "LSTM::observe: expected a layer from 0 to 1, got 2");
  EXPECT_ERROR(lstm.observe(tape, "h", -1), "got -1");
  EXPECT_ERROR(lstm.observe(tape, "h", 1, 1),
               "LSTM::observe: expected a direction from 0 to 0, got 1");
  EXPECT_ERROR(gru.observe(tape, "h"), "expected a tape of 1 layers, got 2");
  gru.forward(x, {}, tape);
  EXPECT_ERROR(gru.observe(tape, "c"), "GRU::observe: expected one of h, r, z, n, hn; got c");
  rnn.forward(x, {}, tape);
  EXPECT_ERROR(rnn.observe(tape, "c"), "RNN::observe: expected one of h; got c");
  unit.forward(x, {}, tape);
  EXPECT_ERROR(unit.observe(tape, "r"), "MGU::observe: expected one of h, f, n, hn; got r");
}

}  // namespace
}  // namespace observe_test
