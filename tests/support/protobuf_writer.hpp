// SPDX-License-Identifier: MIT
//
// Protobuf messages put together field by field, and the .onnx files that tests make of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace recur::test::protobuf {

inline std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes += static_cast<char>((value & 0x7F) | 0x80);
  }
  return bytes += static_cast<char>(value);
}

inline std::string number(std::uint32_t id, std::int64_t value) {
  return varint(id << 3) + varint(static_cast<std::uint64_t>(value));
}

/// A text, a message, or numbers packed together.
inline std::string bytes(std::uint32_t id, const std::string& contents) {
  return varint(id << 3 | 2) + varint(contents.size()) + contents;
}

/// The bytes of one value after another.
template <class T>
std::string raw(const std::vector<T>& values) {
  std::string result(values.size() * sizeof(T), '\0');
  std::memcpy(result.data(), values.data(), result.size());
  return result;
}

/// A field of 4 or 8 bytes.
template <class T>
std::string fixed(std::uint32_t id, T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  return varint(id << 3 | (sizeof(T) == 4 ? 5U : 1U)) + raw(std::vector<T>{value});
}

// ---- ONNX ----

/// TensorProto without its numbers.
inline std::string tensor(const std::string& name, int data_type,
                          const std::vector<std::int64_t>& dims) {
  std::string result;
  for (const std::int64_t length : dims) {
    result += number(1, length);
  }
  return result + number(2, data_type) + bytes(8, name);
}

/// NodeProto without its attributes.
inline std::string node(const std::string& op_type, const std::string& name,
                        const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs) {
  std::string result;
  for (const std::string& input : inputs) {
    result += bytes(1, input);
  }
  for (const std::string& output : outputs) {
    result += bytes(2, output);
  }
  return result + bytes(3, name) + bytes(4, op_type);
}

/// A node's field that holds an attribute of that name and value.
inline std::string attribute(const std::string& name, const std::string& value) {
  return bytes(5, bytes(1, name) + value);
}

/// ModelProto of a graph: fields 1 (nodes) and 5 (initialisers).
inline std::string model(const std::string& graph) {
  return number(1, 8) + bytes(7, graph) + bytes(8, bytes(1, "") + number(2, 14));
}

}  // namespace recur::test::protobuf
