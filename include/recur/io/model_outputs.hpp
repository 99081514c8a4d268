// SPDX-License-Identifier: MIT
//
// What a model gives, taken apart into arrays with names, which are those in a file:
//
//   output, h_n, c_n      of a recurrent layer; h_n and c_n of a cell or a state
//   output                of a model that gives one array: Tensor3, matrix or vector
//   output.0, output.1    of one that gives a std::tuple or std::pair; what stands in an element
//                         goes on behind its name: output.1.h_n, output.1.0
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/core/tensor.hpp"
#include "recur/io/state_dict.hpp"  // detail::parameter_shape

namespace recur::inline RECUR_ABI::detail {

/// One array that a model gave.
template <class Scalar>
struct ModelOutput {
  std::string name;
  std::vector<Index> shape;
  std::vector<Scalar> values;  // row-major
};

/// All of them, in order. `result`: what forward() gives, or anything made of that as above.
template <class Scalar>
class ModelOutputs {
 public:
  explicit ModelOutputs(const auto& result) { add("", result); }
  const std::vector<ModelOutput<Scalar>>& list() const { return list_; }

 private:
  void add(const std::string& path, const Tensor3<Scalar>& tensor) {
    list_.push_back({or_output(path),
                     {tensor.size(0), tensor.size(1), tensor.size(2)},
                     {tensor.data(), tensor.data() + tensor.size()}});
  }

  template <class Derived>
  void add(const std::string& path, const Eigen::DenseBase<Derived>& array) {
    ModelOutput<Scalar> output{or_output(path), parameter_shape(array), {}};
    for (Index i = 0; i < array.rows(); ++i) {
      for (Index j = 0; j < array.cols(); ++j) {
        output.values.push_back(array.coeff(i, j));
      }
    }
    list_.push_back(std::move(output));
  }

  template <class State>
  requires requires(const State& state) { state.h; }
  void add(const std::string& path, const State& state) {
    add(join_names(path, "h_n"), state.h);
    if constexpr (requires { state.c; }) {
      add(join_names(path, "c_n"), state.c);
    }
  }

  template <class Output>
  requires requires(const Output& output) { output.output, output.state; }
  void add(const std::string& path, const Output& output) {
    add(join_names(path, "output"), output.output);
    add(path, output.state);
  }

  template <class Tuple>
  requires requires { std::tuple_size<Tuple>::value; }
  void add(const std::string& path, const Tuple& tuple) {
    const std::string start = or_output(path);
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      (add(join_names(start, std::to_string(K)), std::get<K>(tuple)), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<Tuple>>{});
  }

  static std::string or_output(const std::string& path) { return path.empty() ? "output" : path; }

  std::vector<ModelOutput<Scalar>> list_;
};

}  // namespace recur::inline RECUR_ABI::detail
