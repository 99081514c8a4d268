// SPDX-License-Identifier: MIT
//
// What every reader of files gives, whatever their format: tensors by name, and metadata.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/core/tensor.hpp"
#include "recur/io/dtype.hpp"

namespace recur::inline RECUR_ABI {

/// One tensor as it stands in a file: row-major, contiguous. `bytes` belongs to the TensorFile and
/// may be unaligned.
struct StoredTensor {
  std::string dtype;  ///< `F64`, `F32`, `F16`, `BF16`, `I64`, …: see dtype_size()
  std::vector<Index> shape;
  std::span<const std::byte> bytes;

  /// Number of elements.
  Index size() const {
    Index count = 1;
    for (const Index length : shape) {
      if (length == 0) {
        return 0;
      }
      count *= length;
    }
    return count;
  }
};

namespace detail {

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

/// All elements of a tensor of floating dtype into `to`, rounded to Scalar where it is narrower.
template <class Scalar>
void read_elements(const StoredTensor& tensor, Scalar* to) {
  decode_elements(tensor.dtype, tensor.bytes, to);
}

}  // namespace detail

/// The contents of a file: its tensors by name, and its metadata.
///
///     const recur::TensorFile file = recur::load_safetensors("model.safetensors");
///     for (const std::string& name : file.names()) { … file.tensor(name).shape … }
///     recur::RowMatrix<float> w = file.matrix<float>("lstm.weight_ih_l0");
///
/// All errors are recur::Error. A const object can be shared among threads. Copies share the memory
/// that the tensors stand in.
class TensorFile {
 public:
  // ---- For readers of files ----

  /// Empty. `name` stands for the file in error texts.
  explicit TensorFile(std::string name) : name_(std::move(name)) {}

  /// Keeps alive what tensors refer to.
  void keep(std::shared_ptr<const void> memory) { memory_.push_back(std::move(memory)); }

  /// Adds a tensor. Error when there is one of that name, and unless dtype, shape and number of
  /// bytes fit each other.
  void add(const std::string& tensor_name, StoredTensor tensor) {
    const std::size_t element = dtype_size(tensor.dtype);
    if (element == 0) {
      fail(where(tensor_name), "unknown dtype ", detail::in_quotes(tensor.dtype));
    }
    const auto bytes = detail::byte_count(tensor.shape, element);
    if (!bytes.has_value()) {
      fail(where(tensor_name), "shape ", detail::shape_text(tensor.shape),
           ": the number of bytes overflows");
    }
    if (*bytes != tensor.bytes.size()) {
      fail(where(tensor_name), tensor.dtype, " of shape ", detail::shape_text(tensor.shape),
           ": expected ", *bytes, " bytes, got ", tensor.bytes.size());
    }
    if (!tensors_.emplace(tensor_name, std::move(tensor)).second) {
      fail(where(tensor_name), "stands twice in the file");
    }
    names_.push_back(tensor_name);
  }

  /// Adds an entry of the metadata. Error when there is one of that key.
  void add_metadata(const std::string& key, std::string value) {
    check(metadata_.emplace(key, std::move(value)).second, name_, ": metadata ",
          detail::in_quotes(key), " stands twice in the file");
  }

  // ---- For all ----

  /// The path, or the name given to the reader.
  const std::string& name() const { return name_; }
  /// Names of all tensors, in the order of the file.
  const std::vector<std::string>& names() const { return names_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool contains(const std::string& tensor_name) const { return tensors_.count(tensor_name) > 0; }

  const StoredTensor& tensor(const std::string& tensor_name) const {
    const auto found = tensors_.find(tensor_name);
    check(found != tensors_.end(), name_, ": no tensor ", detail::in_quotes(tensor_name),
          " among its ", tensors_.size());
    return found->second;
  }

  /// A tensor of a floating dtype, all elements in row-major order, converted to Scalar.
  template <class Scalar>
  std::vector<Scalar> values(const std::string& tensor_name) const {
    const StoredTensor& t = floating(tensor_name);
    std::vector<Scalar> result(static_cast<std::size_t>(t.size()));
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of one dimension.
  template <class Scalar>
  Vector<Scalar> vector(const std::string& tensor_name) const {
    const StoredTensor& t = floating(tensor_name, 1);
    Vector<Scalar> result(t.shape[0]);
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of two dimensions.
  template <class Scalar>
  RowMatrix<Scalar> matrix(const std::string& tensor_name) const {
    const StoredTensor& t = floating(tensor_name, 2);
    RowMatrix<Scalar> result(t.shape[0], t.shape[1]);
    detail::read_elements(t, result.data());
    return result;
  }

  /// A tensor of three dimensions.
  template <class Scalar>
  Tensor3<Scalar> tensor3(const std::string& tensor_name) const {
    const StoredTensor& t = floating(tensor_name, 3);
    Tensor3<Scalar> result(t.shape[0], t.shape[1], t.shape[2]);
    detail::read_elements(t, result.data());
    return result;
  }

 private:
  // The start of an error text about one tensor.
  std::string where(const std::string& tensor_name) const {
    return name_ + ": " + detail::in_quotes(tensor_name) + ": ";
  }

  const StoredTensor& floating(const std::string& tensor_name) const {
    const StoredTensor& t = tensor(tensor_name);
    check(is_floating_dtype(t.dtype), where(tensor_name), "expected F64, F32, F16 or BF16, got ",
          t.dtype);
    return t;
  }
  const StoredTensor& floating(const std::string& tensor_name, std::size_t dimensions) const {
    const StoredTensor& t = floating(tensor_name);
    check(t.shape.size() == dimensions, where(tensor_name), "expected ", dimensions,
          " dimensions, got shape ", detail::shape_text(t.shape));
    return t;
  }

  std::string name_;
  std::vector<std::shared_ptr<const void>> memory_;
  std::vector<std::string> names_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace recur::inline RECUR_ABI
