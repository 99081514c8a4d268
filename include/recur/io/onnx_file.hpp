// SPDX-License-Identifier: MIT
//
// The LSTM, GRU and RNN nodes of an .onnx file, with their weights, as layers. Needs libprotobuf:
// link the target recur::onnx. What is read of the file: onnx_graph.hpp.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>  // std::move
#include <vector>

#include "recur/io/mapped_file.hpp"
#include "recur/io/onnx.hpp"
#include "recur/io/onnx_graph.hpp"

namespace recur::inline RECUR_ABI {

/// An .onnx file. All errors are recur::Error and name the file and the node. A const object can be
/// shared among threads; copies share the memory that the tensors stand in.
///
///     const auto file = recur::load_onnx_file("model.onnx");
///     for (const std::string& name : file.names()) { … }      // "/lstm/LSTM", "/lstm/LSTM_1"
///     recur::load_onnx(lstm, file, {"/lstm/LSTM", "/lstm/LSTM_1"});
class OnnxFile {
 public:
  explicit OnnxFile(detail::OnnxGraph graph) : graph_(std::move(graph)) {}

  /// The path, or the name given to parse_onnx_file().
  const std::string& name() const { return graph_.tensors.name(); }

  /// The LSTM, GRU and RNN nodes in the order of the graph: their names or, where a node has none,
  /// the name of its first output.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Node& node : graph_.nodes) {
      names.push_back(node.name);
    }
    return names;
  }

  /// All constants of the graph whose numbers can be read (initialisers and Constant nodes), by
  /// name; also those of other nodes: a Linear layer's weights, for example.
  const TensorFile& tensors() const { return graph_.tensors; }

  /// A node with its weights converted to Scalar: for load_onnx(layer, nodes).
  template <class Scalar>
  OnnxNode<Scalar> node(const std::string& node_name) const {
    const Node& found = find(node_name);
    OnnxNode<Scalar> node = {};
    node.op_type = found.op_type;
    node.name = found.name;
    node.hidden_size = found.hidden_size;
    node.direction = found.direction;
    node.activations = found.activations;
    node.clip = found.clip;
    node.input_forget = found.input_forget;
    node.linear_before_reset = found.linear_before_reset;
    node.layout = found.layout;
    check(found.unknown_attribute.empty(), where(found), "unknown attribute ",
          detail::in_quotes(found.unknown_attribute));

    // X W R B sequence_lens initial_h initial_c P; an input that is left out has no name.
    node.W = graph_.tensors.tensor3<Scalar>(constant(found, 1, "W"));
    node.R = graph_.tensors.tensor3<Scalar>(constant(found, 2, "R"));
    if (has_input(found, 3)) {
      node.B = graph_.tensors.matrix<Scalar>(constant(found, 3, "B"));
    }
    if (has_input(found, 7)) {
      node.P = graph_.tensors.matrix<Scalar>(constant(found, 7, "P"));
    }
    if (has_constant(found, 5)) {
      node.initial_h = graph_.tensors.tensor3<Scalar>(constant(found, 5, "initial_h"));
    }
    if (has_constant(found, 6)) {
      node.initial_c = graph_.tensors.tensor3<Scalar>(constant(found, 6, "initial_c"));
    }
    return node;
  }

 private:
  using Node = detail::OnnxGraph::Node;

  std::string where(const Node& node) const {
    return name() + ": " + node.op_type + " node " + detail::in_quotes(node.name) + ": ";
  }

  const Node& find(const std::string& node_name) const {
    const Node* found = nullptr;
    for (const Node& node : graph_.nodes) {
      if (node.name == node_name) {
        check(found == nullptr, name(), ": there are two nodes ", detail::in_quotes(node_name));
        found = &node;
      }
    }
    if (found == nullptr) {
      std::string known;
      for (const Node& node : graph_.nodes) {
        known += (known.empty() ? "" : ", ") + detail::in_quotes(node.name);
      }
      fail(name(), ": no LSTM, GRU or RNN node ", detail::in_quotes(node_name),
           known.empty() ? "; the graph has none at all" : "; there are " + known);
    }
    return *found;
  }

  static bool has_input(const Node& node, std::size_t k) {
    return node.inputs.size() > k && !node.inputs[k].empty();
  }

  bool has_constant(const Node& node, std::size_t k) const {
    if (!has_input(node, k)) {
      return false;
    }
    const std::string tensor_name = resolve(node.inputs[k]);
    return graph_.tensors.contains(tensor_name) || graph_.refused.count(tensor_name) > 0;
  }

  // The name behind a chain of Identity nodes.
  std::string resolve(std::string tensor_name) const {
    constexpr int longest_chain = 16;
    for (int k = 0; k < longest_chain; ++k) {
      const auto alias = graph_.aliases.find(tensor_name);
      if (alias == graph_.aliases.end()) {
        break;
      }
      tensor_name = alias->second;
    }
    return tensor_name;
  }

  // Name of the tensor that is input k of a node; Error unless it is a constant that can be read.
  std::string constant(const Node& node, std::size_t k, const char* what) const {
    check(has_input(node, k), where(node), what, ": expected a constant, got no input");
    const std::string tensor_name = resolve(node.inputs[k]);
    const auto refused = graph_.refused.find(tensor_name);
    check(refused == graph_.refused.end(), where(node), what, " (", detail::in_quotes(tensor_name),
          "): ", refused == graph_.refused.end() ? "" : refused->second);
    check(graph_.tensors.contains(tensor_name), where(node), what, " (",
          detail::in_quotes(tensor_name),
          "): expected a constant of the graph, got something that is computed or given when the "
          "model runs (export the model with its weights and with constant folding)");
    return tensor_name;
  }

  detail::OnnxGraph graph_;
};

