// SPDX-License-Identifier: MIT
//
// Files in the safetensors format, written; safetensors.hpp reads them and says what the format is.
#pragma once

#include <algorithm>  // std::stable_sort
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/io/atomic_file.hpp"
#include "recur/io/safetensors.hpp"

namespace recur {

/// Gathers tensors and writes them as one file. The elements are copied when they are added.
///
///     recur::SafetensorsWriter writer;
///     writer.add("weight", {2, 3}, weight.data());
///     writer.save("model.safetensors");
///
/// All errors are recur::Error.
class SafetensorsWriter {
 public:
  /// Adds a tensor (row-major; float or double).
  template <class Scalar>
  void add(const std::string& name, std::vector<Index> shape, const Scalar* elements) {
    check(name != "__metadata__", "SafetensorsWriter: a tensor must not be named __metadata__");
    check(names_.insert(name).second, "SafetensorsWriter: tensor ", detail::in_quotes(name),
          " was added before");
    std::size_t bytes = sizeof(Scalar);
    for (const Index length : shape) {
      check(length >= 0, "SafetensorsWriter: ", detail::in_quotes(name),
            ": sizes must not be negative, got ", detail::shape_text(shape));
      bytes *= static_cast<std::size_t>(length);
    }
    std::vector<std::byte> data(bytes);
    if (bytes > 0) {
      std::memcpy(data.data(), elements, bytes);
    }
    tensors_.push_back({name, dtype_of<Scalar>(), std::move(shape), std::move(data)});
  }

  /// Adds an entry of `__metadata__`.
  void add_metadata(const std::string& key, std::string value) {
    metadata_[key] = std::move(value);
  }

  /// The contents of the file.
  std::vector<std::byte> bytes() const {
    // Wider elements first: then each tensor is aligned. Else in the order of adding.
    std::vector<const Tensor*> order;
    for (const Tensor& tensor : tensors_) {
      order.push_back(&tensor);
    }
    std::stable_sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
      return dtype_size(a->dtype) > dtype_size(b->dtype);
    });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata_.empty()) {
      header["__metadata__"] = metadata_;
    }
    std::size_t end = 0;
    for (const Tensor* tensor : order) {
      const std::size_t begin = end;
      end += tensor->data.size();
      header[tensor->name] = {
          {"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
    }
    std::string text = header_text(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    check(text.size() <= detail::max_safetensors_header,
          "SafetensorsWriter: expected a header of at most ", detail::max_safetensors_header,
          " bytes, got ", text.size());

    const std::uint64_t length = text.size();
    std::vector<std::byte> contents(sizeof(length) + text.size() + end);
    std::byte* to = contents.data();
    const auto append = [&to](const void* from, std::size_t count) {
      if (count > 0) {
        std::memcpy(to, from, count);
        to += count;
      }
    };
    append(&length, sizeof(length));
    append(text.data(), text.size());
    for (const Tensor* tensor : order) {
      append(tensor->data.data(), tensor->data.size());
    }
    return contents;
  }

  /// Writes the file: whole, or not at all. A file that was there is replaced in one step, and kept
  /// when anything fails.
  void save(const std::filesystem::path& path) const { write_file_atomically(path, bytes()); }

 private:
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<Index> shape;
    std::vector<std::byte> data;
  };

  static std::string header_text(const nlohmann::ordered_json& header) {
    try {
      return header.dump();
    } catch (const nlohmann::json::exception& error) {  // a name that is not UTF-8
      fail("SafetensorsWriter: the header cannot be written: ", error.what());
    }
  }

  std::set<std::string> names_;
  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace recur
