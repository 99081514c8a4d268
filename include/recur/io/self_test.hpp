// SPDX-License-Identifier: MIT
//
// Weights that cannot be silently wrong: beside them, the file holds an example input and what the
// model made of it. Loading computes that anew and refuses the file unless it comes out the same.
//
//   self_test.input            the example, in the model's scalar (whole numbers: I64)
//   self_test.output, …        what the model gave, by the names in model_outputs.hpp
//   __metadata__: self_test    who computed it: `recur 1.0.0`, `PyTorch 2.1.0`
//
// all below the prefix, if there is one. examples/load_pytorch/export.py writes such files in
// PyTorch.
#pragma once

#include <algorithm>  // std::max
#include <charconv>   // std::to_chars
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/core/tensor.hpp"
#include "recur/io/model_outputs.hpp"
#include "recur/io/safetensors.hpp"
#include "recur/io/safetensors_writer.hpp"
#include "recur/io/state_dict.hpp"
#include "recur/version.hpp"

namespace recur::inline RECUR_ABI {

/// How load_with_check compares.
struct CheckOptions {
  /// Largest difference of an element, relative to the largest one of its output (absolute where
  /// that is zero). 0: by the coarser of the model's scalar and the type of the output in the file:
  /// F64 1e-10, F32 2e-5, F16 1e-2, BF16 5e-2. That is some ten times what rounding in another
  /// order makes; for very long sequences or chaotic models give more.
  double tolerance = 0;
  /// Prefix and names, as for load_state_dict.
  LoadOptions load = {};
};

/// The largest difference that load_with_check found.
struct CheckResult {
  double difference = 0;  ///< relative, as CheckOptions::tolerance
  double tolerance = 0;   ///< what was allowed there
  std::string output;     ///< the name of the output
};

namespace detail {

template <class Model>
struct ScalarOfImpl {
  using type = typename Model::Scalar;
};
template <Composite Model>
struct ScalarOfImpl<Model> {
  using First = std::tuple_element_t<0, decltype(Model::members(std::declval<Model&>()))>;
  using type =
      typename ScalarOfImpl<std::remove_cvref_t<decltype(std::declval<First>().model)>>::type;
};
/// The scalar of a module, or of a composite's first.
template <class Model>
using ScalarOf = typename ScalarOfImpl<Model>::type;

/// model.forward(input). Whole numbers are for Embedding only.
struct Forward {
  template <class Model, class Input>
  requires(!std::same_as<Input, RowMatrix<Index>> || requires { typename Model::IndexMatrix; }) auto
  operator()(const Model& model, const Input& input) const -> decltype(model.forward(input)) {
    return model.forward(input);
  }
};

/// The shortest text that gives the number back.
inline std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value);
  return {text, end.ptr};
}

/// [1, 0, 4] of element `flat` in a tensor.
inline std::string place_text(const std::vector<Index>& shape, Index flat) {
  std::string text;
  for (std::size_t k = shape.size(); k-- > 0;) {
    text = std::to_string(flat % shape[k]) + (text.empty() ? "" : ", ") + text;
    flat /= shape[k];
  }
  return "[" + text + "]";
}

/// What a file says about the model in it.
template <class Scalar>
class SelfTest {
 public:
  SelfTest(const TensorFile& file, const std::string& prefix)
      : file_(file), start_(join_names(prefix, "self_test.")) {
    check(file.contains(start_ + "input"), file.name(), ": no self-test: expected a tensor ",
          in_quotes(start_ + "input"), " (written by save_with_check or export.py)");
    const auto found = file.metadata().find(join_names(prefix, "self_test"));
    author_ = found == file.metadata().end() ? "the file" : found->second;
  }

  /// f(input), in the type that its shape and dtype ask for.
  auto with_input(auto&& f) const {
    const std::string name = start_ + "input";
    const StoredTensor& input = file_.tensor(name);
    const std::size_t dimensions = input.shape.size();
    if (is_floating_dtype(input.dtype)) {
      check(dimensions == 2 || dimensions == 3, where("input"),
            "expected 2 or 3 dimensions, got shape ", shape_text(input.shape));
      return dimensions == 3 ? f(file_.tensor3<Scalar>(name)) : f(file_.matrix<Scalar>(name));
    }
    check(input.dtype == "I64", where("input"), "expected F64, F32, F16, BF16 or I64, got ",
          input.dtype);
    check(dimensions == 1 || dimensions == 2, where("input"),
          "expected 1 or 2 dimensions of whole numbers, got shape ", shape_text(input.shape));
    if (dimensions == 1) {
      std::vector<Index> numbers(static_cast<std::size_t>(input.size()));
      copy_elements<std::int64_t>(input.bytes, numbers.data(), [](std::int64_t v) { return v; });
      return f(numbers);
    }
    RowMatrix<Index> numbers(input.shape[0], input.shape[1]);
    copy_elements<std::int64_t>(input.bytes, numbers.data(), [](std::int64_t v) { return v; });
    return f(numbers);
  }

