// SPDX-License-Identifier: MIT
//
// What an .onnx file holds that recurrent layers need, read field by field. Of the file
// (github.com/onnx/onnx, onnx/onnx.proto) these count:
//
//   ModelProto        7 graph, 8 opset_import (both must be there)
//   GraphProto        1 node, 5 initializer
//   NodeProto         1 input, 2 output, 3 name, 4 op_type, 5 attribute, 7 domain
//   AttributeProto    1 name, 2 f, 3 i, 4 s, 5 t, 9 strings
//   TensorProto       1 dims, 2 data_type, 4 float_data, 5 int32_data, 8 name, 9 raw_data,
//                     10 double_data, 13 external_data, 14 data_location
//
// All the rest is passed over. Nodes inside of the bodies of If, Loop and Scan, and of functions,
// are not looked for. The user's side of it is onnx_file.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>  // std::move
#include <vector>

#include "recur/io/protobuf_message.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI::detail {

/// The recurrent nodes and the constants of a graph.
struct OnnxGraph {
  struct Node {
    std::string op_type;  ///< `LSTM`, `GRU` or `RNN`
    std::string name;     ///< or, where it has none, that of its first output
    std::vector<std::string> inputs;
    // The attributes, with ONNX's defaults.
    Index hidden_size = 0;
    std::string direction = "forward";
    std::vector<std::string> activations;
    std::optional<double> clip;
    Index input_forget = 0;
    Index linear_before_reset = 0;
    Index layout = 0;
    std::string unknown_attribute;  ///< name of one; empty: none
  };

  TensorFile tensors;                          ///< initialisers and Constant nodes
  std::vector<Node> nodes;                     ///< in the order of the file
  std::map<std::string, std::string> aliases;  ///< output of an Identity node: its input
  std::map<std::string, std::string> refused;  ///< constants that cannot be read, and why
};

class OnnxGraphReader {
 public:
  static OnnxGraph read(std::span<const std::byte> contents, std::string name,
                        std::shared_ptr<const void> memory) {
    OnnxGraphReader reader(std::move(name));
    reader.read_model(contents);
    reader.graph_.tensors.keep(std::move(memory));
    return std::move(reader.graph_);
  }

 private:
  using Field = ProtobufField;

  // No model has as many; a file that is all names could fill the memory with them.
  static constexpr std::size_t max_entries = 1'000'000;
  static constexpr std::size_t max_nodes = 10'000;  // searched by name, one after the other

  explicit OnnxGraphReader(std::string name) : graph_{TensorFile(std::move(name)), {}, {}, {}} {}

  void read_model(std::span<const std::byte> contents) {
    const ProtobufMessage model(contents, graph_.tensors.name());
    std::optional<std::span<const std::byte>> graph;
    bool opset = false;
    model.for_each_field([&](const Field& field) {
      if (field.id == 7) {
        check(!graph, graph_.tensors.name(), ": expected one graph, got two");
        graph = model.bytes(field);
      } else if (field.id == 8) {
        model.message(field, graph_.tensors.name() + ": opset_import")
            .for_each_field([](const Field&) {});
        opset = true;
      }
    });
    check(graph.has_value(), graph_.tensors.name(),
          ": expected a graph, got none (is this an ONNX file?)");
    check(opset, graph_.tensors.name(),
          ": expected an opset_import, got none (is the file complete, and an ONNX file?)");
    const ProtobufMessage message(*graph, graph_.tensors.name() + ": graph");
    message.for_each_field([&](const Field& field) {
      if (field.id == 1) {
        read_node(message.message(field, graph_.tensors.name() + ": node"));
      } else if (field.id == 5) {
        read_tensor(message.message(field, graph_.tensors.name() + ": initializer"), "");
      }
    });
  }

  void count_entry() {
    check(++entries_ <= max_entries, graph_.tensors.name(), ": expected at most ", max_entries,
          " constants and nodes of use, got more");
  }

