// SPDX-License-Identifier: MIT
//
// The parameters of a recurrent module: those of its cells, under PyTorch's names.
#pragma once

#include <vector>

#include "recur/core/cell_parameters.hpp"

namespace recur::inline RECUR_ABI {

/// Parameters of all layers and directions, in PyTorch's order: layer outer, direction inner.
template <class Scalar>
struct StackParameters {
  std::vector<CellParameters<Scalar>> cells;  ///< L·D of them
  Index directions = 1;

  CellParameters<Scalar>& cell(Index layer, Index direction = 0) {
    return cells[static_cast<std::size_t>(layer * directions + direction)];
  }
  const CellParameters<Scalar>& cell(Index layer, Index direction = 0) const {
    return cells[static_cast<std::size_t>(layer * directions + direction)];
  }

  /// f(name, array of p...) for every parameter: `weight_ih_l0`, …, `bias_hh_l1_reverse`.
  static void visit(auto&& f, auto& first, auto&... others) {
    const Index count = static_cast<Index>(first.cells.size());
    check(((static_cast<Index>(others.cells.size()) == count) && ...), "parameters of ", count,
          " layers and directions stand beside others of a different number");
    for (Index k = 0; k < count; ++k) {
      const auto at = [k](auto& p) -> auto& { return p.cells[static_cast<std::size_t>(k)]; };
      CellParameters<Scalar>::visit_named(f, k / first.directions, k % first.directions == 1,
                                          at(first), at(others)...);
    }
  }
};

}  // namespace recur::inline RECUR_ABI
