// SPDX-License-Identifier: MIT
//
// The reader of .onnx files, as those of readers.hpp. It needs Protobuf, which they do not.
#pragma once

#include "recur/io/onnx_file.hpp"

#include "fuzz/readers.hpp"

namespace recur::fuzz {

/// Reads the constants, every node and its weights, and loads what fits into a layer.
inline std::uint64_t read_onnx(Bytes bytes) {
  const OnnxFile file = parse_onnx_file(bytes, "file.onnx");
  std::uint64_t sum = touch(file.tensors());
  for (const std::string& name : file.names()) {
    try {
      const OnnxNode<float> node = file.node<float>(name);
      sum += static_cast<std::uint64_t>(node.W.size());
      LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
      load_onnx(lstm, node);
    } catch (const Error&) {
    }
  }
  return sum;
}

}  // namespace recur::fuzz
