// SPDX-License-Identifier: MIT
//
// The parameters of one cell: what PyTorch keeps for one layer and direction.
#pragma once

#include <cmath>

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// Sizes of one cell. `output` is what the next step and layer see: proj_size where it is positive,
/// else `hidden`.
struct CellSizes {
  Index input = 0;
  Index hidden = 0;
  Index output = 0;
  Index gates = 1;
  bool bias = true;

  bool projected() const { return output != hidden; }
  bool operator==(const CellSizes&) const = default;
};

/// Parameters of one cell, and gradients by them. What a cell does without (biases, projection) is
/// empty. Row blocks of weight_ih, weight_hh and the biases: one for each gate, in PyTorch's order.
template <class Scalar>
struct CellParameters {
  RowMatrix<Scalar> weight_ih;  ///< (G·H × I)
  RowMatrix<Scalar> weight_hh;  ///< (G·H × output)
  Vector<Scalar> bias_ih;       ///< (G·H)
  Vector<Scalar> bias_hh;       ///< (G·H)
  RowMatrix<Scalar> weight_hr;  ///< (output × H), LSTM with proj_size > 0 only

  CellParameters() = default;
  /// All zero.
  explicit CellParameters(const CellSizes& sizes) {
    shape(sizes, -1, false, [](const ParameterName&, auto& array, Index rows, Index cols) {
      array.setZero(rows, cols);
    });
  }

  /// f(name, array, rows, cols) for every array with the shape it must have, the empty ones too.
  void shape(const CellSizes& sizes, Index layer, bool reverse, auto&& f) {
    const Index rows = sizes.gates * sizes.hidden;
    const Index biases = sizes.bias ? rows : 0;
    f(ParameterName{"weight_ih", layer, reverse}, weight_ih, rows, sizes.input);
    f(ParameterName{"weight_hh", layer, reverse}, weight_hh, rows, sizes.output);
    f(ParameterName{"bias_ih", layer, reverse}, bias_ih, biases, Index{1});
    f(ParameterName{"bias_hh", layer, reverse}, bias_hh, biases, Index{1});
    f(ParameterName{"weight_hr", layer, reverse}, weight_hr, sizes.projected() ? sizes.output : 0,
      sizes.projected() ? sizes.hidden : 0);
  }

  /// f(name, p.weight_ih...), f(name, p.weight_hh...), … for every parameter that is there.
  static void visit(auto&& f, auto&... p) { visit_named(f, -1, false, p...); }

  /// The same with the suffix of a layer: `weight_ih_l0_reverse`.
  static void visit_named(auto&& f, Index layer, bool reverse, auto&... p) {
    const auto visit_one = [&](std::string_view base, auto&... array) {
      if (((array.size() > 0) || ...)) {
        f(ParameterName{base, layer, reverse}, array...);
      }
    };
    visit_one("weight_ih", p.weight_ih...);
    visit_one("weight_hh", p.weight_hh...);
    visit_one("bias_ih", p.bias_ih...);
    visit_one("bias_hh", p.bias_hh...);
    visit_one("weight_hr", p.weight_hr...);
  }
};

/// Overwrites all parameters with U(-1/sqrt(H), 1/sqrt(H)), as reset_parameters() does.
template <class Parameters>
void initialize_uniform(Parameters& parameters, Index hidden_size, Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden_size));
  Parameters::visit(
      [&](const ParameterName&, auto& array) { generator.fill_uniform(array, bound); }, parameters);
}

}  // namespace recur::inline RECUR_ABI
