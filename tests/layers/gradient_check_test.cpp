// SPDX-License-Identifier: MIT
//
// backward of every layer type and option against finite differences of forward, in double.
#include "support/gradient_check.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

namespace gradient_check_test {
namespace {

using recur::Index;

enum class Kind { lstm, projected_lstm, gru, rnn_tanh, rnn_relu };

struct Case {
  Kind kind;
  Index layers;
  bool bidirectional;
  bool bias;
  bool batch_first;
  bool state;
};

std::string name_of(const Case& c) {
  const char* const kinds[] = {"LSTM", "LSTMProjected", "GRU", "RNNTanh", "RNNRelu"};
  return std::string(kinds[static_cast<int>(c.kind)]) + "_" + std::to_string(c.layers) + "Layers" +
         (c.bidirectional ? "_Bidirectional" : "") + (c.bias ? "" : "_NoBias") +
         (c.batch_first ? "_BatchFirst" : "") + (c.state ? "_State" : "");
}

void PrintTo(const Case& c, std::ostream* stream) { *stream << name_of(c); }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Kind kind :
       {Kind::lstm, Kind::projected_lstm, Kind::gru, Kind::rnn_tanh, Kind::rnn_relu}) {
    for (const Index layers : {1, 2}) {
      for (int bits = 0; bits < 16; ++bits) {
        cases.push_back(
            {kind, layers, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
      }
    }
    cases.push_back({kind, 3, true, true, false, true});
  }
  return cases;
}

template <class Layer>
typename Layer::Options options_of(const Case& c) {
  typename Layer::Options options;
  options.input_size = 3;
  options.hidden_size = 4;
  options.num_layers = c.layers;
  options.bias = c.bias;
  options.batch_first = c.batch_first;
  options.bidirectional = c.bidirectional;
  options.proj_size = c.kind == Kind::projected_lstm ? 2 : 0;
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        c.kind == Kind::rnn_relu ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
  }
  return options;
}

template <class Layer>
void check(const Case& c) {
  Layer layer(options_of<Layer>(c));
  // relu: steps so small that none crosses its kink, at the cost of digits.
  const bool kinks = c.kind == Kind::rnn_relu;
  recur::test::check_layer_gradients(layer, 3, 2, c.state, kinks ? 1e-6 : 1e-3,
                                     kinks ? 1e-7 : 1e-9);
}

class GradientCheck : public testing::TestWithParam<Case> {};

TEST_P(GradientCheck, EqualsFiniteDifferences) {
  const Case& c = GetParam();
  if (c.kind == Kind::lstm || c.kind == Kind::projected_lstm) {
    check<recur::LSTM<double>>(c);
  } else if (c.kind == Kind::gru) {
    check<recur::GRU<double>>(c);
  } else {
    check<recur::RNN<double>>(c);
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, GradientCheck, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<Case>& tested) {
                           return name_of(tested.param);
                         });

// One time step and one sequence: first and last step are the same.
TEST(GradientCheckSmall, OneStepOneSequence) {
  recur::LSTM<double> lstm(
      {.input_size = 1, .hidden_size = 1, .num_layers = 2, .bidirectional = true});
  recur::test::check_layer_gradients(lstm, 1, 1, true);
  recur::GRU<double> gru(
      {.input_size = 1, .hidden_size = 1, .num_layers = 2, .bidirectional = true});
  recur::test::check_layer_gradients(gru, 1, 1, true);
}

// More units than a vector register has, and a rest.
TEST(GradientCheckSmall, UnitsBeyondOneRegister) {
  recur::LSTM<double> lstm({.input_size = 2, .hidden_size = 19});
  recur::test::check_layer_gradients(lstm, 2, 1, true);
  recur::GRU<double> gru({.input_size = 2, .hidden_size = 19});
  recur::test::check_layer_gradients(gru, 2, 1, true);
}

}  // namespace
}  // namespace gradient_check_test