/// The nodes and constants in the contents of an .onnx file; `name` stands for it in error texts.
/// The contents must stay where they are as long as the result or a copy of it is used.
inline OnnxFile parse_onnx_file(std::span<const std::byte> contents, std::string name) {
  return OnnxFile(detail::read_onnx_graph(contents, std::move(name), nullptr));
}

/// The same, with the memory handed over.
inline OnnxFile parse_onnx_file(std::vector<std::byte> contents, std::string name) {
  const auto memory = std::make_shared<const std::vector<std::byte>>(std::move(contents));
  return OnnxFile(detail::read_onnx_graph(*memory, std::move(name), memory));
}

/// The nodes and constants of an .onnx file, which is mapped into memory where the system can do
/// that. Throws recur::Error.
inline OnnxFile load_onnx_file(const std::filesystem::path& path) {
  const auto memory = std::make_shared<const MappedFile>(path);
  return OnnxFile(detail::read_onnx_graph(memory->bytes(), memory->name(), memory));
}

/// Overwrites all parameters of a layer from nodes of a file, the first layer's first; see
/// load_onnx(layer, nodes) for what fits and what is refused. The layer is then as before.
///
///     recur::GRU<float> gru({.input_size = 3, .hidden_size = 5, .num_layers = 2});
///     recur::load_onnx(gru, recur::load_onnx_file("model.onnx"), {"/gru/GRU", "/gru/GRU_1"});
template <class E, class Scalar, int I, int H>
void load_onnx(Recurrent<E, Scalar, I, H>& layer, const OnnxFile& file,
               const std::vector<std::string>& node_names) {
  // Before they are read: in a hostile file many nodes may share one large constant.
  const auto most = static_cast<std::size_t>(layer.num_layers() * layer.directions());
  check(node_names.size() <= most, file.name(), ": expected at most ", most, " nodes for ",
        layer.num_layers(), " layers of ", layer.directions(), " directions, got ",
        node_names.size());
  std::vector<OnnxNode<Scalar>> nodes;
  for (const std::string& node_name : node_names) {
    nodes.push_back(file.node<Scalar>(node_name));
  }
  try {
    load_onnx(layer, nodes);
  } catch (const Error& error) {
    fail(file.name(), ": ", error.what());
  }
}

}  // namespace recur::inline RECUR_ABI