  void read_node(const ProtobufMessage& message) {
    OnnxGraph::Node node;
    std::string domain;
    std::vector<std::string> outputs;
    std::vector<std::span<const std::byte>> attributes;
    message.for_each_field([&](const Field& field) {
      switch (field.id) {
        case 1:
          node.inputs.push_back(message.text(field));
          break;
        case 2:
          outputs.push_back(message.text(field));
          break;
        case 3:
          node.name = message.text(field);
          break;
        case 4:
          node.op_type = message.text(field);
          break;
        case 5:
          attributes.push_back(message.bytes(field));
          break;
        case 7:
          domain = message.text(field);
          break;
        default:
          break;
      }
    });
    if (!domain.empty() && domain != "ai.onnx") {
      return;  // another operator of the same name
    }
    if (node.op_type == "Identity" && node.inputs.size() == 1 && outputs.size() == 1) {
      count_entry();
      graph_.aliases.emplace(outputs[0], node.inputs[0]);
    } else if (node.op_type == "Constant" && outputs.size() == 1) {
      for (const auto& attribute : attributes) {
        read_constant(ProtobufMessage(attribute, message.where() + " Constant"), outputs[0]);
      }
    } else if (node.op_type == "LSTM" || node.op_type == "GRU" || node.op_type == "RNN") {
      count_entry();
      for (std::size_t k = 0; node.name.empty() && k < outputs.size(); ++k) {
        node.name = outputs[k];
      }
      const std::string where =
          graph_.tensors.name() + ": " + node.op_type + " node " + in_quotes(node.name) + ": ";
      for (const auto& attribute : attributes) {
        read_attribute(ProtobufMessage(attribute, where + "attribute"), node);
      }
      check(graph_.nodes.size() < max_nodes, graph_.tensors.name(), ": expected at most ",
            max_nodes, " recurrent nodes, got more");
      graph_.nodes.push_back(std::move(node));
    }
  }

  // The value of a Constant node, where it is a tensor.
  void read_constant(const ProtobufMessage& attribute, const std::string& output) {
    attribute.for_each_field([&](const Field& field) {
      if (field.id == 5) {
        read_tensor(attribute.message(field, attribute.where() + " " + in_quotes(output)), output);
      }
    });
  }

  static void read_attribute(const ProtobufMessage& message, OnnxGraph::Node& node) {
    std::string name;
    std::optional<double> f;
    std::optional<std::int64_t> i;
    std::optional<std::string> s;
    std::vector<std::string> strings;
    message.for_each_field([&](const Field& field) {
      switch (field.id) {
        case 1:
          name = message.text(field);
          break;
        case 2:
          f = message.real(field);
          break;
        case 3:
          i = message.number(field);
          break;
        case 4:
          s = message.text(field);
          break;
        case 9:
          strings.push_back(message.text(field));
          break;
        default:
          break;
      }
    });
    const std::string where = message.where() + " " + in_quotes(name) + ": ";
    const auto whole = [&]() -> Index {
      check(i.has_value(), where, "expected a whole number");
      return static_cast<Index>(*i);
    };
    if (name == "hidden_size") {
      node.hidden_size = whole();
      check(node.hidden_size > 0, where, "expected a positive number, got ", node.hidden_size);
    } else if (name == "direction") {
      check(s.has_value(), where, "expected a text");
      node.direction = *s;
    } else if (name == "activations") {
      check(!strings.empty(), where, "expected a list of texts");
      node.activations = std::move(strings);
    } else if (name == "clip") {
      check(f.has_value(), where, "expected a number");
      node.clip = f;
    } else if (name == "input_forget") {
      node.input_forget = whole();
    } else if (name == "linear_before_reset") {
      node.linear_before_reset = whole();
    } else if (name == "layout") {
      node.layout = whole();
    } else if (name != "activation_alpha" && name != "activation_beta" &&
               name != "output_sequence") {
      // The first two are for activations that are refused anyway, the third is of 2017 and says
      // whether Y is wanted.
      node.unknown_attribute = name;
    }
  }

