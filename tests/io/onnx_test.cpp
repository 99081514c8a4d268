// SPDX-License-Identifier: MIT
//
// ONNX's weights against outputs by the operators' documented equations
// (tests/golden/export_conventions.py), which check_conventions.py holds against ONNX Runtime.
#include "recur/io/onnx.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/golden.hpp"
#include "support/random.hpp"

namespace onnx_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::GoldenCase;
using Node = recur::OnnxNode<double>;

std::vector<GoldenCase> onnx_cases() {
  std::vector<GoldenCase> cases;
  for (const GoldenCase& golden : recur::test::golden_cases("conventions")) {
    if (golden.is("framework", "onnx")) {
      cases.push_back(golden);
    }
  }
  return cases;
}

bool is_linear_before_reset(const GoldenCase& golden) {
  return golden.is("module", "GRU") && golden.number("linear_before_reset") == 1;
}

std::vector<Node> nodes_of(const GoldenCase& golden) {
  std::vector<Node> nodes;
  const Index count = golden.number("layers") * (golden.flag("pair") ? 2 : 1);
  for (Index k = 0; k < count; ++k) {
    const std::string at = std::to_string(k) + "/";
    Node node;
    node.op_type = golden.is("module", "RNN") ? "RNN" : golden.is("module", "GRU") ? "GRU" : "LSTM";
    node.name = "n" + std::to_string(k);
    node.W = golden.tensor3<double>(at + "W");
    node.R = golden.tensor3<double>(at + "R");
    node.B = golden.matrix<double>(at + "B");
    node.hidden_size = golden.number("hidden_size");
    node.direction = golden.flag("pair") ? (k % 2 == 0 ? "forward" : "reverse")
                     : golden.is("direction", "bidirectional") ? "bidirectional"
                                                               : "forward";
    node.linear_before_reset = is_linear_before_reset(golden) ? 1 : 0;
    if (golden.is("module", "RNN")) {
      node.activations.assign(static_cast<std::size_t>(node.W.size(0)),
                              golden.is("activation", "relu") ? "Relu" : "Tanh");
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

template <class Layer>
typename Layer::Options options_of(const GoldenCase& golden) {
  typename Layer::Options options;
  options.input_size = golden.number("input_size");
  options.hidden_size = golden.number("hidden_size");
  options.num_layers = golden.number("layers");
  options.bidirectional = golden.is("direction", "bidirectional");
  options.bias = golden.flag("bias");
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        golden.is("activation", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
  }
  return options;
}

// The states of all nodes, (L·D, B, H).
Tensor3<double> state_of(const GoldenCase& golden, Index cells, const std::string& key) {
  Tensor3<double> state(cells, golden.number("batch"), golden.number("hidden_size"));
  Index cell = 0;
  for (Index node = 0; cell < cells; ++node) {
    const auto part = golden.tensor3<double>(std::to_string(node) + "/" + key);
    for (Index d = 0; d < part.size(0); ++d) {
      state[cell++] = part[d];
    }
  }
  return state;
}

template <class Layer>
void compare(const GoldenCase& golden) {
  Layer layer(options_of<Layer>(golden));
  const Index cells = layer.num_layers() * layer.directions();
  const std::vector<Node> nodes = nodes_of(golden);
  recur::load_onnx(layer, nodes);

  typename Layer::State state;
  state.h = state_of(golden, cells, "initial_h");
  if constexpr (requires { state.c; }) {
    state.c = state_of(golden, cells, "initial_c");
  }
  const auto result = layer.forward(golden.tensor3<double>("X"), state);
  recur::test::expect_close(result.state.h, state_of(golden, cells, "Y_h"), 1e-13, "Y_h");
  if constexpr (requires { state.c; }) {
    recur::test::expect_close(result.state.c, state_of(golden, cells, "Y_c"), 1e-13, "Y_c");
  }
  std::vector<double> y;  // (T, D, B, H)
  for (Index t = 0; t < result.output.size(0); ++t) {
    for (Index d = 0; d < layer.directions(); ++d) {
      for (Index b = 0; b < result.output.size(1); ++b) {
        for (Index j = 0; j < layer.hidden_size(); ++j) {
          y.push_back(result.output(t, b, d * layer.hidden_size() + j));
        }
      }
    }
  }
  recur::test::expect_close(y, golden.file().values<double>(golden.path("Y")), 1e-13, "Y");

  for (Index k = 0; k < layer.num_layers(); ++k) {
    const Node back = recur::to_onnx(layer, k);
    EXPECT_EQ(back.op_type, nodes[0].op_type);
    EXPECT_EQ(back.hidden_size, layer.hidden_size());
    EXPECT_EQ(back.linear_before_reset, nodes[0].linear_before_reset);
    if (golden.flag("pair")) {
      EXPECT_EQ(back.direction, "bidirectional");
      for (Index d = 0; d < 2; ++d) {
        const Node& there = nodes[static_cast<std::size_t>(2 * k + d)];
        EXPECT_TRUE(back.W[d] == there.W[0]);
        EXPECT_TRUE(back.R[d] == there.R[0]);
        EXPECT_TRUE(back.B.row(d) == there.B.row(0));
      }
      continue;
    }
    const Node& there = nodes[static_cast<std::size_t>(k)];
    EXPECT_EQ(back.direction, there.direction);
    recur::test::expect_same(back.W, there.W, "W");
    recur::test::expect_same(back.R, there.R, "R");
    EXPECT_EQ(back.B.size(), there.B.size());
    EXPECT_TRUE(back.B.size() == 0 || back.B == there.B);
  }
}

class Onnx : public testing::TestWithParam<GoldenCase> {};

TEST_P(Onnx, ComputesWhatTheOperatorDoesAndGoesBackBitByBit) {
  const GoldenCase& golden = GetParam();
  if (golden.is("module", "LSTM")) {
    compare<recur::LSTM<double>>(golden);
  } else if (golden.is("module", "RNN")) {
    compare<recur::RNN<double>>(golden);
  } else if (is_linear_before_reset(golden)) {
    compare<recur::GRU<double>>(golden);
  } else {
    compare<recur::GRUResetBefore<double>>(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(Documented, Onnx, testing::ValuesIn(onnx_cases()),
                         recur::test::golden_name);

TEST(OnnxConversion, NodeOfAFloatLayer) {
  recur::GRU<float> gru({.input_size = 2,
                         .hidden_size = 3,
                         .bias = false,
                         .batch_first = true,
                         .bidirectional = true});
  const recur::OnnxNode<float> node = recur::to_onnx(gru);
  EXPECT_EQ(node.activations, (std::vector<std::string>{"Sigmoid", "Tanh", "Sigmoid", "Tanh"}));
  EXPECT_EQ(node.layout, 1);
  EXPECT_EQ(node.B.size(), 0);
  recur::GRU<double> wide(gru.options());
  recur::load_onnx(wide, node);
  EXPECT_EQ(wide.parameters().cell(0, 1).weight_hh(8, 2),
            static_cast<double>(gru.parameters().cell(0, 1).weight_hh(8, 2)));
}

// ---- what does not fit is said, and the layer stays as it was ----

template <class Layer>
void expect_error(Layer& layer, const std::vector<Node>& nodes, const std::string& text) {
  const auto before = layer.parameters();
  EXPECT_ERROR(recur::load_onnx(layer, nodes), text);
  recur::test::expect_parameters_close(layer.parameters(), before, 0);
}

// A node of a bidirectional LSTM with one thing changed.
template <class Change>
void expect_refused(Change change, const std::string& text) {
  recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .bidirectional = true});
  Node node = recur::to_onnx(lstm);
  node.name = "rnn/LSTM";
  recur::load_onnx(lstm, node);  // without the change
  change(node);
  expect_error(lstm, {node}, "ONNX node \"rnn/LSTM\" (layer 0, direction 0): " + text);
}

TEST(OnnxErrors, WhatTheLayersDoNotCompute) {
  expect_refused([](Node& n) { n.op_type = "GRU"; }, "op_type: expected LSTM, got GRU");
  expect_refused([](Node& n) { n.activations[4] = "Relu"; },
                 "activations: expected [Sigmoid, Tanh, Tanh, Sigmoid, Tanh, Tanh], got [Sigmoid, "
                 "Tanh, Tanh, Sigmoid, Relu, Tanh]");
  expect_refused([](Node& n) { n.clip = 3; }, "clip: the layers here do not clip, got 3");
  expect_refused([](Node& n) { n.input_forget = 1; }, "input_forget: expected 0, got 1");
  expect_refused([](Node& n) { n.layout = 2; }, "layout: expected 0 or 1, got 2");
  expect_refused([](Node& n) { n.direction = "both"; },
                 "direction: expected forward, reverse or bidirectional, got both");
  expect_refused([](Node& n) { n.P.setConstant(2, 15, 0.1); },
                 "P: the layers here have no peepholes");
  expect_refused([](Node& n) { (n.initial_h = Tensor3<double>(2, 1, 5))(1, 0, 2) = 1; },
                 "initial_h, initial_c: constants that are not zero");
  expect_refused([](Node& n) { (n.initial_c = Tensor3<double>(2, 1, 5))(0, 0, 0) = 1; },
                 "initial_h, initial_c: constants that are not zero");
}

TEST(OnnxErrors, SizesThatDoNotFit) {
  expect_refused([](Node& n) { n.hidden_size = 4; }, "hidden_size: expected 5, got 4");
  expect_refused([](Node& n) { n.W = Tensor3<double>(2, 20, 4); },
                 "W: expected (2, 20, 3), got (2, 20, 4)");
  expect_refused([](Node& n) { n.W = Tensor3<double>(1, 20, 3); },
                 "W: expected (2, 20, 3), got (1, 20, 3)");
  expect_refused([](Node& n) { n.R = Tensor3<double>(2, 20, 4); },
                 "R: expected (2, 20, 5), got (2, 20, 4)");
  expect_refused([](Node& n) { n.B.setZero(2, 20); }, "B: expected (2, 40), got (2, 20)");
  expect_refused([](Node& n) { n.B.resize(0, 0); },
                 "B: got none: make the layer with bias = false");
  expect_refused([](Node& n) { n.direction = "reverse"; },
                 "direction: expected bidirectional (or forward, and then reverse), got reverse");
}

TEST(OnnxErrors, WhatIsZeroIsNotThere) {
  recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5});
  Node node = recur::to_onnx(lstm);
  node.P.setZero(1, 15);
  node.initial_h = Tensor3<double>(1, 2, 5);
  node.activations.clear();  // the defaults
  node.hidden_size = 0;
  recur::load_onnx(lstm, node);
}

TEST(OnnxErrors, PlaceOfTheResetGate) {
  recur::GRU<double> after({.input_size = 3, .hidden_size = 5});
  recur::GRUResetBefore<double> before({.input_size = 3, .hidden_size = 5});
  expect_error(after, {recur::to_onnx(before)},
               "linear_before_reset: expected 1 (the GRU of PyTorch), got 0: make the layer a "
               "recur::GRUResetBefore");
  expect_error(before, {recur::to_onnx(after)},
               "linear_before_reset: expected 0, got 1: make the layer a recur::GRU");
}

TEST(OnnxErrors, ActivationOfAnRNN) {
  recur::RNN<double> relu(
      {.input_size = 3, .hidden_size = 5, .nonlinearity = recur::Nonlinearity::relu});
  Node node = recur::to_onnx(relu);
  EXPECT_EQ(node.activations, std::vector<std::string>{"Relu"});
  node.activations.clear();
  expect_error(relu, {node}, "activations: expected [Relu], got the defaults");
}

TEST(OnnxErrors, NodesAndLayers) {
  recur::LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const Node first = recur::to_onnx(lstm, 0);
  const Node second = recur::to_onnx(lstm, 1);
  expect_error(lstm, {first}, "expected nodes for 2 layers of 1 directions, got 1 nodes");
  expect_error(lstm, {first, second, second}, "expected 2 nodes for the layers, got 3");
  expect_error(lstm, {second, first}, "(layer 0, direction 0): W: expected (1, 20, 3)");
  Node reverse = first;
  reverse.direction = "reverse";
  expect_error(lstm, {reverse, second},
               "direction: expected forward, got reverse: reverse the steps before and behind");
  recur::LSTM<double> both({.input_size = 3, .hidden_size = 5, .bidirectional = true});
  expect_error(both, {first, first}, "(layer 0, direction 1): direction: expected reverse, got f");
  recur::load_onnx(both, std::vector<Node>{first, reverse});
  const recur::LSTM<double> projected({.input_size = 3, .hidden_size = 5, .proj_size = 2});
  EXPECT_ERROR(recur::to_onnx(projected), "ONNX has no projection");
}

}  // namespace
}  // namespace onnx_test
