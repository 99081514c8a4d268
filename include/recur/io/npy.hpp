// SPDX-License-Identifier: MIT
//
// NumPy's files, read (npy_writer.hpp writes them). An array (.npy) is
//
//   \x93NUMPY           6 bytes
//   version             2 bytes: 1.0, 2.0 or 3.0
//   N                   length of the header: 2 bytes in version 1, else 4
//   N bytes             {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, spaces,
//   newline the rest            the elements
//
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.) A file of several
// (.npz) is a zip archive with <name>.npy for each.
#pragma once

#include <algorithm>  // std::reverse
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/mapped_file.hpp"
#include "recur/io/strided.hpp"
#include "recur/io/tensor_file.hpp"
#include "recur/io/zip.hpp"

namespace recur::inline RECUR_ABI {

namespace detail {

inline constexpr std::string_view npy_start = "\x93NUMPY";

/// What the header of a .npy file says: a Python dict of these three keys, read by hand, since
/// nothing else may stand there.
class NpyHeader {
 public:
  /// `where` begins the texts of errors.
  NpyHeader(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {
    parse();
  }

  std::string dtype;
  std::size_t element = 0;  ///< bytes of one
  std::size_t swapped = 0;  ///< bytes of the numbers whose order is to be reversed; 0: of none
  bool fortran_order = false;
  std::vector<Index> shape;

 private:
  static constexpr std::size_t max_dimensions = 64;  // NumPy's own limit

  template <class... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail(where_, ": byte ", at_, " of the header: ", parts...);
  }

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') {
      ++at_;
    }
  }
  bool accept(std::string_view expected) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(expected)) {
      return false;
    }
    at_ += expected.size();
    return true;
  }
  void expect(std::string_view expected) {
    if (!accept(expected)) {
      fail_here("expected ", expected, ", got ", in_quotes(text_.substr(at_, 20)));
    }
  }
  std::string_view quoted() {
    const char quote = accept("\"") ? '"' : '\'';
    if (quote == '\'') {
      expect("'");
    }
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) {
      fail_here("expected the end of a text in quotes");
    }
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return inside;
  }

  void parse() {
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    expect("{");
    while (!accept("}")) {
      const std::string_view key = quoted();
      bool* const has = key == "descr"           ? &has_descr
                        : key == "fortran_order" ? &has_order
                        : key == "shape"         ? &has_shape
                                                 : nullptr;
      if (has == nullptr || *has) {
        fail_here("expected the keys 'descr', 'fortran_order' and 'shape' once each, got ",
                  in_quotes(key));
      }
      *has = true;
      expect(":");
      if (has == &has_descr) {
        if (accept("[")) {
          fail_here("expected numbers, got an array of records");
        }
        read_descr(quoted());
      } else if (has == &has_order) {
        fortran_order = accept("True");
        if (!fortran_order) {
          expect("False");
        }
      } else {
        read_shape();
      }
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    if (!has_descr || !has_order || !has_shape) {
      fail_here("expected the keys 'descr', 'fortran_order' and 'shape'");
    }
    skip_spaces();
    if (text_.substr(at_) != "\n") {
      fail_here("expected spaces and a newline after the dict");
    }
  }

  /// '<f4': order of bytes (| where there is none), kind, bytes.
  void read_descr(std::string_view descr) {
    if (descr == "|O" || descr == "O") {
      fail_here("an array of Python objects is a pickle, which could run any program: not read");
    }
    static constexpr struct {
      std::string_view descr;
      std::string_view dtype;
    } known[] = {{"f8", "F64"}, {"f4", "F32"},  {"f2", "F16"}, {"i8", "I64"}, {"i4", "I32"},
                 {"i2", "I16"}, {"i1", "I8"},   {"u8", "U64"}, {"u4", "U32"}, {"u2", "U16"},
                 {"u1", "U8"},  {"b1", "BOOL"}, {"c8", "C64"}};
    for (const auto& type : known) {
      if (!descr.empty() && descr.substr(1) == type.descr) {
        dtype = type.dtype;
        element = dtype_size(dtype);
        if (descr[0] == '>' && element > 1) {
          swapped = dtype == "C64" ? element / 2 : element;
        } else if (descr[0] != '<' && !(descr[0] == '|' && element == 1)) {
          break;
        }
        return;
      }
    }
    fail_here(
        "expected floating-point numbers, whole numbers or truth values, got the type ",
        in_quotes(descr),
        descr == "|V2" || descr == "<V2" ? " (bfloat16? save array.astype(numpy.float32))" : "");
  }

  void read_shape() {
    expect("(");
    while (!accept(")")) {
      skip_spaces();
      const std::size_t begin = at_;
      std::uint64_t size = 0;
      constexpr std::uint64_t largest = std::numeric_limits<Index>::max();
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
        if (size > (largest - digit) / 10) {
          fail_here("a size overflows");
        }
        size = size * 10 + digit;
      }
      if (at_ == begin || shape.size() == max_dimensions) {
        fail_here("expected at most ", max_dimensions, " whole numbers from 0 on, got ",
                  in_quotes(text_.substr(begin, 20)));
      }
      shape.push_back(static_cast<Index>(size));
      accept("L");  // Python 2
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
  }

  std::string_view text_;
  std::string where_;
  std::size_t at_ = 0;
};

