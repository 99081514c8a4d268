// SPDX-License-Identifier: MIT
//
// Fields and numbers of types are those of onnx/onnx.proto.
#include "recur/io/onnx_graph.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"
#include "support/protobuf_writer.hpp"

namespace onnx_graph_test {
namespace {

using recur::Index;
using recur::detail::OnnxGraph;
using recur::test::bytes_of_text;
using recur::test::error_of;
using recur::test::text_of_bytes;
namespace protobuf = recur::test::protobuf;
using protobuf::attribute;
using protobuf::bytes;
using protobuf::fixed;
using protobuf::number;
using protobuf::raw;
using protobuf::tensor;
using protobuf::varint;
using Names = std::vector<std::string>;
using Shape = std::vector<Index>;

// TensorProto.DataType
constexpr int FLOAT = 1;
constexpr int INT64 = 7;
constexpr int FLOAT16 = 10;
constexpr int DOUBLE = 11;
constexpr int BFLOAT16 = 16;

// Of a whole file. The graph refers to the contents: those of a test stay until its end.
OnnxGraph read_file(const std::string& contents) {
  const auto memory = std::make_shared<const std::string>(contents);
  return recur::detail::read_onnx_graph(bytes_of_text(*memory), "m.onnx", memory);
}
OnnxGraph read(const std::string& graph) { return read_file(protobuf::model(graph)); }

std::string node(const std::string& op_type, const std::string& name, const Names& inputs,
                 const Names& outputs, const std::string& more = "") {
  return bytes(1, protobuf::node(op_type, name, inputs, outputs) + more);
}
std::string initializer(const std::string& tensor_proto) { return bytes(5, tensor_proto); }

// ---- Models ----

TEST(OnnxGraph, NodesInTheOrderOfTheFile) {
  const OnnxGraph graph =
      read(node("GRU", "b", {"X", "W", "R"}, {"Y"}) + node("MatMul", "c", {"X", "W"}, {"Z"}) +
           node("LSTM", "a", {"X", "W", "R", "", "", "h"}, {"", "Y_h"}) +
           node("RNN", "d", {"X"}, {"Y"}));
  EXPECT_EQ(graph.tensors.name(), "m.onnx");
  ASSERT_EQ(graph.nodes.size(), 3U);
  EXPECT_EQ(graph.nodes[0].op_type, "GRU");
  EXPECT_EQ(graph.nodes[0].name, "b");
  EXPECT_EQ(graph.nodes[1].op_type, "LSTM");
  EXPECT_EQ(graph.nodes[1].inputs, (Names{"X", "W", "R", "", "", "h"}));
  EXPECT_EQ(graph.nodes[2].op_type, "RNN");
  EXPECT_TRUE(graph.tensors.names().empty());
}

TEST(OnnxGraph, NodesWithoutANameHaveThatOfTheirFirstOutput) {
  const OnnxGraph graph = read(node("RNN", "", {"X"}, {"", "Y_h"}) +
                               node("RNN", "", {"X"}, {"Y", "Y_h2"}) + node("RNN", "", {"X"}, {}));
  ASSERT_EQ(graph.nodes.size(), 3U);
  EXPECT_EQ(graph.nodes[0].name, "Y_h");
  EXPECT_EQ(graph.nodes[1].name, "Y");
  EXPECT_EQ(graph.nodes[2].name, "");
}

TEST(OnnxGraph, OtherDomainsAreOtherOperators) {
  const auto count = [](const std::string& domain) {
    return read(node("RNN", "rnn", {"X"}, {"Y"}, bytes(7, domain))).nodes.size();
  };
  EXPECT_EQ(count(""), 1U);
  EXPECT_EQ(count("ai.onnx"), 1U);
  EXPECT_EQ(count("com.example"), 0U);
}

TEST(OnnxGraph, FieldsOfNoUseArePassedOver) {
  const std::string graph = bytes(2, "name") + node("RNN", "rnn", {"X"}, {"Y"}, bytes(6, "doc")) +
                            number(98, 1) + initializer(tensor("W", FLOAT, {0}) + bytes(12, "doc"));
  const OnnxGraph read = read_file(bytes(99, "?") + protobuf::model(graph));
  EXPECT_EQ(read.nodes.size(), 1U);
  EXPECT_EQ(read.tensors.names(), Names{"W"});
}

TEST(OnnxGraph, WhatIsNoModelIsSaid) {
  const std::string graph = bytes(7, node("RNN", "rnn", {"X"}, {"Y"}));
  const std::string opset = bytes(8, number(2, 14));
  EXPECT_EQ(read_file(graph + opset).nodes.size(), 1U);
  EXPECT_EQ(error_of([] { read_file(""); }),
            "m.onnx: expected a graph, got none (is this an ONNX file?)");
  EXPECT_ERROR(read_file(opset), "m.onnx: expected a graph, got none");
  EXPECT_EQ(error_of([&] { read_file(graph); }),
            "m.onnx: expected an opset_import, got none (is the file complete, and an ONNX file?)");
  EXPECT_ERROR(read_file(graph + graph + opset), "m.onnx: expected one graph, got two");
  EXPECT_ERROR(read_file(number(7, 1) + opset), "m.onnx: field 7: expected protobuf's type 2");
  EXPECT_ERROR(read_file(graph + number(8, 1)), "m.onnx: field 8: expected protobuf's type 2");
  EXPECT_ERROR(read_file(graph + bytes(8, "\x08")), "m.onnx: opset_import: no protobuf message");
  EXPECT_ERROR(read_file("PK\x03\x04"), "m.onnx: no protobuf message: the field at byte");
  EXPECT_ERROR(read("\x08"), "m.onnx: graph: no protobuf message");
  EXPECT_ERROR(read(bytes(1, "\x08")), "m.onnx: node: no protobuf message");
  EXPECT_ERROR(read(initializer("\x08")), "m.onnx: initializer: no protobuf message");
}

// The limits against files that are all names.
TEST(OnnxGraph, MoreThanAModelHas) {
  std::string nodes;
  for (int k = 0; k < 10'000; ++k) {
    nodes += node("RNN", "n", {}, {});
  }
  EXPECT_EQ(read(nodes).nodes.size(), 10'000U);
  EXPECT_EQ(error_of([&] { read(nodes + node("RNN", "n", {}, {})); }),
            "m.onnx: expected at most 10000 recurrent nodes, got more");
  std::string constants;
  for (int k = 0; k < 1'000'000; ++k) {
    constants += initializer("");
  }
  EXPECT_EQ(read(constants).refused.size(), 1U);
  const std::string error = "m.onnx: expected at most 1000000 constants and nodes of use, got more";
  EXPECT_EQ(error_of([&] { read(constants + initializer("")); }), error);
  EXPECT_EQ(error_of([&] { read(constants + node("RNN", "n", {}, {})); }), error);
  EXPECT_EQ(error_of([&] { read(constants + node("Identity", "", {"a"}, {"b"})); }), error);
}

// ---- Attributes ----

OnnxGraph::Node node_with(const std::string& attributes) {
  return read(node("LSTM", "lstm", {"X"}, {"Y"}, attributes)).nodes.at(0);
}

TEST(OnnxGraph, DefaultsOfTheOperators) {
  const OnnxGraph::Node plain = node_with("");
  EXPECT_EQ(plain.hidden_size, 0);
  EXPECT_EQ(plain.direction, "forward");
  EXPECT_TRUE(plain.activations.empty());
  EXPECT_FALSE(plain.clip.has_value());
  EXPECT_EQ(plain.input_forget, 0);
  EXPECT_EQ(plain.linear_before_reset, 0);
  EXPECT_EQ(plain.layout, 0);
  EXPECT_EQ(plain.unknown_attribute, "");
}

TEST(OnnxGraph, Attributes) {
  EXPECT_EQ(node_with(attribute("hidden_size", number(3, 7))).hidden_size, 7);
  EXPECT_EQ(node_with(attribute("direction", bytes(4, "reverse"))).direction, "reverse");
  EXPECT_EQ(node_with(attribute("activations", bytes(9, "Relu") + bytes(9, "Tanh"))).activations,
            (Names{"Relu", "Tanh"}));
  EXPECT_EQ(node_with(attribute("clip", fixed(2, 2.5F))).clip, 2.5);
  EXPECT_EQ(node_with(attribute("input_forget", number(3, 1))).input_forget, 1);
  EXPECT_EQ(node_with(attribute("linear_before_reset", number(3, 1))).linear_before_reset, 1);
  EXPECT_EQ(node_with(attribute("layout", number(3, 1))).layout, 1);
  EXPECT_EQ(node_with(attribute("speed", number(3, 1))).unknown_attribute, "speed");
  for (const char* ignored : {"activation_alpha", "activation_beta", "output_sequence"}) {
    EXPECT_EQ(node_with(attribute(ignored, number(3, 1))).unknown_attribute, "") << ignored;
  }
}

TEST(OnnxGraph, AttributesOfAnotherType) {
  const auto expect = [](const std::string& name, const std::string& value,
                         const std::string& text) {
    EXPECT_EQ(error_of([&] { node_with(attribute(name, value)); }),
              "m.onnx: LSTM node \"lstm\": attribute \"" + name + "\": " + text);
  };
  for (const char* whole : {"hidden_size", "input_forget", "linear_before_reset", "layout"}) {
    expect(whole, bytes(4, "2"), "expected a whole number");
  }
  expect("hidden_size", number(3, 0), "expected a positive number, got 0");
  expect("hidden_size", number(3, -3), "expected a positive number, got -3");
  expect("direction", number(3, 2), "expected a text");
  expect("clip", number(3, 2), "expected a number");
  EXPECT_ERROR(node_with(attribute("clip", bytes(2, "x"))),
               "m.onnx: LSTM node \"lstm\": attribute: field 2: expected protobuf's type 5, got 2");
}

// A node was taken for one of the default activations where the attribute has no texts.
TEST(OnnxGraph, ActivationsOfAnotherTypeWereTheDefaults) {
  for (const std::string& value : {bytes(4, "Relu"), number(3, 1), std::string()}) {
    EXPECT_EQ(error_of([&] { node_with(attribute("activations", value)); }),
              "m.onnx: LSTM node \"lstm\": attribute \"activations\": expected a list of texts");
  }
}

// ---- Constants ----

TEST(OnnxGraph, NumbersOfEveryKind) {  // 1, -2.5
  const auto expect = [](const std::string& proto, const std::string& dtype,
                         const std::string& contents) {
    const OnnxGraph graph = read(initializer(proto));
    ASSERT_EQ(graph.tensors.names(), Names{"W"});
    EXPECT_EQ(graph.tensors.tensor("W").dtype, dtype);
    EXPECT_EQ(graph.tensors.tensor("W").shape, (Shape{1, 2}));
    EXPECT_EQ(text_of_bytes(graph.tensors.tensor("W").bytes), contents);
    EXPECT_EQ(graph.tensors.values<double>("W"), (std::vector<double>{1, -2.5}));
  };
  const auto head = [](int type) { return tensor("W", type, {1, 2}); };
  const auto floats = raw<float>({1, -2.5F});
  expect(head(FLOAT) + bytes(9, floats), "F32", floats);
  expect(head(FLOAT) + bytes(4, floats), "F32", floats);
  expect(head(FLOAT) + fixed(4, 1.0F) + fixed(4, -2.5F), "F32", floats);
  expect(head(FLOAT) + fixed(4, 1.0F) + bytes(4, raw<float>({-2.5F})), "F32", floats);
  const auto doubles = raw<double>({1, -2.5});
  expect(head(DOUBLE) + bytes(9, doubles), "F64", doubles);
  expect(head(DOUBLE) + bytes(10, doubles), "F64", doubles);
  expect(head(DOUBLE) + fixed(10, 1.0) + fixed(10, -2.5), "F64", doubles);
  const auto halfs = raw<std::uint16_t>({0x3C00, 0xC100});
  expect(head(FLOAT16) + bytes(9, halfs), "F16", halfs);
  expect(head(FLOAT16) + number(5, 0x3C00) + number(5, 0xC100), "F16", halfs);
  expect(head(FLOAT16) + bytes(5, varint(0x3C00) + varint(0xC100)), "F16", halfs);
  const auto bfloats = raw<std::uint16_t>({0x3F80, 0xC020});
  expect(head(BFLOAT16) + bytes(9, bfloats), "BF16", bfloats);
  expect(head(BFLOAT16) + bytes(5, varint(0x3F80) + varint(0xC020)), "BF16", bfloats);
  const std::string packed_dims = bytes(1, varint(1) + varint(2));
  expect(packed_dims + number(2, FLOAT) + bytes(8, "W") + bytes(9, floats), "F32", floats);
}

TEST(OnnxGraph, ConstantsWithoutNumbers) {
  const OnnxGraph graph = read(initializer(tensor("empty", FLOAT, {2, 0})) +
                               initializer(tensor("scalar", DOUBLE, {}) + fixed(10, 0.5)));
  EXPECT_EQ(graph.tensors.tensor("empty").shape, (Shape{2, 0}));
  EXPECT_EQ(graph.tensors.tensor("scalar").shape, Shape{});
  EXPECT_EQ(graph.tensors.values<double>("scalar"), std::vector<double>{0.5});
}

TEST(OnnxGraph, ConstantAndIdentityNodes) {
  const std::string value = tensor("inner name", FLOAT, {1}) + bytes(9, raw<float>({3}));
  const OnnxGraph graph = read(
      node("Constant", "", {}, {"constant"}, attribute("value", bytes(5, value))) +
      node("Constant", "", {}, {"number"}, attribute("value_float", fixed(2, 1.0F))) +
      node("Identity", "", {"constant"}, {"between"}) + node("Identity", "", {"between"}, {"W"}) +
      node("Identity", "", {"W", "too many"}, {"V"}) + node("Identity", "", {"W"}, {"U", "T"}));
  EXPECT_EQ(graph.tensors.names(), Names{"constant"});
  EXPECT_EQ(graph.tensors.values<float>("constant"), std::vector<float>{3});
  EXPECT_EQ(graph.aliases,
            (std::map<std::string, std::string>{{"between", "constant"}, {"W", "between"}}));
  EXPECT_TRUE(graph.nodes.empty());
  EXPECT_ERROR(read(node("Constant", "", {}, {"c"}, attribute("value", bytes(5, "\x08")))),
               "m.onnx: node Constant \"c\": no protobuf message");
}

// Of another type, or elsewhere: no fault until a recurrent node wants them.
TEST(OnnxGraph, ConstantsThatCannotBeReadAreRefused) {
  const std::string external =
      "its numbers stand in another file (external data): save the model as one file";
  const OnnxGraph graph =
      read(initializer(tensor("whole", INT64, {1}) + bytes(9, raw<std::int64_t>({3}))) +
           initializer(tensor("none", 0, {})) +
           initializer(tensor("located", FLOAT, {2}) + bytes(13, bytes(1, "location"))) +
           initializer(tensor("elsewhere", FLOAT, {2}) + number(14, 1)) +
           initializer(tensor("here", FLOAT, {1}) + number(14, 0) + fixed(4, 1.0F)));
  EXPECT_EQ(graph.tensors.names(), Names{"here"});
  EXPECT_EQ(graph.refused,
            (std::map<std::string, std::string>{
                {"whole", "expected FLOAT, DOUBLE, FLOAT16 or BFLOAT16, got data_type 7"},
                {"none", "expected FLOAT, DOUBLE, FLOAT16 or BFLOAT16, got data_type 0"},
                {"located", external},
                {"elsewhere", external}}));
}

TEST(OnnxGraph, ConstantsThatContradictThemselves) {
  const auto expect = [](const std::string& proto, const std::string& text) {
    EXPECT_EQ(error_of([&] { read(initializer(proto)); }), "m.onnx: " + text);
  };
  const std::string w = tensor("W", FLOAT, {2});
  const std::string values = raw<float>({1, 2});
  expect(w, "\"W\": F32 of shape (2,): expected 8 bytes, got 0");
  expect(tensor("W", FLOAT, {3}) + bytes(9, values),
         "\"W\": F32 of shape (3,): expected 12 bytes, got 8");
  expect(tensor("W", FLOAT, {1, -2}) + bytes(9, values),
         "initializer \"W\": dims: expected numbers from 0 on, got -2");
  expect(tensor("W", FLOAT, {1LL << 32, 1LL << 32}) + bytes(9, values),
         "\"W\": shape (4294967296, 4294967296): the number of bytes overflows");
  expect(w + bytes(9, values) + bytes(4, values),
         "initializer \"W\": expected raw_data or numbers, got both");
  expect(w + bytes(10, raw<double>({1})),
         "initializer \"W\": F32: expected its numbers in raw_data or field 4, got field 10");
  expect(tensor("W", DOUBLE, {2}) + bytes(4, values),
         "initializer \"W\": F64: expected its numbers in raw_data or field 10, got field 4");
  expect(tensor("W", BFLOAT16, {4}) + bytes(4, values),
         "initializer \"W\": BF16: expected its numbers in raw_data or field 5, got field 4");
  expect(w + fixed(4, 1.0F) + fixed(10, 1.0),
         "initializer: expected numbers in one field, got some in 4 and in 10");
  expect(w + fixed(4, 1.0F) + number(5, 1),
         "initializer: expected numbers in one field, got some in 4 and in 5");
  expect(tensor("W", FLOAT16, {1}) + number(5, 0x10000),
         "initializer \"W\": int32_data: expected numbers of 16 bits");
  EXPECT_EQ(error_of([&] {
              read(initializer(w + bytes(9, values)) + initializer(w + bytes(9, values)));
            }),
            "m.onnx: \"W\": stands twice in the file");
}

// What was given as the owner of the contents lives as long as the graph; numbers out of fields
// are the graph's own.
TEST(OnnxGraph, KeepsTheMemory) {
  const auto contents = std::make_shared<const std::string>(
      protobuf::model(initializer(tensor("W", FLOAT, {1}) + fixed(4, 2.5F))));
  {
    const OnnxGraph graph =
        recur::detail::read_onnx_graph(bytes_of_text(*contents), "m.onnx", contents);
    const OnnxGraph copy = graph;  // NOLINT(performance-unnecessary-copy-initialization)
    EXPECT_GT(contents.use_count(), 1);
    EXPECT_EQ(copy.tensors.values<float>("W"), std::vector<float>{2.5F});
  }
  EXPECT_EQ(contents.use_count(), 1);
}

}  // namespace
}  // namespace onnx_graph_test
