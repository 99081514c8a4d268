// SPDX-License-Identifier: MIT
//
// Keras's weights against outputs by Keras's documented equations
// (tests/golden/export_conventions.py).
#include "recur/io/keras.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/golden.hpp"
#include "support/random.hpp"

namespace keras_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::GoldenCase;

std::vector<GoldenCase> cases_of(const char* framework) {
  std::vector<GoldenCase> cases;
  for (const GoldenCase& golden : recur::test::golden_cases("conventions")) {
    if (golden.is("framework", framework)) {
      cases.push_back(golden);
    }
  }
  return cases;
}

template <class Weights>
std::vector<Weights> weights_of(const GoldenCase& golden, Index cells) {
  std::vector<Weights> all;
  for (Index k = 0; k < cells; ++k) {
    const std::string at = std::to_string(k) + "/";
    Weights w;
    w.kernel = golden.matrix<double>(at + "kernel");
    w.recurrent_kernel = golden.matrix<double>(at + "recurrent_kernel");
    if constexpr (std::is_same_v<Weights, recur::KerasGRU<double>>) {
      w.bias = golden.matrix<double>(at + "bias");
    } else {
      w.bias = golden.vector<double>(at + "bias");
    }
    if constexpr (requires { w.activation; }) {
      w.activation =
          golden.is("activation", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
    }
    all.push_back(std::move(w));
  }
  return all;
}

template <class Layer>
Layer layer_of(const GoldenCase& golden) {
  typename Layer::Options options;
  options.input_size = golden.number("input_size");
  options.hidden_size = golden.number("hidden_size");
  options.num_layers = golden.number("layers");
  options.bidirectional = golden.number("directions") == 2;
  options.bias = golden.flag("bias");
  options.batch_first = true;
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        golden.is("activation", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
  }
  return Layer(options);
}

// `<cell>/<key>` of all cells as one state.
Tensor3<double> state_of(const GoldenCase& golden, Index cells, const std::string& key) {
  Tensor3<double> state(cells, golden.number("batch"), golden.number("hidden_size"));
  for (Index k = 0; k < cells; ++k) {
    state[k] = golden.matrix<double>(std::to_string(k) + "/" + key);
  }
  return state;
}

template <class Array>
bool same_bits(const Array& a, const Array& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         (a.size() == 0 ||
          std::memcmp(a.data(), b.data(),
                      sizeof(a.data()[0]) * static_cast<std::size_t>(a.size())) == 0);
}

template <class Layer, class Weights>
void compare(const GoldenCase& golden) {
  Layer layer = layer_of<Layer>(golden);
  const Index cells = layer.num_layers() * layer.directions();
  const auto weights = weights_of<Weights>(golden, cells);
  recur::load_keras(layer, weights);

  typename Layer::State state;
  state.h = state_of(golden, cells, "h_0");
  if constexpr (requires { state.c; }) {
    state.c = state_of(golden, cells, "c_0");
  }
  const auto result = layer.forward(golden.tensor3<double>("input"), state);
  golden.expect("output", result.output, 1e-13);
  recur::test::expect_close(result.state.h, state_of(golden, cells, "h_n"), 1e-13, "h_n");
  if constexpr (requires { state.c; }) {
    recur::test::expect_close(result.state.c, state_of(golden, cells, "c_n"), 1e-13, "c_n");
  }

  for (Index k = 0; k < cells; ++k) {
    const auto back = recur::to_keras(layer, k / layer.directions(), k % layer.directions());
    static_assert(std::is_same_v<std::remove_const_t<decltype(back)>, Weights>);
    const Weights& there = weights[static_cast<std::size_t>(k)];
    EXPECT_TRUE(same_bits(back.kernel, there.kernel)) << k;
    EXPECT_TRUE(same_bits(back.recurrent_kernel, there.recurrent_kernel)) << k;
    EXPECT_TRUE(same_bits(back.bias, there.bias)) << k;
  }
}

class Keras : public testing::TestWithParam<GoldenCase> {};

TEST_P(Keras, ComputesWhatKerasDoesAndGoesBackBitByBit) {
  const GoldenCase& golden = GetParam();
  if (golden.is("module", "LSTM")) {
    compare<recur::LSTM<double>, recur::KerasLSTM<double>>(golden);
  } else if (golden.is("module", "RNN")) {
    compare<recur::RNN<double>, recur::KerasSimpleRNN<double>>(golden);
  } else if (golden.flag("reset_after")) {
    compare<recur::GRU<double>, recur::KerasGRU<double>>(golden);
  } else {
    compare<recur::GRUResetBefore<double>, recur::KerasGRUResetBefore<double>>(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(Documented, Keras, testing::ValuesIn(cases_of("keras")),
                         recur::test::golden_name);

// Layers that have two biases, as PyTorch trains them, become one bias with the same outputs.
template <class Layer>
void expect_same_outputs_behind_keras() {
  const typename Layer::Options options{
      .input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true};
  Layer layer(options);
  recur::Generator generator(1);
  recur::test::randomize_parameters(layer, generator);
  std::vector<decltype(recur::to_keras(layer))> weights;
  for (Index k = 0; k < 4; ++k) {
    weights.push_back(recur::to_keras(layer, k / 2, k % 2));
  }
  Layer other(options);
  recur::load_keras(other, weights);
  const auto x = recur::test::random_tensor<double>(generator, 4, 2, 3);
  recur::test::expect_close(other.forward(x).output, layer.forward(x).output, 1e-14, "output");
}

TEST(KerasConversion, TwoBiasesBecomeOne) {
  expect_same_outputs_behind_keras<recur::LSTM<double>>();
  expect_same_outputs_behind_keras<recur::GRU<double>>();
  expect_same_outputs_behind_keras<recur::GRUResetBefore<double>>();
  expect_same_outputs_behind_keras<recur::RNN<double>>();
}

TEST(KerasConversion, WeightsOfAnotherScalar) {
  recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 2});
  recur::KerasLSTM<double> weights{recur::RowMatrix<double>::Constant(3, 8, 0.25),
                                   recur::RowMatrix<double>::Constant(2, 8, 0.5),
                                   recur::Vector<double>::LinSpaced(8, 0, 7)};
  recur::load_keras(lstm, weights);
  EXPECT_EQ(lstm.parameters().cell(0).weight_hh(7, 1), 0.5F);
  EXPECT_EQ(lstm.parameters().cell(0).bias_ih(7), 7.0F);
  EXPECT_TRUE((lstm.parameters().cell(0).bias_hh.array() == 0).all());
}

// ---- what does not fit is said, and the layer stays as it was ----

class KerasErrors : public testing::Test {
 protected:
  template <class Layer, class Weights>
  static void expect_error(Layer& layer, const std::vector<Weights>& weights,
                           const std::string& text) {
    const auto before = layer.parameters();
    EXPECT_ERROR(recur::load_keras(layer, weights), text);
    recur::test::expect_parameters_close(layer.parameters(), before, 0);
  }
};

TEST_F(KerasErrors, SizesThatDoNotFit) {
  recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const std::vector good{recur::to_keras(lstm, 0), recur::to_keras(lstm, 1)};
  auto broken = good;
  broken[1].kernel = good[1].kernel.transpose();
  expect_error(lstm, broken,
               "Keras LSTM, layer 1, direction 0: kernel: expected (5, 20), got (20, 5)");
  broken = good;
  broken[0].recurrent_kernel.resize(5, 15);
  expect_error(lstm, broken, "recurrent_kernel: expected (5, 20), got (5, 15)");
  broken = good;
  broken[0].bias.resize(40);
  expect_error(lstm, broken, "layer 0, direction 0: bias: expected (20,), got (40,)");
  broken = good;
  broken[0].bias.resize(0);
  expect_error(lstm, broken, "bias: got none: make the layer with bias = false");
  broken = {good[0]};
  expect_error(lstm, broken, "expected weights of 2 cells (2 layers, 1 directions), got 1");
}

TEST_F(KerasErrors, BiasesThatDoNotFit) {
  recur::LSTM<double> without({.input_size = 3, .hidden_size = 5, .bias = false});
  std::vector<recur::KerasLSTM<double>> weights{recur::to_keras(without)};
  weights[0].bias.setZero(20);
  expect_error(without, weights, "bias: expected none (the layer has bias = false), got 20");

  recur::GRU<double> gru({.input_size = 3, .hidden_size = 5});
  std::vector<recur::KerasGRU<double>> one{recur::to_keras(gru)};
  one[0].bias.resize(1, 15);
  expect_error(gru, one, "bias (reset_after=True has two rows): expected (2, 15), got (1, 15)");
}

TEST_F(KerasErrors, ActivationThatDoesNotFit) {
  recur::RNN<double> rnn({.input_size = 3, .hidden_size = 5});
  std::vector<recur::KerasSimpleRNN<double>> weights{recur::to_keras(rnn)};
  weights[0].activation = recur::Nonlinearity::relu;
  expect_error(rnn, weights, "activation: expected the layer's tanh, got relu");
}

TEST_F(KerasErrors, NoProjection) {
  recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .proj_size = 2});
  EXPECT_ERROR(recur::to_keras(lstm), "expected a layer with proj_size = 0, got 2");
  EXPECT_ERROR(recur::load_keras(lstm, recur::KerasLSTM<double>()),
               "expected a layer with proj_size = 0, got 2");
  const recur::LSTM<double> plain({.input_size = 3, .hidden_size = 5});
  EXPECT_ERROR(recur::to_keras(plain, 0, 1),
               "expected a layer below 1 and a direction below 1, got 0 and 1");
}

}  // namespace
}  // namespace keras_test
