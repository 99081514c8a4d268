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

#include <algorithm>  // std::sort, std::stable_sort
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy, std::strerror
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/core/tensor.hpp"
#include "recur/io/half.hpp"

namespace recur {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian: so must the machine be");

/// One tensor as it stands in a file; `bytes` belongs to the SafetensorsFile and may be unaligned.
struct SafetensorsTensor {
  std::string dtype;  ///< `F64`, `F32`, `F16`, `BF16`, `I64`, …, `U8`, `BOOL`
  std::vector<Index> shape;
  std::span<const std::byte> bytes;

  /// Number of elements.
  Index size() const {
    Index count = 1;
    for (const Index length : shape) {
      count *= length;
    }
    return count;
  }
};

namespace detail {

/// The reference implementation refuses longer headers, too.
inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

struct SafetensorsDtype {
  std::string_view name;
  std::uint64_t bytes;
};
inline constexpr std::array<SafetensorsDtype, 16> safetensors_dtypes{{
    {"F64", 8},
    {"F32", 4},
    {"F16", 2},
    {"BF16", 2},
    {"I64", 8},
    {"I32", 4},
    {"I16", 2},
    {"I8", 1},
    {"U64", 8},
    {"U32", 4},
    {"U16", 2},
    {"U8", 1},
    {"BOOL", 1},
    {"C64", 8},
    {"F8_E4M3", 1},
    {"F8_E5M2", 1},
}};

/// Bytes of one element; 0 for a dtype that is not known.
inline std::uint64_t safetensors_dtype_size(std::string_view dtype) {
  for (const auto& known : safetensors_dtypes) {
    if (known.name == dtype) {
      return known.bytes;
    }
  }
  return 0;
}

/// True for the dtypes that can be read as numbers of the library.
inline bool is_floating_dtype(std::string_view dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

/// A shape as PyTorch prints it.
inline std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t k = 0; k < shape.size(); ++k) {
    text += (k > 0 ? ", " : "") + std::to_string(shape[k]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// A name out of a file, in quotes; control characters and what is not UTF-8 made readable.
inline std::string in_quotes(std::string_view name) {
  return nlohmann::json(name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// to[k] = convert(element k of type Stored), for elements that need not be aligned.
template <class Stored, class Scalar, class Convert>
void copy_elements(std::span<const std::byte> from, Scalar* to, Convert convert) {
  const std::size_t count = from.size() / sizeof(Stored);
  for (std::size_t k = 0; k < count; ++k) {
    Stored stored;
    std::memcpy(&stored, from.data() + k * sizeof(Stored), sizeof(Stored));
    to[k] = static_cast<Scalar>(convert(stored));
  }
}

/// Elements of a floating dtype into `to`, rounded to Scalar where it is narrower.
template <class Scalar>
void read_elements(const SafetensorsTensor& tensor, Scalar* to) {
  if (tensor.dtype == "F64") {
    copy_elements<double>(tensor.bytes, to, [](double v) { return v; });
  } else if (tensor.dtype == "F32") {
    copy_elements<float>(tensor.bytes, to, [](float v) { return v; });
  } else if (tensor.dtype == "F16") {
    copy_elements<std::uint16_t>(tensor.bytes, to, half_to_float);
  } else {
    copy_elements<std::uint16_t>(tensor.bytes, to, bfloat_to_float);
  }
}

}  // namespace detail

/// A file in memory: its tensors by name, and its metadata.
///
///     const auto file = recur::SafetensorsFile::load("model.safetensors");
///     for (const std::string& name : file.names()) { … file.tensor(name).shape … }
///     recur::RowMatrix<float> w = file.matrix<float>("lstm.weight_ih_l0");
///
/// All errors are recur::Error. A const object can be shared among threads.
class SafetensorsFile {
 public:
  /// Reads a whole file.
  static SafetensorsFile load(const std::filesystem::path& path) {
    const std::string name = path.string();
    std::error_code error;
    check(!std::filesystem::is_directory(path, error), name, ": expected a file, got a directory");
    errno = 0;
    std::ifstream stream(path, std::ios::binary | std::ios::ate);
    check(stream.is_open(), name, ": cannot be opened: ", std::strerror(errno));
    const std::streamoff size = stream.tellg();
    check(size >= 0, name, ": cannot be read: not a regular file");
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    stream.seekg(0);
    stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    check(stream.gcount() == size, name, ": reading broke off: expected ", size, " bytes, got ",
          stream.gcount());
    return parse(std::move(bytes), name);
  }

  /// Takes the contents of a file; `name` stands for it in error texts.
  static SafetensorsFile parse(std::vector<std::byte> bytes, std::string name) {
    SafetensorsFile file;
    file.name_ = std::move(name);
    file.bytes_ = std::move(bytes);
    file.parse_header();
    return file;
  }

  // The tensors refer to bytes_, whose memory stays where it is when the vector moves.
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;
  ~SafetensorsFile() = default;

  /// The path, or the name given to parse().
  const std::string& name() const { return name_; }
  /// Names of all tensors, in the order of their data.
  const std::vector<std::string>& names() const { return names_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool contains(const std::string& tensor_name) const { return tensors_.count(tensor_name) > 0; }

  const SafetensorsTensor& tensor(const std::string& tensor_name) const {
    const auto found = tensors_.find(tensor_name);
    check(found != tensors_.end(), name_, ": no tensor ", detail::in_quotes(tensor_name),
          " among its ", tensors_.size());
    return found->second;
  }

  /// A tensor of a floating dtype, all elements in row-major order, converted to Scalar.
  template <class Scalar>
  std::vector<Scalar> values(const std::string& tensor_name) const {
    const SafetensorsTensor& t = floating(tensor_name);
    std::vector<Scalar> result(static_cast<std::size_t>(t.size()));
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of one dimension.
  template <class Scalar>
  Vector<Scalar> vector(const std::string& tensor_name) const {
    const SafetensorsTensor& t = floating(tensor_name, 1);
    Vector<Scalar> result(t.shape[0]);
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of two dimensions.
  template <class Scalar>
  RowMatrix<Scalar> matrix(const std::string& tensor_name) const {
    const SafetensorsTensor& t = floating(tensor_name, 2);
    RowMatrix<Scalar> result(t.shape[0], t.shape[1]);
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of three dimensions.
  template <class Scalar>
  Tensor3<Scalar> tensor3(const std::string& tensor_name) const {
    const SafetensorsTensor& t = floating(tensor_name, 3);
    Tensor3<Scalar> result(t.shape[0], t.shape[1], t.shape[2]);
    detail::read_elements(t, result.data());
    return result;
  }

 private:
  using Json = nlohmann::json;

  SafetensorsFile() = default;

  const SafetensorsTensor& floating(const std::string& tensor_name) const {
    const SafetensorsTensor& t = tensor(tensor_name);
    check(detail::is_floating_dtype(t.dtype), name_, ": ", detail::in_quotes(tensor_name),
          ": expected F64, F32, F16 or BF16, got ", t.dtype);
    return t;
  }
  const SafetensorsTensor& floating(const std::string& tensor_name, std::size_t dimensions) const {
    const SafetensorsTensor& t = floating(tensor_name);
    check(t.shape.size() == dimensions, name_, ": ", detail::in_quotes(tensor_name), ": expected ",
          dimensions, " dimensions, got shape ", detail::shape_text(t.shape));
    return t;
  }

  void parse_header() {
    constexpr std::uint64_t prefix = sizeof(std::uint64_t);
    const std::uint64_t size = bytes_.size();
    check(size >= prefix, name_, ": expected the header's length in the first 8 bytes, got ", size,
          " bytes in all");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), prefix);
    check(length <= detail::max_safetensors_header, name_, ": expected a header of at most ",
          detail::max_safetensors_header, " bytes, got a length of ", length,
          " (is this a safetensors file?)");
    check(length <= size - prefix, name_, ": expected a header of ", length, " bytes, got ",
          size - prefix, " (is the file complete?)");
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + prefix, length);
    check(text.starts_with('{'), name_, ": expected a header that begins with {");
    // The JSON parser takes a zero byte for the end of the text, whatever follows.
    check(text.find('\0') == std::string_view::npos, name_, ": zero byte in the header");

    const std::span<const std::byte> data = std::span(bytes_).subspan(prefix + length);
    const Json header = parse_json(text);
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__") {
        read_metadata(value);
      } else {
        tensors_.emplace(key, read_entry(key, value, data));
        names_.push_back(key);
      }
    }
    check_coverage(data);
  }

  Json parse_json(std::string_view text) const {
    // Objects nest two deep; the set of keys seen finds those that come twice, which JSON libraries
    // would drop in silence.
    constexpr int max_depth = 3;
    std::vector<std::set<std::string>> keys;
    const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
      check(depth <= max_depth, name_, ": the header nests deeper than the format allows");
      if (event == Json::parse_event_t::object_start) {
        keys.emplace_back();
      } else if (event == Json::parse_event_t::object_end) {
        keys.pop_back();
      } else if (event == Json::parse_event_t::key) {
        const std::string key = parsed.get<std::string>();
        check(keys.back().insert(key).second, name_, ": key ", detail::in_quotes(key),
              " stands twice in the header");
      }
      return true;
    };
    try {
      return Json::parse(text.begin(), text.end(), callback);
    } catch (const Json::exception& error) {
      fail(name_, ": the header is not valid JSON: ", error.what());
    }
  }

  void read_metadata(const Json& value) {
    check(value.is_object(), name_, ": __metadata__: expected an object, got ", value.type_name());
    for (const auto& [key, text] : value.items()) {
      check(text.is_string(), name_, ": __metadata__: expected a string for ",
            detail::in_quotes(key), ", got ", text.type_name());
      metadata_.emplace(key, text.get<std::string>());
    }
  }

  SafetensorsTensor read_entry(const std::string& key, const Json& entry,
                               std::span<const std::byte> data) const {
    const std::string where = name_ + ": " + detail::in_quotes(key) + ": ";
    check(entry.is_object(), where, "expected an object, got ", entry.type_name());
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      check(entry.contains(field), where, "expected a field ", field, ", got none");
    }
    check(entry.size() == 3, where, "expected the fields dtype, shape and data_offsets, got ",
          entry.size(), " fields");

    SafetensorsTensor tensor;
    check(entry["dtype"].is_string(), where, "dtype: expected a string, got ",
          entry["dtype"].type_name());
    tensor.dtype = entry["dtype"].get<std::string>();
    std::uint64_t bytes = detail::safetensors_dtype_size(tensor.dtype);
    check(bytes > 0, where, "unknown dtype ", detail::in_quotes(tensor.dtype));

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
    check(offsets.is_array() && offsets.size() == 2, where,
          "data_offsets: expected an array of 2 numbers, got ",
          offsets.is_array() ? std::to_string(offsets.size()) + " elements" : offsets.type_name());
    const std::uint64_t begin = whole_number(offsets[0], where, "data_offsets");
    const std::uint64_t end = whole_number(offsets[1], where, "data_offsets");
    check(begin <= end && end <= data.size(), where,
          "data_offsets: expected offsets that rise and lie within the ", data.size(),
          " bytes of data, got [", begin, ", ", end, "]");
    check(end - begin == bytes, where, tensor.dtype, " of shape ", detail::shape_text(tensor.shape),
          ": expected ", bytes, " bytes, got ", end - begin);
    tensor.bytes = data.subspan(begin, end - begin);
    return tensor;
  }

  static std::uint64_t whole_number(const Json& value, const std::string& where,
                                    const char* field) {
    check(value.is_number_unsigned(), where, field, ": expected a whole number from 0 on, got ",
          value.dump());
    return value.get<std::uint64_t>();
  }

  // Tensor after tensor, every byte of the data belongs to exactly one. Sorts names_ by that order.
  void check_coverage(std::span<const std::byte> data) {
    const auto begin_of = [&](const std::string& key) {
      return tensors_.at(key).bytes.data() - data.data();
    };
    const auto end_of = [&](const std::string& key) {
      return begin_of(key) + static_cast<std::ptrdiff_t>(tensors_.at(key).bytes.size());
    };
    std::stable_sort(names_.begin(), names_.end(), [&](const std::string& a, const std::string& b) {
      return std::pair(begin_of(a), end_of(a)) < std::pair(begin_of(b), end_of(b));
    });
    std::ptrdiff_t end = 0;
    for (const std::string& key : names_) {
      check(begin_of(key) == end, name_, ": ", detail::in_quotes(key), ": expected data from byte ",
            end, " on, got ", begin_of(key),
            begin_of(key) < end ? " (tensors overlap)" : " (bytes of no tensor before it)");
      end = end_of(key);
    }
    check(end == static_cast<std::ptrdiff_t>(data.size()), name_, ": expected ", end,
          " bytes of data, got ", data.size());
  }

  std::string name_;
  std::vector<std::byte> bytes_;
  std::vector<std::string> names_;
  std::map<std::string, SafetensorsTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace recur
