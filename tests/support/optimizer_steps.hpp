// SPDX-License-Identifier: MIT
//
// Optimisers against PyTorch's: five steps of a Linear with the gradients of golden/optim.hpp.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/nn/linear.hpp"

#include "golden/optim.hpp"
#include "support/compare.hpp"

namespace recur::test {

/// Weight (2 × 3), then bias (2), from eight numbers.
template <class Scalar>
typename Linear<Scalar>::Parameters linear_parameters(const double* values) {
  typename Linear<Scalar>::Parameters p;
  p.weight = Eigen::Map<const RowMatrix<double>>(values, 2, 3).cast<Scalar>();
  p.bias = Eigen::Map<const Vector<double>>(values + 6, 2).cast<Scalar>();
  return p;
}

template <class Scalar>
Linear<Scalar> golden_linear() {
  Linear<Scalar> linear({.in_features = 3, .out_features = 2});
  linear.update_parameters([](auto& p) { p = linear_parameters<Scalar>(golden::optim::start); });
  return linear;
}

template <class Scalar>
typename Linear<Scalar>::Parameters golden_gradients(int step) {
  return linear_parameters<Scalar>(golden::optim::gradients + 8 * step);
}

/// Fails unless the parameters after each of five steps are the expected ones, each step's relative
/// to its largest. lr is multiplied by lr_factor after every step.
template <class Optimizer, class Value>
void expect_steps(Optimizer optimizer, const Value (&expected)[40], double tolerance,
                  double lr_factor = 1) {
  using Scalar = typename Optimizer::Scalar;
  auto linear = golden_linear<Scalar>();
  for (int step = 0; step < 5; ++step) {
    optimizer.step(linear, golden_gradients<Scalar>(step));
    optimizer.options().lr *= lr_factor;
    auto values = elements(linear.parameters().weight).values;
    for (const Scalar b : linear.parameters().bias) {
      values.push_back(b);
    }
    const Value* first = expected + 8 * step;
    expect_close(values, std::vector<Scalar>(first, first + 8), tolerance,
                 "parameters after step " + std::to_string(step + 1));
  }
}

/// Fails unless visit_state() gives these arrays of eight numbers, weight then bias.
template <class Optimizer>
void expect_state(const Optimizer& optimizer,
                  std::initializer_list<std::pair<std::string, const double*>> expected) {
  std::vector<std::string> names;
  optimizer.visit_state([&](const std::string& name, const auto& array) {
    names.push_back(name);
    const bool bias = name.substr(0, 2) == "1.";
    for (const auto& [base, values] : expected) {
      if (name == (bias ? "1." : "0.") + base) {
        const double* first = bias ? values + 6 : values;
        const auto got = elements(array);
        EXPECT_EQ(got.shape, bias ? std::vector<Index>({2}) : std::vector<Index>({2, 3})) << name;
        using Scalar = typename Optimizer::Scalar;
        expect_close(got.values, std::vector<Scalar>(first, first + array.size()), 1e-12, name);
      }
    }
  });
  std::vector<std::string> expected_names;
  for (const char* parameter : {"0.", "1."}) {
    for (const auto& [base, values] : expected) {
      expected_names.push_back(parameter + base);
    }
  }
  EXPECT_EQ(names, expected_names);
}

/// Copies the state of one optimiser into another that is prepared for the same model.
template <class Optimizer>
void copy_state(const Optimizer& from, Optimizer& to) {
  std::vector<std::vector<typename Optimizer::Scalar>> arrays;
  from.visit_state([&](const std::string&, const auto& array) {
    arrays.emplace_back(array.data(), array.data() + array.size());
  });
  std::size_t k = 0;
  to.visit_state([&](const std::string&, auto array) {
    ASSERT_LT(k, arrays.size());
    ASSERT_EQ(static_cast<std::size_t>(array.size()), arrays[k].size());
    std::copy(arrays[k].begin(), arrays[k].end(), array.data());
    ++k;
  });
  EXPECT_EQ(k, arrays.size());
}

}  // namespace recur::test
