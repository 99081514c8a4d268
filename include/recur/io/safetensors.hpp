// SPDX-License-Identifier: MIT
//
// Files in the safetensors format, read (safetensors_writer.hpp writes them). A file is
//
//   8 bytes     little-endian length N of the header
//   N bytes     JSON object: {"__metadata__": {"key": "value"},
//                             "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
//                             …}
//   the rest    the data; offsets count from here; row-major, little-endian
//
// Reading trusts nothing in the file: whatever does not fit the format, byte by byte, is an Error
// that names the file, the tensor, what was expected and what was found.
#pragma once

#include <algorithm>  // std::stable_sort
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/io/mapped_file.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI {

namespace detail {

/// The reference implementation refuses longer headers, too.
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

/// Parses one file; `contents` must outlive the TensorFile.
class SafetensorsParser {
 public:
  SafetensorsParser(std::span<const std::byte> contents, const std::string& name)
      : contents_(contents), name_(name) {}

  void add_to(TensorFile& file) {
    parse_header();
    for (auto& [key, text] : metadata_) {
      file.add_metadata(key, std::move(text));
    }
    for (auto& [key, tensor] : tensors_) {
      file.add(key, std::move(tensor));
    }
  }

 private:
  using Json = nlohmann::json;

  // The start of an error text about a tensor, put together only where there is one: headers may
  // hold a million entries.
  struct Where {
    const std::string& file;
    const std::string& key;
    friend std::ostream& operator<<(std::ostream& out, const Where& where) {
      return out << where.file << ": " << in_quotes(where.key) << ": ";
    }
  };

  void parse_header() {
    constexpr std::uint64_t prefix = sizeof(std::uint64_t);
    const std::uint64_t size = contents_.size();
    check(size >= prefix, name_, ": expected the header's length in the first 8 bytes, got ", size,
          " bytes in all");
    std::uint64_t length = 0;
    std::memcpy(&length, contents_.data(), prefix);
    check(length <= max_safetensors_header, name_, ": expected a header of at most ",
          max_safetensors_header, " bytes, got a length of ", length,
          " (is this a safetensors file?)");
    check(length <= size - prefix, name_, ": expected a header of ", length, " bytes, got ",
          size - prefix, " (is the file complete?)");
    const std::string_view text(reinterpret_cast<const char*>(contents_.data()) + prefix, length);
    check(text.starts_with('{'), name_, ": expected a header that begins with {");
    // The JSON parser takes a zero byte for the end of the text, whatever follows.
    check(text.find('\0') == std::string_view::npos, name_, ": zero byte in the header");

    const std::span<const std::byte> data = contents_.subspan(prefix + length);
    parse_json(text, data);
    check_coverage(data);
  }

  // Every entry is taken over, and dropped by the JSON parser, as soon as it is complete: the whole
  // header as JSON objects would be some 25 times as large as its text.
  void parse_json(std::string_view text, std::span<const std::byte> data) {
    // Objects nest two deep; the set of keys seen finds those that come twice, which JSON libraries
    // would drop in silence.
    constexpr int max_depth = 3;
    std::string entry;  // that is being read
    std::vector<std::set<std::string>> keys;
    const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
      check(depth <= max_depth, name_, ": the header nests deeper than the format allows");
      if (event == Json::parse_event_t::object_start) {
        keys.emplace_back();
        return true;
      }
      if (event == Json::parse_event_t::key) {
        std::string key = parsed.get<std::string>();
        if (!keys.back().insert(key).second) {
          fail(name_, ": key ", in_quotes(key), " stands twice in the header");
        }
        if (keys.size() == 1) {
          entry = std::move(key);
        }
        return true;
      }
      if (event == Json::parse_event_t::object_end) {
        keys.pop_back();
      }
      const bool complete = depth == 1 && event != Json::parse_event_t::array_start;
      if (complete) {
        add_entry(entry, parsed, data);
      }
      return !complete;
    };
    try {
      [[maybe_unused]] const Json dropped = Json::parse(text.begin(), text.end(), callback);
    } catch (const Json::exception& error) {
      fail(name_, ": the header is not valid JSON: ", error.what());
    }
  }

  void add_entry(const std::string& key, const Json& value, std::span<const std::byte> data) {
    if (key == "__metadata__") {
      read_metadata(value);
    } else {
      tensors_.emplace_back(key, read_entry(key, value, data));
    }
  }

  void read_metadata(const Json& value) {
    check(value.is_object(), name_, ": __metadata__: expected an object, got ", value.type_name());
    for (const auto& [key, text] : value.items()) {
      check(text.is_string(), name_, ": __metadata__: expected a string for ", in_quotes(key),
            ", got ", text.type_name());
      metadata_.emplace(key, text.get<std::string>());
    }
  }

  StoredTensor read_entry(const std::string& key, const Json& entry,
                          std::span<const std::byte> data) const {
    const Where where{name_, key};
    check(entry.is_object(), where, "expected an object, got ", entry.type_name());
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      check(entry.contains(field), where, "expected a field ", field, ", got none");
    }
    check(entry.size() == 3, where, "expected the fields dtype, shape and data_offsets, got ",
          entry.size(), " fields");

    StoredTensor tensor;
    check(entry["dtype"].is_string(), where, "dtype: expected a string, got ",
          entry["dtype"].type_name());
    tensor.dtype = entry["dtype"].get<std::string>();
    std::uint64_t bytes = dtype_size(tensor.dtype);
    if (bytes == 0) {
      fail(where, "unknown dtype ", in_quotes(tensor.dtype));
    }

    const Json& shape = entry["shape"];
    check(shape.is_array(), where, "shape: expected an array, got ", shape.type_name());
    for (const Json& element : shape) {
      const std::uint64_t length = whole_number(element, where, "shape");
      check(length == 0 || bytes <= std::uint64_t{std::numeric_limits<Index>::max()} / length,
            where, "shape: the number of bytes overflows");
      check(length <= std::uint64_t{std::numeric_limits<Index>::max()}, where, "shape: ", length,
            " is too large");
      bytes *= length;
      tensor.shape.push_back(static_cast<Index>(length));
    }

    const Json& offsets = entry["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2) {
      fail(where, "data_offsets: expected an array of 2 numbers, got ",
           offsets.is_array() ? std::to_string(offsets.size()) + " elements" : offsets.type_name());
    }
    const std::uint64_t begin = whole_number(offsets[0], where, "data_offsets");
    const std::uint64_t end = whole_number(offsets[1], where, "data_offsets");
    check(begin <= end && end <= data.size(), where,
          "data_offsets: expected offsets that rise and lie within the ", data.size(),
          " bytes of data, got [", begin, ", ", end, "]");
    if (end - begin != bytes) {
      fail(where, tensor.dtype, " of shape ", shape_text(tensor.shape), ": expected ", bytes,
           " bytes, got ", end - begin);
    }
    tensor.bytes = data.subspan(begin, end - begin);
    return tensor;
  }

  static std::uint64_t whole_number(const Json& value, const Where& where, const char* field) {
    if (!value.is_number_unsigned()) {
      fail(where, field, ": expected a whole number from 0 on, got ", value.dump());
    }
    return value.get<std::uint64_t>();
  }

  // Tensor after tensor, every byte of the data belongs to exactly one. Sorts tensors_ by that
  // order.
  void check_coverage(std::span<const std::byte> data) {
    const auto range = [](const auto& entry) {
      const std::span<const std::byte> bytes = entry.second.bytes;
      return std::pair(bytes.data(), bytes.data() + bytes.size());
    };
    std::stable_sort(tensors_.begin(), tensors_.end(),
                     [&](const auto& a, const auto& b) { return range(a) < range(b); });
    const std::byte* expected = data.data();
    for (const auto& entry : tensors_) {
      const auto [begin, end] = range(entry);
      if (begin != expected) {
        fail(name_, ": ", in_quotes(entry.first), ": expected data from byte ",
             expected - data.data(), " on, got ", begin - data.data(),
             begin < expected ? " (tensors overlap)" : " (bytes of no tensor before it)");
      }
      expected = end;
    }
    check(expected == data.data() + data.size(), name_, ": expected ", expected - data.data(),
          " bytes of data, got ", data.size());
  }

  std::span<const std::byte> contents_;
  const std::string& name_;
  std::vector<std::pair<std::string, StoredTensor>> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace detail

/// The tensors of a file in memory, in the order of their data. Nothing is copied: `contents` must
/// stay as long as the TensorFile or a copy of it. `name` stands for the file in error texts.
/// Throws recur::Error.
inline TensorFile parse_safetensors(std::span<const std::byte> contents, std::string name) {
  TensorFile file(std::move(name));
  detail::SafetensorsParser(contents, file.name()).add_to(file);
  return file;
}

/// The same, with the memory handed over.
inline TensorFile parse_safetensors(std::vector<std::byte> contents, std::string name) {
  const auto memory = std::make_shared<const std::vector<std::byte>>(std::move(contents));
  TensorFile file = parse_safetensors(std::span(*memory), std::move(name));
  file.keep(memory);
  return file;
}

/// The tensors of a file, in the order of their data. The file is mapped into memory where the
/// system can do that (see MappedFile), so that only what is read of it takes memory.
///
///     const recur::TensorFile file = recur::load_safetensors("model.safetensors");
///     recur::RowMatrix<float> w = file.matrix<float>("lstm.weight_ih_l0");
///
/// Throws recur::Error.
inline TensorFile load_safetensors(const std::filesystem::path& path) {
  const auto memory = std::make_shared<const MappedFile>(path);
  TensorFile file = parse_safetensors(memory->bytes(), memory->name());
  file.keep(memory);
  return file;
}

}  // namespace recur::inline RECUR_ABI