  [[noreturn]] void refuse_input() const {
    fail(where("input"), "the model takes no input of shape ",
         shape_text(file_.tensor(start_ + "input").shape), " and type ",
         file_.tensor(start_ + "input").dtype);
  }

  /// Throws unless the outputs are those of the file.
  CheckResult compare(const std::vector<ModelOutput<Scalar>>& outputs, double tolerance) const {
    std::set<std::string> known{start_ + "input"};
    CheckResult worst;
    std::string fault;
    for (const ModelOutput<Scalar>& output : outputs) {
      known.insert(start_ + output.name);
      compare(output, tolerance, worst, fault);
    }
    for (const std::string& name : file_.names()) {
      check(!name.starts_with(start_) || known.count(name) > 0, file_.name(), ": ", in_quotes(name),
            ": the model gives no such output");
    }
    check(fault.empty(), fault);
    return worst;
  }

 private:
  std::string where(const std::string& name) const {
    return file_.name() + ": " + in_quotes(start_ + name) + ": ";
  }

  double default_tolerance(const std::string& dtype) const {
    return dtype == "BF16"                                    ? 5e-2
           : dtype == "F16"                                   ? 1e-2
           : dtype == "F64" && std::is_same_v<Scalar, double> ? 1e-10
                                                              : 2e-5;
  }

  // worst, fault: of the output with the largest difference by what is allowed.
  void compare(const ModelOutput<Scalar>& got, double tolerance, CheckResult& worst,
               std::string& fault) const {
    const std::string name = start_ + got.name;
    check(file_.contains(name), where(got.name), "expected this output, got none");
    const StoredTensor& stored = file_.tensor(name);
    check(stored.shape == got.shape, where(got.name), "the model gives shape ",
          shape_text(got.shape), ", expected ", shape_text(stored.shape));
    const auto expected = file_.template values<double>(name);
    double largest = 0;
    for (const double value : expected) {
      check(std::isfinite(value), where(got.name), "expected finite numbers, got ", value);
      largest = std::max(largest, std::abs(value));
    }
    const double unit = largest > 0 ? largest : 1;
    const double allowed = tolerance > 0 ? tolerance : default_tolerance(stored.dtype);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      const auto value = static_cast<double>(got.values[k]);
      double difference = std::abs(value - expected[k]) / unit;
      if (std::isnan(difference)) {
        difference = std::numeric_limits<double>::infinity();
      }
      if (worst.output.empty() || difference / allowed > worst.difference / worst.tolerance) {
        worst = {difference, allowed, got.name};
        if (difference > allowed) {
          fault = where(got.name) + "the model computes something else: largest difference at " +
                  place_text(got.shape, static_cast<Index>(k)) + ": expected " +
                  number_text(expected[k]) + " (by " + author_ + "), got " + number_text(value) +
                  ": " + number_text(difference) + " of the largest entry, allowed " +
                  number_text(allowed);
        }
      }
    }
  }

  const TensorFile& file_;
  std::string start_;
  std::string author_;
};

template <class Scalar>
void add_self_test_input(SafetensorsWriter& writer, const std::string& name,
                         const Tensor3<Scalar>& input) {
  writer.add(name, {input.size(0), input.size(1), input.size(2)}, input.data());
}
template <class Scalar>
void add_self_test_input(SafetensorsWriter& writer, const std::string& name,
                         const RowMatrix<Scalar>& input) {
  if constexpr (std::is_same_v<Scalar, Index>) {
    const std::vector<std::int64_t> numbers(input.data(), input.data() + input.size());
    writer.add(name, {input.rows(), input.cols()}, numbers.data());
  } else {
    writer.add(name, {input.rows(), input.cols()}, input.data());
  }
}
inline void add_self_test_input(SafetensorsWriter& writer, const std::string& name,
                                const std::vector<Index>& input) {
  const std::vector<std::int64_t> numbers(input.begin(), input.end());
  writer.add(name, {static_cast<Index>(numbers.size())}, numbers.data());
}

