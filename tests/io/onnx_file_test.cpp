// SPDX-License-Identifier: MIT
//
// .onnx files that PyTorch exported (tests/golden/export_onnx.py), and some put together here. What
// is read of a file, and its faults: onnx_graph_test.cpp.
#include "recur/io/onnx_file.hpp"

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/golden.hpp"
#include "support/protobuf_writer.hpp"

namespace onnx_file_test {
namespace {

using recur::Index;
using recur::OnnxFile;
using recur::test::GoldenCase;
namespace protobuf = recur::test::protobuf;

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
OnnxFile parse(const std::string& contents) {
  return recur::parse_onnx_file(bytes_of(contents), "m.onnx");
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- files of PyTorch ----

template <class Layer>
typename Layer::Options options_of(const GoldenCase& golden) {
  typename Layer::Options options;
  options.input_size = golden.number("input_size");
  options.hidden_size = golden.number("hidden_size");
  options.num_layers = golden.number("num_layers");
  options.bias = golden.flag("bias");
  options.batch_first = golden.flag("batch_first");
  options.bidirectional = golden.flag("bidirectional");
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        golden.is("nonlinearity", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
  }
  return options;
}

template <class Layer>
void compare(const GoldenCase& golden) {
  using Scalar = typename Layer::Scalar;
  Layer layer(options_of<Layer>(golden));
  const OnnxFile file =
      recur::load_onnx_file(recur::test::golden_path("onnx_" + golden.name() + ".onnx"));
  ASSERT_EQ(static_cast<Index>(file.names().size()), layer.num_layers());
  EXPECT_EQ(file.names()[0], "/" + std::string(golden.is("module", "LSTM")  ? "LSTM"
                                               : golden.is("module", "GRU") ? "GRU"
                                                                            : "RNN"));
  recur::load_onnx(layer, file, file.names());

  typename Layer::State state;
  state.h = golden.tensor3<Scalar>("h_0");
  if constexpr (requires { state.c; }) {
    state.c = golden.tensor3<Scalar>("c_0");
  }
  const auto result = layer.forward(golden.tensor3<Scalar>("input"), state);
  golden.expect("output", result.output, 1e-6);
  golden.expect("h_n", result.state.h, 1e-6);
  if constexpr (requires { state.c; }) {
    golden.expect("c_n", result.state.c, 1e-6);
  }
  // Bit by bit what the module had.
  recur::for_each_parameter(layer, [&](const std::string& name, const auto& array) {
    golden.expect("parameter." + name, array, 0);
  });
}

class OnnxOfPyTorch : public testing::TestWithParam<GoldenCase> {};

TEST_P(OnnxOfPyTorch, LoadsByNameAndComputesTheSame) {
  const GoldenCase& golden = GetParam();
  const bool wide = golden.is("dtype", "float64");
  if (golden.is("module", "LSTM")) {
    compare<recur::LSTM<float>>(golden);
  } else if (golden.is("module", "GRU")) {
    wide ? compare<recur::GRU<double>>(golden) : compare<recur::GRU<float>>(golden);
  } else {
    compare<recur::RNN<float>>(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(Exported, OnnxOfPyTorch,
                         testing::ValuesIn(recur::test::golden_cases("onnx")),
                         recur::test::golden_name);

TEST(OnnxFile, NamesWhatIsThere) {
  const OnnxFile file = recur::load_onnx_file(recur::test::golden_path("onnx_gru.onnx"));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"/GRU", "/GRU_1"}));
  recur::GRU<float> gru({.input_size = 3, .hidden_size = 4});
  EXPECT_ERROR(recur::load_onnx(gru, file, {"GRU"}),
               "onnx_gru.onnx: no LSTM, GRU or RNN node \"GRU\"; there are \"/GRU\", \"/GRU_1\"");
  recur::load_onnx(gru, file, {"/GRU"});
  const auto before = gru.parameters();
  EXPECT_ERROR(recur::load_onnx(gru, file, {"/GRU_1"}),
               "onnx_gru.onnx: ONNX node \"/GRU_1\" (layer 0, direction 0): W: expected (1, 12, "
               "3), got (1, 12, 4)");
  recur::GRUResetBefore<float> other({.input_size = 3, .hidden_size = 4});
  EXPECT_ERROR(recur::load_onnx(other, file, {"/GRU"}), "make the layer a recur::GRU");
  recur::test::expect_parameters_close(gru.parameters(), before, 0);
}

TEST(OnnxFile, EveryTruncationIsAnError) {
  for (const char* name : {"onnx_lstm_states.onnx", "onnx_rnn_relu.onnx"}) {
    const std::string whole = contents_of(recur::test::golden_path(name));
    ASSERT_GT(whole.size(), 1000U);
    EXPECT_EQ(parse(whole).names().size(), 1U);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_THROW(parse(whole.substr(0, length)), recur::Error) << name << ", " << length;
    }
  }
}

// Whatever the bytes: a model or a recur::Error, nothing else. With sanitizers: no fault either.
TEST(OnnxFile, MutationsAreReadOrRefused) {
  std::mt19937 random(20240303);  // NOLINT(cert-msc51-cpp): the same in every run
  const std::string whole = contents_of(recur::test::golden_path("onnx_lstm_states.onnx"));
  int read = 0;
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string broken = whole;
    const auto place = [&] { return random() % broken.size(); };
    for (std::uint32_t changes = 1 + random() % 4; changes > 0; --changes) {
      switch (random() % 5) {
        case 0:
          broken[place()] ^= static_cast<char>(1U << random() % 8);
          break;
        case 1:
          broken[place()] = static_cast<char>(random());
          break;
        case 2:
          broken.erase(place(), 1 + random() % 8);
          break;
        case 3:
          broken.insert(place(), broken.substr(place(), 1 + random() % 16));
          break;
        default:
          broken.replace(place(), 1, "\xFF\xFF\xFF\xFF\x0F");  // a large varint
      }
    }
    recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4, .batch_first = true});
    const auto before = lstm.parameters();
    try {
      const OnnxFile file = parse(broken);
      recur::load_onnx(lstm, file, file.names());
      ++read;
    } catch (const recur::Error&) {
      recur::test::expect_parameters_close(lstm.parameters(), before, 0);
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 1000);
}

