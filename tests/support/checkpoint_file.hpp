// SPDX-License-Identifier: MIT
//
// Files for the tests of CheckpointReader, put together tensor by tensor.
#pragma once

#include <string>
#include <vector>

#include "recur/io/checkpoint_reader.hpp"
#include "recur/io/safetensors.hpp"
#include "recur/io/safetensors_writer.hpp"

#include "support/compare.hpp"

namespace recur::test {

/// Tensors by name.
struct CheckpointFile {
  SafetensorsWriter writer;

  template <class Element>
  CheckpointFile& add(const std::string& name, const std::vector<Index>& shape,
                      const std::vector<Element>& elements) {
    writer.add(name, shape, elements.data());
    return *this;
  }
  template <class Number>
  CheckpointFile& add(const std::string& name, Number number) {
    writer.add(name, {}, &number);
    return *this;
  }
  CheckpointFile& add_metadata(const std::string& key, const std::string& value) {
    writer.add_metadata(key, value);
    return *this;
  }
  /// One BOOL for each character.
  CheckpointFile& add_bools(const std::string& name, const std::vector<Index>& shape,
                            const std::string& bytes) {
    writer.add(name, shape, reinterpret_cast<const bool*>(bytes.data()));
    return *this;
  }

  template <class... Parts>
  void load(Parts&&... parts) const {
    const TensorFile file = parse_safetensors(writer.bytes(), "run.safetensors");
    detail::CheckpointReader(file).load(static_cast<void*>(nullptr), parts...);
  }
};

/// The text of the error of loading parts.
template <class... Parts>
std::string error_of_load(const CheckpointFile& file, Parts&&... parts) {
  return error_of([&] { file.load(parts...); });
}

}  // namespace recur::test
