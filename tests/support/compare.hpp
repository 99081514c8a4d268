// SPDX-License-Identifier: MIT
//
// Comparison of arrays, relative to the largest entry of the expected one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/core/tensor.hpp"

namespace recur::test {

/// Elements and shape of anything the library gives: a tensor, a matrix, a vector. Row-major.
template <class Scalar>
struct Elements {
  std::vector<Index> shape;
  std::vector<Scalar> values;
};

template <class Scalar>
Elements<Scalar> elements(const Tensor3<Scalar>& tensor) {
  return {{tensor.size(0), tensor.size(1), tensor.size(2)},
          {tensor.data(), tensor.data() + tensor.size()}};
}

template <class Derived>
Elements<typename Derived::Scalar> elements(const Eigen::MatrixBase<Derived>& matrix) {
  Elements<typename Derived::Scalar> result;
  if constexpr (Derived::ColsAtCompileTime == 1) {
    result.shape = {matrix.rows()};
  } else {
    result.shape = {matrix.rows(), matrix.cols()};
  }
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j < matrix.cols(); ++j) {
      result.values.push_back(matrix(i, j));
    }
  }
  return result;
}

/// Fails unless every element is within `tolerance` times the largest expected entry. NaN never is.
template <class Scalar>
void expect_close(const std::vector<Scalar>& actual, const std::vector<Scalar>& expected,
                  double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double largest = 0;
  for (const Scalar value : expected) {
    largest = std::max(largest, static_cast<double>(std::abs(value)));
  }
  for (std::size_t k = 0; k < actual.size(); ++k) {
    const double difference = static_cast<double>(std::abs(actual[k] - expected[k]));
    ASSERT_TRUE(difference <= tolerance * largest)
        << what << ": element " << k << " of " << actual.size() << ": expected " << expected[k]
        << ", got " << actual[k] << ", difference " << difference
        << " relative to the largest entry: " << difference / largest;
  }
}

template <class Array>
void expect_close(const Array& actual, const Array& expected, double tolerance,
                  const std::string& what) {
  const auto a = elements(actual);
  const auto e = elements(expected);
  ASSERT_EQ(a.shape, e.shape) << what;
  expect_close(a.values, e.values, tolerance, what);
}

/// Every bit the same (except that 0 is -0).
template <class Array>
void expect_same(const Array& actual, const Array& expected, const std::string& what) {
  expect_close(actual, expected, 0.0, what);
}

/// The same for parameters or gradients of a module, array by array.
template <class Parameters>
void expect_parameters_close(const Parameters& actual, const Parameters& expected,
                             double tolerance) {
  Parameters::visit([&](const auto& name, const auto& a,
                        const auto& e) { expect_close(a, e, tolerance, name.str()); },
                    actual, expected);
}

/// The text of the recur::Error that f throws; fails when it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "expected a recur::Error, got none";
  return {};
}

#define EXPECT_ERROR(statement, part)                                             \
  do {                                                                            \
    const std::string error_text = ::recur::test::error_of([&] { statement; });   \
    EXPECT_NE(error_text.find(part), std::string::npos) << "got: " << error_text; \
  } while (false)

}  // namespace recur::test