/// Adds the array of a .npy file to `result`, which must outlive neither `bytes` nor what it keeps.
inline void add_npy(TensorFile& result, const std::string& name, std::span<const std::byte> bytes,
                    const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(text.starts_with(npy_start) && text.size() >= 8, where,
        ": expected an array of NumPy, got ", text.size(), " bytes that do not begin as one");
  const int version = text[6];
  check(version >= 1 && version <= 3 && text[7] == 0, where,
        ": expected version 1.0, 2.0 or 3.0, got ", version, ".", int{text[7]});
  std::uint32_t length = 0;
  const std::size_t prefix = version == 1 ? 10 : 12;
  check(text.size() >= prefix, where, ": expected the length of the header, got the end");
  std::memcpy(&length, bytes.data() + 8, prefix - 8);
  check(length <= text.size() - prefix, where, ": expected a header of ", length, " bytes, got ",
        text.size() - prefix, " (is the file complete?)");

  const NpyHeader header(text.substr(prefix, length), where);
  const auto data = bytes.subspan(prefix + length);
  const auto expected = byte_count(header.shape, header.element);
  check(expected.has_value(), where, ": shape ", shape_text(header.shape),
        ": the number of bytes overflows");
  check(*expected == data.size(), where, ": ", header.dtype, " of shape ", shape_text(header.shape),
        ": expected ", *expected, " bytes, got ", data.size());
  StoredTensor tensor{header.dtype, header.shape, data};
  const bool transposed = header.fortran_order && header.shape.size() > 1;
  if (!data.empty() && (transposed || header.swapped > 0)) {
    std::vector<std::byte> copy;
    if (transposed) {
      std::vector<Index> strides{1};
      for (std::size_t k = 0; k + 1 < header.shape.size(); ++k) {
        strides.push_back(strides.back() * header.shape[k]);
      }
      copy = gather(data, header.shape, strides, header.element, data.size());
    } else {
      copy.assign(data.begin(), data.end());
    }
    for (std::size_t k = 0; header.swapped > 0 && k < copy.size(); k += header.swapped) {
      const auto first = copy.begin() + static_cast<std::ptrdiff_t>(k);
      std::reverse(first, first + static_cast<std::ptrdiff_t>(header.swapped));
    }
    const auto kept = std::make_shared<const std::vector<std::byte>>(std::move(copy));
    result.keep(kept);
    tensor.bytes = *kept;
  }
  result.add(name, std::move(tensor));
}

}  // namespace detail

/// Reads the bytes of a .npy file: see load_npy(). `name` stands for the file in error texts; the
/// bytes must outlive the result.
inline TensorFile parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  TensorFile result(name);
  detail::add_npy(result, "arr_0", bytes, name);
  return result;
}

/// Reads the bytes of a .npz file: see load_npz().
inline TensorFile parse_npz(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::string_view ending = ".npy";
  const ZipFile zip(bytes, name);
  TensorFile result(name);
  for (const ZipEntry& entry : zip.entries()) {
    const std::string where = name + ": " + detail::in_quotes(entry.name);
    check(entry.name.ends_with(ending), where, ": expected arrays only, <name>.npy");
    const ZipContents contents = zip.contents(entry);
    result.keep(contents.memory);
    detail::add_npy(result, std::string(entry.name.substr(0, entry.name.size() - ending.size())),
                    contents.bytes, where);
  }
  return result;
}

/// Reads a file of numpy.save: one tensor, called "arr_0" (as numpy.savez calls an array that is
/// given no name).
///
///     recur::RowMatrix<float> x = recur::load_npy("x.npy").matrix<float>("arr_0");
///
/// All types of NumPy that dtype_size() knows, of either order of bytes; arrays in Fortran order
/// are transposed. Throws recur::Error that names the file: where anything does not fit the format,
/// and for arrays of Python objects, texts, dates and records.
inline TensorFile load_npy(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  TensorFile result = parse_npy(file->bytes(), file->name());
  result.keep(file);
  return result;
}

/// Reads a file of numpy.savez or, where the program was built with zlib, numpy.savez_compressed:
/// tensors by the names they were saved under ("arr_0", "arr_1", … where they had none).
///
///     numpy.savez("model.npz", **{name: value.numpy() for name, value in
///     model.state_dict().items()})
///
///     recur::load_state_dict(model, recur::load_npz("model.npz"));
///
/// Types and errors as of load_npy().
inline TensorFile load_npz(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  TensorFile result = parse_npz(file->bytes(), file->name());
  result.keep(file);
  return result;
}

}  // namespace recur::inline RECUR_ABI
