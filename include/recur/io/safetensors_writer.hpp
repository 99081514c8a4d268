// SPDX-License-Identifier: MIT
//
// Files in the safetensors format, written; safetensors.hpp reads them and says what the format is.
#pragma once

#include <algorithm>  // std::min, std::stable_sort
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/io/atomic_file.hpp"
#include "recur/io/safetensors.hpp"

namespace recur::inline RECUR_ABI {

/// Gathers tensors and writes them as one file.
///
///     recur::SafetensorsWriter writer;
///     writer.add("weight", {2, 3}, weight.data());
///     writer.add("small", {2, 3}, weight.data(), "F16");
///     writer.save("model.safetensors");
///
/// All errors are recur::Error.
class SafetensorsWriter {
 public:
  /// Adds a copy of a tensor (row-major). `dtype`, for float and double only: F64, F32, F16 or
  /// BF16, rounded to the nearest; empty: what the elements are.
  template <class Element>
  void add(const std::string& name, std::vector<Index> shape, const Element* elements,
           const std::string& dtype = "") {
    Tensor tensor = described(name, std::move(shape), elements, dtype);
    tensor.copy.resize(tensor.bytes);
    if (tensor.bytes > 0) {
      std::byte* to = tensor.copy.data();
      tensor.encode(tensor, [&to](std::span<const std::byte> part) {
        std::memcpy(to, part.data(), part.size());
        to += part.size();
      });
    }
    tensor.encode = [](const Tensor& self, const Sink& sink) { sink(self.copy); };
    insert(std::move(tensor));
  }

  /// Adds a tensor without copying it: the elements must stay where they are until the file is
  /// written.
  template <class Element>
  void refer(const std::string& name, std::vector<Index> shape, const Element* elements,
             const std::string& dtype = "") {
    insert(described(name, std::move(shape), elements, dtype));
  }

  /// Sets an entry of `__metadata__`.
  void add_metadata(const std::string& key, std::string value) {
    metadata_[key] = std::move(value);
  }

  /// The contents of the file.
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> contents;
    write([&](std::span<const std::byte> part) {
      contents.insert(contents.end(), part.begin(), part.end());
    });
    return contents;
  }

  /// Writes the file: whole, or not at all. A file that was there is replaced in one step, and kept
  /// when anything fails. No second copy of the tensors is made.
  void save(const std::filesystem::path& path) const {
    AtomicFile file(path);
    write([&](std::span<const std::byte> part) { file.write(part); });
    file.commit();
  }

 private:
  using Sink = std::function<void(std::span<const std::byte>)>;

  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<Index> shape;
    std::size_t bytes = 0;
    const void* elements = nullptr;
    std::vector<std::byte> copy;
    void (*encode)(const Tensor& self, const Sink& sink) = nullptr;  // gives the bytes, in parts
  };

  template <class Element>
  Tensor described(const std::string& name, std::vector<Index> shape, const Element* elements,
                   const std::string& dtype) const {
    const std::string where = "SafetensorsWriter: " + detail::in_quotes(name) + ": ";
    check(name != "__metadata__", where, "a tensor must not have this name");
    check(names_.count(name) == 0, where, "was added before");
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = dtype_of<Element>();
    tensor.elements = elements;
    if (!dtype.empty() && dtype != tensor.dtype) {
      check(std::is_floating_point_v<Element> && is_floating_dtype(dtype), where, "expected dtype ",
            std::is_floating_point_v<Element> ? "F64, F32, F16 or BF16" : tensor.dtype, ", got ",
            detail::in_quotes(dtype));
      tensor.dtype = dtype;
      tensor.encode = encode_converted<Element>;
    } else {
      tensor.encode = [](const Tensor& self, const Sink& sink) {
        sink({static_cast<const std::byte*>(self.elements), self.bytes});
      };
    }
    const auto bytes = detail::byte_count(shape, dtype_size(tensor.dtype));
    check(bytes.has_value(), where, "expected sizes from 0 on, and bytes that can be counted, got ",
          detail::shape_text(shape));
    tensor.bytes = *bytes;
    tensor.shape = std::move(shape);
    return tensor;
  }

  // Small parts at a time: no second copy.
  template <class Element>
  static void encode_converted(const Tensor& self, const Sink& sink) {
    if constexpr (std::is_floating_point_v<Element>) {
      constexpr std::size_t part = 16384;
      const std::size_t size = dtype_size(self.dtype);
      const std::size_t count = self.bytes / size;
      std::vector<std::byte> encoded(std::min(count, part) * size);
      for (std::size_t begin = 0; begin < count; begin += part) {
        const std::span<const Element> elements(static_cast<const Element*>(self.elements) + begin,
                                                std::min(part, count - begin));
        detail::encode_elements(self.dtype, elements, encoded.data());
        sink(std::span(encoded).first(elements.size() * size));
      }
    }
  }

  void insert(Tensor tensor) {
    names_.insert(tensor.name);
    tensors_.push_back(std::move(tensor));
  }

  // Gives the contents of the file, part by part.
  void write(const Sink& sink) const {
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
      end += tensor->bytes;
      header[tensor->name] = {
          {"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
    }
    std::string text = header_text(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    check(text.size() <= detail::max_safetensors_header,
          "SafetensorsWriter: expected a header of at most ", detail::max_safetensors_header,
          " bytes, got ", text.size());

    const std::uint64_t length = text.size();
    sink(std::as_bytes(std::span(&length, 1)));
    sink(std::as_bytes(std::span(text)));
    for (const Tensor* tensor : order) {
      if (tensor->bytes > 0) {
        tensor->encode(*tensor, sink);
      }
    }
  }

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

}  // namespace recur::inline RECUR_ABI