  // A TensorProto, under its own name or the one given.
  void read_tensor(const ProtobufMessage& message, std::string name) {
    count_entry();
    const bool named = !name.empty();
    StoredTensor tensor;
    std::int64_t data_type = 0;
    bool external = false;
    std::optional<std::span<const std::byte>> raw;
    // What stands in fields of numbers comes as one run or many, to be put together.
    auto numbers = std::make_shared<std::vector<std::byte>>();
    std::vector<std::int64_t> dims;
    std::uint32_t numbers_field = 0;  // where the numbers stand, if not in raw_data
    bool wide = false;                // a number of int32_data has more than 16 bits
    const auto note = [&](const Field& field) {
      check(numbers_field == 0 || numbers_field == field.id, message.where(),
            ": expected numbers in one field, got some in ", numbers_field, " and in ", field.id);
      numbers_field = field.id;
    };
    const auto append = [&](const Field& field, std::size_t size, std::uint32_t single_type) {
      note(field);
      if (field.type == single_type) {
        const auto* bytes = reinterpret_cast<const std::byte*>(&field.value);  // little-endian
        numbers->insert(numbers->end(), bytes, bytes + size);
      } else {
        const auto bytes = message.bytes(field);
        numbers->insert(numbers->end(), bytes.begin(), bytes.end());
      }
    };
    message.for_each_field([&](const Field& field) {
      switch (field.id) {
        case 1:
          message.for_each_number(field, [&](std::uint64_t length) {
            dims.push_back(static_cast<std::int64_t>(length));
          });
          break;
        case 2:
          data_type = message.number(field);
          break;
        case 4:
          append(field, sizeof(float), 5);
          break;
        case 5:
          note(field);  // numbers of 16 bits, one a varint; those of other types are not read
          message.for_each_number(field, [&](std::uint64_t value) {
            const auto* bytes = reinterpret_cast<const std::byte*>(&value);
            numbers->insert(numbers->end(), bytes, bytes + sizeof(std::uint16_t));
            wide = wide || value > 0xFFFF;
          });
          break;
        case 8:
          if (!named) {
            name = message.text(field);
          }
          break;
        case 9:
          raw = message.bytes(field);
          break;
        case 10:
          append(field, sizeof(double), 1);
          break;
        case 13:
          external = true;
          break;
        case 14:
          external = external || message.number(field) == 1;
          break;
        default:
          break;
      }
    });
    const std::string where = message.where() + " " + in_quotes(name) + ": ";
    for (const std::int64_t length : dims) {
      check(length >= 0, where, "dims: expected numbers from 0 on, got ", length);
      tensor.shape.push_back(static_cast<Index>(length));
    }

    tensor.dtype = dtype_of(data_type);
    if (external) {
      refuse(name, "its numbers stand in another file (external data): save the model as one file");
      return;
    }
    if (tensor.dtype.empty()) {
      refuse(name, "expected FLOAT, DOUBLE, FLOAT16 or BFLOAT16, got data_type " +
                       std::to_string(data_type));
      return;
    }
    if (raw) {
      check(numbers_field == 0, where, "expected raw_data or numbers, got both");
      tensor.bytes = *raw;
    } else {
      const std::uint32_t expected = data_type == 1 ? 4 : data_type == 11 ? 10 : 5;
      check(numbers_field == 0 || numbers_field == expected, where, tensor.dtype,
            ": expected its numbers in raw_data or field ", expected, ", got field ",
            numbers_field);
      check(!wide, where, "int32_data: expected numbers of 16 bits");
      tensor.bytes = *numbers;
      graph_.tensors.keep(numbers);
    }
    graph_.tensors.add(name, std::move(tensor));
  }

  // Other constants (shapes, indices) are of no use here, and no fault.
  void refuse(const std::string& name, std::string why) {
    graph_.refused.emplace(name, std::move(why));
  }

  static std::string dtype_of(std::int64_t data_type) {
    switch (data_type) {
      case 1:
        return "F32";
      case 10:
        return "F16";
      case 11:
        return "F64";
      case 16:
        return "BF16";
      default:
        return "";
    }
  }

  OnnxGraph graph_;
  std::size_t entries_ = 0;
};

/// Reads the contents of an .onnx file; `name` stands for it in error texts, `memory` owns the
/// contents (null: the caller does). Throws Error.
inline OnnxGraph read_onnx_graph(std::span<const std::byte> contents, std::string name,
                                 std::shared_ptr<const void> memory) {
  return OnnxGraphReader::read(contents, std::move(name), std::move(memory));
}

}  // namespace recur::inline RECUR_ABI::detail
