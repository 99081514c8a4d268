// SPDX-License-Identifier: MIT
//
// The constexpr arrays that tests/golden/export_nn.py writes, as arrays of the library, and
// compared with what the library gives.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/core/tensor.hpp"

#include "support/compare.hpp"

namespace recur::test {

/// Copies the values into an array that has as many elements, row by row.
template <class Array, class Value, std::size_t N>
void fill(Array& array, const Value (&values)[N]) {
  ASSERT_EQ(static_cast<std::size_t>(array.size()), N);
  for (std::size_t k = 0; k < N; ++k) {
    array.data()[k] = static_cast<typename Array::Scalar>(values[k]);
  }
}

template <class Scalar, class Value, std::size_t N>
RowMatrix<Scalar> matrix_of(const Value (&values)[N], Index rows, Index columns) {
  RowMatrix<Scalar> matrix(rows, columns);
  fill(matrix, values);
  return matrix;
}

template <class Scalar, class Value, std::size_t N>
Tensor3<Scalar> tensor_of(const Value (&values)[N], Index size0, Index size1, Index size2) {
  Tensor3<Scalar> tensor(size0, size1, size2);
  fill(tensor, values);
  return tensor;
}

/// Fails unless every element is within `tolerance` times the largest expected one.
template <class Array, class Value, std::size_t N>
void expect_near(const Array& actual, const Value (&expected)[N], double tolerance,
                 const std::string& what = "array") {
  using Scalar = typename Array::Scalar;
  std::vector<Scalar> values;
  for (const Value value : expected) {
    values.push_back(static_cast<Scalar>(value));
  }
  expect_close(elements(actual).values, values, tolerance, what);
}

}  // namespace recur::test
