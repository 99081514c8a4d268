// SPDX-License-Identifier: MIT
//
// The parameters of a model to a safetensors file and back, under PyTorch's names and with its
// shapes: what torch.save(model.state_dict()) and load_state_dict(strict=True) do.
//
// In Python:   safetensors.torch.save_file(model.state_dict(), "model.safetensors")
//              model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
#pragma once

#include <map>
#include <string>

#include "recur/core/parameters.hpp"
#include "recur/io/safetensors.hpp"
#include "recur/io/safetensors_writer.hpp"

namespace recur {

namespace detail {

/// PyTorch's shape of a parameter: a vector has one dimension, a matrix two, however long they are.
template <class Derived>
std::vector<Index> parameter_shape(const Eigen::PlainObjectBase<Derived>& array) {
  if constexpr (Derived::ColsAtCompileTime == 1) {
    return {array.rows()};
  } else {
    return {array.rows(), array.cols()};
  }
}

/// What of a file does not fit a model.
class StateDictFaults {
 public:
  void missing(const std::string& name, const std::vector<Index>& shape) {
    missing_ += "\n    " + in_quotes(name) + " " + shape_text(shape);
  }
  void unexpected(const std::string& name, const StoredTensor& got) {
    unexpected_ += "\n    " + in_quotes(name) + " " + shape_text(got.shape);
  }
  void size_mismatch(const std::string& name, const std::vector<Index>& shape,
                     const StoredTensor& got) {
    mismatches_ += "\n  size mismatch for " + in_quotes(name) + ": expected " + shape_text(shape) +
                   ", got " + shape_text(got.shape);
  }
  void type_mismatch(const std::string& name, const StoredTensor& got) {
    mismatches_ += "\n  type mismatch for " + in_quotes(name) +
                   ": expected F64, F32, F16 or BF16, got " + got.dtype;
  }

  /// Throws one Error that lists all of them, if there is any.
  void check_none(const std::string& file) const {
    check(missing_.empty() && unexpected_.empty() && mismatches_.empty(),
          "Error(s) in loading state_dict from ", file, ":",
          missing_.empty() ? "" : "\n  Missing key(s) in state_dict:", missing_,
          unexpected_.empty() ? "" : "\n  Unexpected key(s) in state_dict:", unexpected_,
          mismatches_);
  }

 private:
  std::string missing_;
  std::string unexpected_;
  std::string mismatches_;
};

}  // namespace detail

/// Writes all parameters of a module or composite. `prefix` goes before the names: `lstm` or
/// `lstm.`; `metadata`: free text by name, kept in the file beside them.
///
///     recur::save_state_dict(lstm, "model.safetensors");
///
/// The file is written whole or not at all. Throws recur::Error.
template <class Model>
void save_state_dict(const Model& model, const std::filesystem::path& path,
                     const std::string& prefix = "",
                     const std::map<std::string, std::string>& metadata = {}) {
  SafetensorsWriter writer;
  writer.add_metadata("format", "pt");
  for (const auto& [key, value] : metadata) {
    writer.add_metadata(key, value);
  }
  for_each_parameter(
      model,
      [&](const std::string& name, const auto& array) {
        writer.add(name, detail::parameter_shape(array), array.data());
      },
      prefix);
  writer.save(path);
}

/// Overwrites all parameters of a module or composite from a file.
///
///     recur::load_state_dict(lstm, "model.safetensors", "lstm.");
///
/// Strict: names and shapes must be the model's, one for one; with a `prefix`, only the names below
/// it count. F64, F32, F16 and BF16 are converted to the model's scalar. Throws one recur::Error
/// that lists everything missing, unexpected, misshaped or of another type; the model is then as
/// before.
template <class Model>
void load_state_dict(Model& model, const TensorFile& file, const std::string& prefix = "") {
  detail::StateDictFaults faults;
  std::set<std::string> expected;
  for_each_parameter(
      model,
      [&](const std::string& name, const auto& array) {
        expected.insert(name);
        const std::vector<Index> shape = detail::parameter_shape(array);
        if (!file.contains(name)) {
          faults.missing(name, shape);
          return;
        }
        const StoredTensor& got = file.tensor(name);
        if (got.shape != shape) {
          faults.size_mismatch(name, shape, got);
        }
        if (!is_floating_dtype(got.dtype)) {
          faults.type_mismatch(name, got);
        }
      },
      prefix);
  std::string start = join_names(prefix, "x");  // names below the prefix begin with it and a point
  start.pop_back();
  for (const std::string& name : file.names()) {
    if (name.starts_with(start) && expected.count(name) == 0) {
      faults.unexpected(name, file.tensor(name));
    }
  }
  faults.check_none(file.name());

  update_parameters(
      model,
      [&](const std::string& name, auto& array) {
        detail::read_elements(file.tensor(name), array.data());
      },
      prefix);
}

template <class Model>
void load_state_dict(Model& model, const std::filesystem::path& path,
                     const std::string& prefix = "") {
  load_state_dict(model, load_safetensors(path), prefix);
}

}  // namespace recur