/// The model with its parameters rounded to a dtype.
template <class Model>
Model rounded_to(const Model& model, const std::string& dtype) {
  Model rounded = model;
  update_parameters(rounded, [&](const std::string&, auto& array) {
    using Scalar = typename std::remove_reference_t<decltype(array)>::Scalar;
    const std::span<const Scalar> values(array.data(), static_cast<std::size_t>(array.size()));
    std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
    encode_elements(dtype, values, bytes.data());
    decode_elements(dtype, bytes, array.data());
  });
  return rounded;
}

}  // namespace detail

/// Writes all parameters of a module or composite, an example input, and what the model makes of
/// it: run(model, input).
///
///     recur::save_with_check(model, "model.safetensors", x,
///                            [](const Model& m, const recur::Tensor3<float>& input) {
///                              return m.head.forward(m.lstm.forward(input).output);
///                            });
///
/// input: a Tensor3, a RowMatrix, or whole numbers: std::vector<Index>, RowMatrix<Index>. run:
/// gives what a layer gives, an array (Tensor3, matrix, vector), a state, or a std::tuple of these;
/// all of it is kept. With options.dtype the output is that of the rounded parameters. Error where
/// an output is not finite. Else as save_state_dict, and load_state_dict reads the file, too.
template <class Model, class Input, class Run>
requires std::invocable<const Run&, const Model&, const Input&>
void save_with_check(const Model& model, const std::filesystem::path& path, const Input& input,
                     const Run& run, const SaveOptions& options = {}) {
  using Scalar = detail::ScalarOf<Model>;
  SafetensorsWriter writer;
  add_state_dict(writer, model, options);
  const bool rounded = !options.dtype.empty() && options.dtype != dtype_of<Scalar>();
  const detail::ModelOutputs<Scalar> outputs(
      rounded ? run(detail::rounded_to(model, options.dtype), input) : run(model, input));

  const std::string start = join_names(options.prefix, "self_test.");
  writer.add_metadata(join_names(options.prefix, "self_test"), std::string("recur ") + version);
  detail::add_self_test_input(writer, start + "input", input);
  for (const detail::ModelOutput<Scalar>& output : outputs.list()) {
    for (const Scalar value : output.values) {
      check(std::isfinite(value), "save_with_check: ", output.name,
            ": expected finite numbers, got ", value);
    }
    writer.add(start + output.name, output.shape, output.values.data());
  }
  writer.save(path);
}

/// The same of a layer: what model.forward(input) gives.
///
///     recur::save_with_check(lstm, "lstm.safetensors", x);   // output, h_n and c_n of (T, B, I)
template <class Model, class Input>
void save_with_check(const Model& model, const std::filesystem::path& path, const Input& input,
                     const SaveOptions& options = {}) {
  save_with_check(model, path, input, detail::Forward{}, options);
}

/// Overwrites the parameters of a module or composite from a file with a self-test, after the model
/// has been found to compute with them what the file says. The difference that was found.
///
///     const auto found = recur::load_with_check(
///         model, "model.safetensors", [](const Model& m, const recur::Tensor3<float>& input) {
///           return m.head.forward(m.lstm.forward(input).output);
///         });
///     std::cout << "as in PyTorch up to " << found.difference << '\n';
///
/// run: as for save_with_check, with the types of its arguments written out. Throws one
/// recur::Error that names output, place, expected and computed number where they differ by more
/// than options.tolerance; where the file has no self-test or one of other outputs or shapes; and
/// where load_state_dict would. The model is then as before (a second one is made meanwhile).
template <class Model, class Run>
requires(!std::convertible_to<const Run&, CheckOptions>) CheckResult
    load_with_check(Model& model, const std::filesystem::path& path, const Run& run,
                    const CheckOptions& options = {}) {
  using Scalar = detail::ScalarOf<Model>;
  const TensorFile file = load_safetensors(path);
  const detail::SelfTest<Scalar> self_test(file, options.load.prefix);
  Model loaded = model;
  load_state_dict(loaded, file, options.load);
  const auto outputs = self_test.with_input([&]<class Input>(const Input& input) {
    if constexpr (std::invocable<const Run&, const Model&, const Input&>) {
      return detail::ModelOutputs<Scalar>(run(std::as_const(loaded), input)).list();
    } else {
      self_test.refuse_input();
      return std::vector<detail::ModelOutput<Scalar>>();
    }
  });
  const CheckResult result = self_test.compare(outputs, options.tolerance);
  model = std::move(loaded);
  return result;
}

/// The same of a layer: what model.forward(input) gives.
///
///     recur::load_with_check(lstm, "lstm.safetensors");
template <class Model>
CheckResult load_with_check(Model& model, const std::filesystem::path& path,
                            const CheckOptions& options = {}) {
  return load_with_check(model, path, detail::Forward{}, options);
}

}  // namespace recur::inline RECUR_ABI
