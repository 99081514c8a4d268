// SPDX-License-Identifier: MIT
//
// A Network of random parameters, for tests of what works on it.
#pragma once

#include <vector>

#include "recur/layers/network.hpp"

#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/reference.hpp"

namespace recur::test {

template <class E>
struct NetworkOf {
  E equations;
  StackParameters<double> parameters;
  std::vector<kernels::PackedWeights<E, double>> packed;
  layers::Network<E, double> network;

  /// first: sizes of the first layer's cells.
  NetworkOf(const CellSizes& first, Index layers, Index directions, Generator& generator)
      : parameters(random_parameters(first, layers, directions, generator)),
        packed(static_cast<std::size_t>(layers * directions)),
        network{equations, parameters, {}, layers, directions, 0.0} {
    for (std::size_t k = 0; k < packed.size(); ++k) {
      packed[k].assign(sizes_of(first, static_cast<Index>(k), directions), parameters.cells[k]);
    }
    network.packed = packed;
  }
  NetworkOf(const NetworkOf&) = delete;
  NetworkOf& operator=(const NetworkOf&) = delete;

 private:
  static CellSizes sizes_of(const CellSizes& first, Index k, Index directions) {
    CellSizes sizes = first;
    sizes.input = k < directions ? first.input : directions * first.output;
    return sizes;
  }

  static StackParameters<double> random_parameters(const CellSizes& first, Index layers,
                                                   Index directions, Generator& generator) {
    StackParameters<double> parameters;
    parameters.directions = directions;
    for (Index k = 0; k < layers * directions; ++k) {
      parameters.cells.emplace_back(sizes_of(first, k, directions));
      initialize_uniform(parameters.cells.back(), first.hidden, generator);
    }
    return parameters;
  }
};

}  // namespace recur::test
