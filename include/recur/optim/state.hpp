// SPDX-License-Identifier: MIT
//
// What an optimiser remembers from step to step: for every parameter of its model, in order, some
// arrays of the parameter's shape. Allocated at the first step; from then on the model must be the
// same.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>  // std::move
#include <vector>

#include "recur/core/parameters.hpp"

namespace recur::inline RECUR_ABI::detail {

/// Elements of a parameter, a gradient or a moment, one after the other.
template <class Scalar>
using Flat =
    Eigen::Map<std::conditional_t<std::is_const_v<Scalar>,
                                  const Eigen::Array<std::remove_const_t<Scalar>, Dynamic, 1>,
                                  Eigen::Array<Scalar, Dynamic, 1>>>;

template <class Derived>
Flat<typename Derived::Scalar> flat(Eigen::PlainObjectBase<Derived>& array) {
  return {array.data(), array.size()};
}
template <class Derived>
Flat<const typename Derived::Scalar> flat(const Eigen::PlainObjectBase<Derived>& array) {
  return {array.data(), array.size()};
}

/// `Count` arrays for each parameter; arrays that were never asked for are empty.
template <class Scalar, std::size_t Count>
class OptimizerState {
 public:
  using Array = Eigen::Array<Scalar, Dynamic, 1>;
  using Arrays = std::array<Array, Count>;

  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  /// Makes one entry for each parameter, at the first call; later ones check that the parameters
  /// are of the same number and shapes. The first `used` arrays are zero where they were not there.
  /// Errors are thrown before anything is written.
  template <class Model, class... Gradients>
  void bind(const char* optimizer, std::size_t used, const Model& model,
            const Gradients&... gradients) {
    if (empty()) {
      std::vector<Entry> entries;
      for_each_parameter_with(
          model,
          [&]<class P>(const P& parameter, const auto&) {
            static_assert(
                std::is_same_v<typename P::Scalar, Scalar>,
                "the optimiser's scalar must be the model's: Adam<float> for LSTM<float>");
            entries.push_back({parameter.rows(), parameter.cols(), P::ColsAtCompileTime == 1, {}});
          },
          gradients...);
      entries_ = std::move(entries);
    } else {
      check_model(optimizer, model, gradients...);
    }
    for (Entry& entry : entries_) {
      for (std::size_t k = 0; k < used; ++k) {
        if (entry.arrays[k].size() == 0) {
          entry.arrays[k].setZero(entry.rows * entry.columns);
        }
      }
    }
  }

  Arrays& arrays(std::size_t parameter) { return entries_[parameter].arrays; }

  /// f(name, array) for every array that is there: `0.exp_avg`, number of the parameter and name as
  /// in torch's optimizer.state_dict()["state"]; a map of the parameter's shape.
  template <class F>
  void visit(const std::array<std::string_view, Count>& names, F&& f) {
    visit_entries<Scalar>(entries_, names, f);
  }
  template <class F>
  void visit(const std::array<std::string_view, Count>& names, F&& f) const {
    visit_entries<const Scalar>(entries_, names, f);
  }

 private:
  struct Entry {
    Index rows;
    Index columns;
    bool is_vector;
    Arrays arrays;
  };

  template <class Model, class... Gradients>
  void check_model(const char* optimizer, const Model& model, const Gradients&... gradients) const {
    std::size_t count = 0;
    for_each_parameter_with(
        model,
        [&](const auto& parameter, const auto&) {
          if (count < entries_.size()) {
            const Entry& entry = entries_[count];
            if (parameter.rows() != entry.rows || parameter.cols() != entry.columns) {
              fail(optimizer,
                   "::step: the optimiser's state belongs to another model: its parameter ", count,
                   " has shape ", shape_string({entry.rows, entry.columns}), ", this model's ",
                   shape_string({parameter.rows(), parameter.cols()}));
            }
          }
          ++count;
        },
        gradients...);
    check(count == entries_.size(), optimizer,
          "::step: the optimiser's state belongs to another model: it has ", entries_.size(),
          " parameters, this model ", count);
  }

  template <class Element, class Entries, class F>
  static void visit_entries(Entries& entries, const std::array<std::string_view, Count>& names,
                            F& f) {
    using Plain = std::remove_const_t<Element>;
    using VectorMap = Eigen::Map<
        std::conditional_t<std::is_const_v<Element>, const Vector<Plain>, Vector<Plain>>>;
    using MatrixMap = Eigen::Map<
        std::conditional_t<std::is_const_v<Element>, const RowMatrix<Plain>, RowMatrix<Plain>>>;
    for (std::size_t n = 0; n < entries.size(); ++n) {
      auto& entry = entries[n];
      for (std::size_t k = 0; k < Count; ++k) {
        if (entry.arrays[k].size() == 0) {
          continue;
        }
        const std::string name = join_names(std::to_string(n), names[k]);
        if (entry.is_vector) {
          f(name, VectorMap(entry.arrays[k].data(), entry.rows));
        } else {
          f(name, MatrixMap(entry.arrays[k].data(), entry.rows, entry.columns));
        }
      }
    }
  }

  std::vector<Entry> entries_;
};

}  // namespace recur::inline RECUR_ABI::detail
