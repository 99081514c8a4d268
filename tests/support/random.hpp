// SPDX-License-Identifier: MIT
//
// Arrays of random numbers off zero, the same on every machine.
#pragma once

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"

namespace recur::test {

/// Uniform in [-0.9, 1.1).
template <class Scalar>
Scalar random_number(Generator& generator) {
  return static_cast<Scalar>(generator.uniform(-0.9, 1.1));
}

template <class Scalar>
Tensor3<Scalar> random_tensor(Generator& generator, Index size0, Index size1, Index size2) {
  Tensor3<Scalar> tensor(size0, size1, size2);
  for (Index k = 0; k < tensor.size(); ++k) {
    tensor.data()[k] = random_number<Scalar>(generator);
  }
  return tensor;
}

template <class Scalar>
RowMatrix<Scalar> random_matrix(Generator& generator, Index rows, Index columns) {
  RowMatrix<Scalar> matrix(rows, columns);
  for (Index k = 0; k < matrix.size(); ++k) {
    matrix.data()[k] = random_number<Scalar>(generator);
  }
  return matrix;
}

/// Overwrites all parameters of a model with numbers in scale · [-0.9, 1.1).
template <class Model>
void randomize_parameters(Model& model, Generator& generator, double scale = 0.5) {
  update_parameters(model, [&](const std::string&, auto& array) {
    using Scalar = typename std::remove_reference_t<decltype(array)>::Scalar;
    for (Index k = 0; k < array.size(); ++k) {
      array.data()[k] = static_cast<Scalar>(scale) * random_number<Scalar>(generator);
    }
  });
}

}  // namespace recur::test