TEST(OnnxFile, NoFile) {
  EXPECT_ERROR(recur::load_onnx_file("no_such.onnx"), "no_such.onnx: cannot be opened");
}

// ---- files put together here ----

// An RNN of 1 input and 2 units with W (1, 2, 1), R (1, 2, 2), B (1, 4); parts may be replaced.
struct Model {
  std::string w = floats("W", {1, 2, 1}, {1, 2});
  std::string r = floats("R", {1, 2, 2}, {3, 4, 5, 6});
  std::string b = floats("B", {1, 4}, {0.5F, 0.25F, 0, 0});
  std::vector<std::string> inputs{"X", "W", "R", "B"};
  std::string attributes = protobuf::attribute("hidden_size", protobuf::number(3, 2));
  std::string more;  // of the graph
  std::string op_type = "RNN";
  std::string name = "rnn";

  static std::string floats(const std::string& name, const std::vector<std::int64_t>& dims,
                            const std::vector<float>& values) {
    return protobuf::tensor(name, 1, dims) + protobuf::bytes(9, protobuf::raw(values));
  }
  std::string graph() const {
    std::string graph;
    for (const std::string& tensor : {w, r, b}) {
      graph += tensor.empty() ? "" : protobuf::bytes(5, tensor);
    }
    return graph +
           protobuf::bytes(1, protobuf::node(op_type, name, inputs, {"", "Y_h"}) + attributes) +
           more;
  }
  OnnxFile file() const { return parse(protobuf::model(graph())); }
  recur::RNN<double> layer() const {
    recur::RNN<double> rnn({.input_size = 1, .hidden_size = 2});
    const OnnxFile contents = file();
    recur::load_onnx(rnn, contents, contents.names());
    return rnn;
  }
};

TEST(OnnxModel, Loads) {
  const auto rnn = Model().layer();
  const auto& cell = rnn.parameters().cell(0);
  EXPECT_EQ(cell.weight_ih(1, 0), 2);
  EXPECT_EQ(cell.weight_hh(0, 1), 4);
  EXPECT_EQ(cell.bias_ih(1), 0.25);
  EXPECT_EQ(Model().file().tensors().names(), (std::vector<std::string>{"W", "R", "B"}));
}

TEST(OnnxModel, ConstantAndIdentityNodes) {
  Model model;
  model.w = "";
  model.inputs[1] = "alias";
  model.more = protobuf::bytes(1, protobuf::node("Constant", "", {}, {"constant"}) +
                                      protobuf::attribute("value", protobuf::bytes(5, Model().w))) +
               protobuf::bytes(1, protobuf::node("Identity", "", {"constant"}, {"between"})) +
               protobuf::bytes(1, protobuf::node("Identity", "", {"between"}, {"alias"}));
  EXPECT_EQ(model.layer().parameters().cell(0).weight_ih(1, 0), 2);
  // One that goes round ends as well.
  model.more = protobuf::bytes(1, protobuf::node("Identity", "", {"alias"}, {"alias"}));
  EXPECT_ERROR(model.layer(), "W (\"alias\"): expected a constant of the graph");
}

TEST(OnnxModel, NodesWithoutANameHaveThatOfTheirOutput) {
  Model model;
  model.name = "";
  EXPECT_EQ(model.file().names(), std::vector<std::string>{"Y_h"});
  EXPECT_EQ(model.file().node<float>("Y_h").W(0, 1, 0), 2);
  model.more = protobuf::bytes(1, protobuf::node("RNN", "Y_h", {"X", "W", "R"}, {"Y"}));
  EXPECT_ERROR(model.file().node<float>("Y_h"), "m.onnx: there are two nodes \"Y_h\"");
}

