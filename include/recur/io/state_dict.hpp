// SPDX-License-Identifier: MIT
//
// The parameters of a model to a safetensors file and back, under PyTorch's names and with its
// shapes: what torch.save(model.state_dict()) and load_state_dict() do.
//
// In Python:   safetensors.torch.save_file(model.state_dict(), "model.safetensors")
//              model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
#pragma once

#include <concepts>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/io/load_tensors.hpp"
#include "recur/io/safetensors_writer.hpp"

namespace recur::inline RECUR_ABI {

/// How save_state_dict writes.
struct SaveOptions {
  /// F64, F32, F16 or BF16: the parameters rounded to the nearest; empty: as they are.
  std::string dtype = {};
  /// Goes before the names: `lstm` or `lstm.`.
  std::string prefix = {};
  /// Free text by name, kept in the file beside them.
  std::map<std::string, std::string> metadata = {};
};

/// How load_state_dict reads.
struct LoadOptions {
  /// Only the names below it count: `lstm` or `lstm.`.
  std::string prefix = {};
  /// The name in the file, below the prefix, of the parameter that has this name in the model.
  /// None: the same. An empty one: the file does not have it.
  std::function<std::string(const std::string& model_name)> rename = {};
  /// False: missing and unexpected names are no errors, but reported.
  bool strict = true;
};

/// What load_state_dict(strict = false) passed over.
struct LoadReport {
  /// Parameters that the file does not have, by their names in the model: they are as before.
  std::vector<std::string> missing_keys;
  /// Tensors that no parameter asked for, by their names in the file (those below the prefix only).
  std::vector<std::string> unexpected_keys;
};

namespace detail {

/// PyTorch's shape of a parameter: a vector has one dimension, a matrix two, however long they are.
template <class Derived>
std::vector<Index> parameter_shape(const Eigen::DenseBase<Derived>& array) {
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

/// The loading of a state_dict in two steps: what has been checked can be written without an error.
template <class Model>
class StateDictLoad {
 public:
  /// Throws recur::Error where the file does not fit; writes nothing. All must outlive the object.
  StateDictLoad(const Model& model, const TensorFile& file, const LoadOptions& options) {
    StateDictFaults faults;
    std::set<std::string> asked_for;
    for_each_parameter(model, [&](const std::string& model_name, const auto& array) {
      const std::string name =
          join_names(options.prefix, options.rename ? options.rename(model_name) : model_name);
      asked_for.insert(name);
      const std::vector<Index> shape = parameter_shape(array);
      if (!file.contains(name)) {
        report_.missing_keys.push_back(model_name);
        if (options.strict) {
          faults.missing(name, shape);
        }
        return;
      }
      const StoredTensor& got = file.tensor(name);
      if (got.shape != shape) {
        faults.size_mismatch(name, shape, got);
      }
      if (!is_floating_dtype(got.dtype)) {
        faults.type_mismatch(name, got);
      }
      sources_.emplace(model_name, &got);
    });
    std::string start = join_names(options.prefix, "x");  // names below it begin so, with a point
    start.pop_back();
    const std::string self_test = join_names(options.prefix, "self_test.");  // of self_test.hpp
    for (const std::string& name : file.names()) {
      if (name.starts_with(start) && !name.starts_with(self_test) && asked_for.count(name) == 0) {
        report_.unexpected_keys.push_back(name);
        if (options.strict) {
          faults.unexpected(name, file.tensor(name));
        }
      }
    }
    faults.check_none(file.name());
  }

  /// Overwrites the parameters that the file has.
  LoadReport write(Model& model) const {
    update_parameters(model, [&](const std::string& model_name, auto& array) {
      const auto source = sources_.find(model_name);
      if (source != sources_.end()) {
        read_elements(*source->second, array.data());
      }
    });
    return report_;
  }

 private:
  std::map<std::string, const StoredTensor*> sources_;  // by the names of the model
  LoadReport report_;
};

}  // namespace detail

/// Adds all parameters of a module or composite to a file that is being put together: several
/// models in one file, each below its prefix. The parameters are not copied: the model must stay as
/// it is until the file is written.
///
///     recur::SafetensorsWriter writer;
///     recur::add_state_dict(writer, encoder, {.prefix = "encoder"});
///     recur::add_state_dict(writer, decoder, {.dtype = "F16", .prefix = "decoder"});
///     writer.save("both.safetensors");
template <class Model>
void add_state_dict(SafetensorsWriter& writer, const Model& model,
                    const SaveOptions& options = {}) {
  writer.add_metadata("format", "pt");
  for (const auto& [key, value] : options.metadata) {
    writer.add_metadata(key, value);
  }
  for_each_parameter(
      model,
      [&](const std::string& name, const auto& array) {
        writer.refer(name, detail::parameter_shape(array), array.data(), options.dtype);
      },
      options.prefix);
}

/// Writes all parameters of a module or composite.
///
///     recur::save_state_dict(lstm, "model.safetensors");
///     recur::save_state_dict(lstm, "half.safetensors", {.dtype = "F16", .prefix = "lstm"});
///
/// The file is written whole or not at all, and without a second copy of the parameters. Throws
/// recur::Error.
template <class Model>
void save_state_dict(const Model& model, const std::filesystem::path& path,
                     const SaveOptions& options = {}) {
  SafetensorsWriter writer;
  add_state_dict(writer, model, options);
  writer.save(path);
}

/// Overwrites the parameters of a module or composite from a file.
///
///     recur::load_state_dict(model, "model.safetensors");
///     recur::load_state_dict(lstm, "model.safetensors", "lstm.");      // a part of the file
///     auto report = recur::load_state_dict(                            // a file of other names
///         model, "backbone.safetensors",
///         {.rename = [](const std::string& name) { return "encoder.rnn." + name; },
///          .strict = false});
///
/// The file may be one of safetensors, torch.save or numpy.savez: see load_tensors(). Of a
/// checkpoint of torch.save, take a part: load_state_dict(lstm, load_torch("checkpoint.pt",
/// "model")), or give its name as prefix.
///
/// Strict (the default): names and shapes must be the model's, one for one; with a prefix, only the
/// names below it count. Not strict: what is missing stays as it was and what is unexpected is left
/// alone; both are reported. (What self_test.hpp adds to a file, `self_test.…`, is no parameter and
/// not counted.) Wrong shapes are errors all the same, as in PyTorch. F64, F32, F16 and
/// BF16 are converted to the model's scalar. Throws one recur::Error that lists everything missing,
/// unexpected, misshaped or of another type; the model is then as before.
template <class Model>
LoadReport load_state_dict(Model& model, const TensorFile& file, const LoadOptions& options = {}) {
  return detail::StateDictLoad<Model>(model, file, options).write(model);
}

template <class Model>
LoadReport load_state_dict(Model& model, const std::filesystem::path& path,
                           const LoadOptions& options = {}) {
  return load_state_dict(model, load_tensors(path), options);
}

/// The same, strict, of the names below a prefix (`lstm` or `lstm.`). File: a path or a TensorFile.
template <class Model, class File, std::convertible_to<std::string_view> Prefix>
LoadReport load_state_dict(Model& model, const File& file, const Prefix& prefix) {
  return load_state_dict(model, file, LoadOptions{.prefix = std::string(prefix)});
}

}  // namespace recur::inline RECUR_ABI
