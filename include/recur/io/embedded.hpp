// SPDX-License-Identifier: MIT
//
// Weights that are part of the program: constexpr arrays, as examples/embed_weights writes them
// from a file, into a model. Needs neither files nor nlohmann_json: target recur::recur is enough.
#pragma once

#include <algorithm>  // std::find
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/io/half.hpp"

namespace recur::inline RECUR_ABI {

/// The bits of a number in half precision (IEEE 754 binary16), for arrays of weights.
struct HalfBits {
  std::uint16_t bits;
};
/// The bits of a bfloat16.
struct BFloat16Bits {
  std::uint16_t bits;
};

/// One parameter: its name in a state_dict, its shape, and a constexpr array of its numbers in
/// row-major order, which may lie in read-only memory. A matrix has columns; a vector has none.
///
///     inline constexpr std::array<float, 6> head_weight = {…};
///     inline constexpr std::array<float, 2> head_bias = {…};
///     inline constexpr recur::EmbeddedTensor tensors[] = {{"head.weight", head_weight, 2, 3},
///                                                         {"head.bias", head_bias, 2}};
class EmbeddedTensor {
 public:
  /// Does not compile unless the array has rows · columns numbers: float, double, HalfBits or
  /// BFloat16Bits.
  template <class Element, std::size_t N>
  consteval EmbeddedTensor(std::string_view name, const std::array<Element, N>& values, Index rows,
                           Index columns = none)
      : name_(name),
        rows_(rows),
        columns_(columns),
        type_(type_of<Element>()),
        data_(values.data()) {
    if (rows < 0 || static_cast<Index>(N) != rows * (columns == none ? 1 : columns)) {
      throw "the array has another number of elements than the shape";
    }
  }

  constexpr std::string_view name() const { return name_; }
  constexpr Index rows() const { return rows_; }
  /// 1 for a vector.
  constexpr Index columns() const { return is_vector() ? 1 : columns_; }
  constexpr bool is_vector() const { return columns_ == none; }
  constexpr Index size() const { return rows() * columns(); }

  /// Element k in row-major order, rounded where Scalar is narrower.
  template <class Scalar>
  Scalar element(Index k) const {
    switch (type_) {
      case Type::f32:
        return static_cast<Scalar>(static_cast<const float*>(data_)[k]);
      case Type::f64:
        return static_cast<Scalar>(static_cast<const double*>(data_)[k]);
      case Type::f16:
        return static_cast<Scalar>(
            detail::half_to_float(static_cast<const HalfBits*>(data_)[k].bits));
      default:
        return static_cast<Scalar>(
            detail::bfloat_to_float(static_cast<const BFloat16Bits*>(data_)[k].bits));
    }
  }

  /// `(2, 3)`, of a vector `(2,)`.
  ShapeText shape() const {
    return is_vector() ? shape_string({rows_}) : shape_string({rows_, columns_});
  }

 private:
  enum class Type { f32, f64, f16, bf16 };
  static constexpr Index none = -1;

  template <class Element>
  static consteval Type type_of() {
    if constexpr (std::is_same_v<Element, float>) {
      return Type::f32;
    } else if constexpr (std::is_same_v<Element, double>) {
      return Type::f64;
    } else if constexpr (std::is_same_v<Element, HalfBits>) {
      return Type::f16;
    } else {
      static_assert(std::is_same_v<Element, BFloat16Bits>,
                    "expected an array of float, double, HalfBits or BFloat16Bits");
      return Type::bf16;
    }
  }

  std::string_view name_;
  Index rows_;
  Index columns_;
  Type type_;
  const void* data_;
};

/// Overwrites all parameters of a module or composite.
///
///     recur::LSTM<float, 1, 16> lstm;
///     recur::load_embedded(lstm, weights::tensors, "lstm.");
///
/// Strict, as load_state_dict: names and shapes must be the model's, one for one; with a `prefix`,
/// only the names below it count. Throws one recur::Error that lists everything missing,
/// unexpected, misshaped or given twice; the model is then as before. The weights are copied into
/// the model: this and the model's construction are what takes memory, at start-up.
template <class Model>
void load_embedded(Model& model, std::span<const EmbeddedTensor> tensors,
                   const std::string& prefix = "") {
  const auto find = [&](std::string_view name) -> const EmbeddedTensor* {
    for (const EmbeddedTensor& tensor : tensors) {
      if (tensor.name() == name) {
        return &tensor;
      }
    }
    return nullptr;
  };
  std::string faults;
  const auto note = [&](const char* what, std::string_view name, const std::string& shape) {
    faults += std::string("\n  ") + what + " \"" + std::string(name) + "\"" + shape;
  };

  std::vector<std::string> expected;
  for_each_parameter(
      model,
      [&](const std::string& name, const auto& array) {
        constexpr bool is_vector = std::remove_cvref_t<decltype(array)>::ColsAtCompileTime == 1;
        const ShapeText shape =
            is_vector ? shape_string({array.rows()}) : shape_string({array.rows(), array.cols()});
        expected.push_back(name);
        const EmbeddedTensor* tensor = find(name);
        if (tensor == nullptr) {
          note("missing", name, " " + std::string(shape));
          return;
        }
        if (tensor->is_vector() != is_vector || tensor->rows() != array.rows() ||
            tensor->columns() != array.cols()) {
          note("size mismatch for", name,
               ": expected " + std::string(shape) + ", got " + std::string(tensor->shape()));
        }
      },
      prefix);
  std::string start = join_names(prefix, "x");  // names below the prefix begin with it and a point
  start.pop_back();
  for (const EmbeddedTensor& tensor : tensors) {
    if (!tensor.name().starts_with(start)) {
      continue;
    }
    if (std::find(expected.begin(), expected.end(), tensor.name()) == expected.end()) {
      note("unexpected", tensor.name(), " " + std::string(tensor.shape()));
    } else if (find(tensor.name()) != &tensor) {
      note("given twice:", tensor.name(), "");
    }
  }
  check(faults.empty(), "Error(s) in loading embedded weights:", faults);

  update_parameters(
      model,
      [&](const std::string& name, auto& array) {
        using Scalar = typename std::remove_cvref_t<decltype(array)>::Scalar;
        const EmbeddedTensor& tensor = *find(name);
        for (Index k = 0; k < tensor.size(); ++k) {
          array.data()[k] = tensor.element<Scalar>(k);
        }
      },
      prefix);
}

}  // namespace recur::inline RECUR_ABI