TEST(OnnxModel, WithoutARecurrentNode) {
  Model model;
  model.op_type = "MatMul";
  EXPECT_TRUE(model.file().names().empty());
  recur::RNN<double> rnn({.input_size = 1, .hidden_size = 2});
  EXPECT_ERROR(recur::load_onnx(rnn, model.file(), {"rnn"}), "the graph has none at all");
}

TEST(OnnxModel, AttributesReachTheNode) {
  using protobuf::attribute;
  Model model;
  model.attributes += attribute("direction", protobuf::bytes(4, "reverse")) +
                      attribute("activations", protobuf::bytes(9, "Relu")) +
                      attribute("clip", protobuf::fixed(2, 3.0F)) +
                      attribute("input_forget", protobuf::number(3, 1)) +
                      attribute("linear_before_reset", protobuf::number(3, 1)) +
                      attribute("layout", protobuf::number(3, 1)) +
                      attribute("activation_alpha", protobuf::bytes(7, ""));
  const auto node = model.file().node<float>("rnn");
  EXPECT_EQ(node.hidden_size, 2);
  EXPECT_EQ(node.direction, "reverse");
  EXPECT_EQ(node.activations, std::vector<std::string>{"Relu"});
  EXPECT_EQ(node.clip, 3.0);
  EXPECT_EQ(node.input_forget, 1);
  EXPECT_EQ(node.linear_before_reset, 1);
  EXPECT_EQ(node.layout, 1);
  EXPECT_ERROR(model.layer(), "m.onnx: ONNX node \"rnn\" (layer 0, direction 0): direction: ");
}

TEST(OnnxModel, StatesAndPeepholesThatAreConstants) {
  Model model;
  model.inputs = {"X", "W", "R", "B", "", "h", "", "P"};
  model.more = protobuf::bytes(5, Model::floats("h", {1, 1, 2}, {7, 8})) +
               protobuf::bytes(5, Model::floats("P", {1, 6}, {0, 0, 0, 0, 0, 9}));
  const auto node = model.file().node<float>("rnn");
  EXPECT_EQ(node.initial_h(0, 0, 1), 8);
  EXPECT_EQ(node.P(0, 5), 9);
  EXPECT_ERROR(model.layer(), "P: the layers here have no peepholes");
  model.inputs.pop_back();
  EXPECT_ERROR(model.layer(), "initial_h, initial_c: constants that are not zero");
  model.inputs[5] = "computed";  // the caller's
  model.layer();
}

TEST(OnnxModel, WhatDoesNotFitIsSaid) {
  const auto expect = [](const Model& model, const std::string& text) {
    EXPECT_ERROR(model.layer(), "m.onnx: " + text);
  };
  using protobuf::bytes;
  using protobuf::number;
  const auto with_w = [](const std::string& w) {
    Model model;
    model.w = w;
    return model;
  };
  const std::string values = bytes(9, protobuf::raw<float>({1, 2}));
  expect(with_w(""),
         "RNN node \"rnn\": W (\"W\"): expected a constant of the graph, got something "
         "that is computed or given when the model runs");
  expect(with_w(protobuf::tensor("W", 1, {2, 1}) + values),
         "\"W\": expected 3 dimensions, got shape (2, 1)");
  expect(
      with_w(protobuf::tensor("W", 7, {1, 2, 1}) + values),
      "RNN node \"rnn\": W (\"W\"): expected FLOAT, DOUBLE, FLOAT16 or BFLOAT16, got data_type 7");
  expect(with_w(protobuf::tensor("W", 1, {1, 2, 1}) + number(14, 1)),
         "RNN node \"rnn\": W (\"W\"): its numbers stand in another file (external data): save the "
         "model as one file");

  Model model;
  model.attributes = protobuf::attribute("hidden_size", number(3, 3));
  expect(model, "ONNX node \"rnn\" (layer 0, direction 0): hidden_size: expected 2, got 3");
  model.attributes = protobuf::attribute("speed", number(3, 2));
  expect(model, "RNN node \"rnn\": unknown attribute \"speed\"");
  model = Model();
  model.inputs = {"X", "W"};
  expect(model, "RNN node \"rnn\": R: expected a constant, got no input");
}

TEST(OnnxModel, MoreNodesThanTheLayerHas) {
  Model model;
  model.more = protobuf::bytes(1, protobuf::node("RNN", "n", {"X", "W", "R"}, {}));
  EXPECT_ERROR(model.layer(),
               "m.onnx: expected at most 1 nodes for 1 layers of 1 directions, got 2");
}

}  // namespace
}  // namespace onnx_file_test
