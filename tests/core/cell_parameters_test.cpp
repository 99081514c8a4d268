// SPDX-License-Identifier: MIT
#include "recur/core/cell_parameters.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "golden/random.hpp"
#include "support/arrays.hpp"

namespace cell_parameters_test {
namespace {

namespace golden = recur::golden::random;
using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::test::expect_near;

std::vector<std::string> names_and_shapes(const CellParameters<float>& p, Index layer = -1,
                                          bool reverse = false) {
  std::vector<std::string> result;
  CellParameters<float>::visit_named(
      [&](const recur::ParameterName& name, const auto& array) {
        result.push_back(name.str() + " " +
                         std::string(recur::shape_string({array.rows(), array.cols()})));
      },
      layer, reverse, p);
  return result;
}

TEST(CellParameters, HaveTorchsNamesOrderAndShapes) {
  const CellParameters<float> lstm(CellSizes{.input = 3, .hidden = 4, .output = 4, .gates = 4});
  EXPECT_EQ(names_and_shapes(lstm),
            (std::vector<std::string>{"weight_ih (16, 3)", "weight_hh (16, 4)", "bias_ih (16, 1)",
                                      "bias_hh (16, 1)"}));
  EXPECT_EQ(
      names_and_shapes(lstm, 1, true),
      (std::vector<std::string>{"weight_ih_l1_reverse (16, 3)", "weight_hh_l1_reverse (16, 4)",
                                "bias_ih_l1_reverse (16, 1)", "bias_hh_l1_reverse (16, 1)"}));
}

TEST(CellParameters, WhatIsNotThereIsNotVisited) {
  const CellSizes sizes{.input = 3, .hidden = 4, .output = 2, .gates = 4, .bias = false};
  EXPECT_TRUE(sizes.projected());
  EXPECT_EQ(names_and_shapes(CellParameters<float>(sizes), 0),
            (std::vector<std::string>{"weight_ih_l0 (16, 3)", "weight_hh_l0 (16, 2)",
                                      "weight_hr_l0 (2, 4)"}));
  EXPECT_TRUE(names_and_shapes(CellParameters<float>()).empty());
}

TEST(CellParameters, VisitsSideBySide) {
  const CellSizes sizes{.input = 2, .hidden = 3, .output = 3, .gates = 1};
  CellParameters<double> p(sizes);
  CellParameters<double> d(sizes);
  CellParameters<double>::visit([](const auto&, auto& array) { array.setOnes(); }, d);
  CellParameters<double>::visit([](const auto&, auto& a, const auto& b) { a += 2 * b; }, p, d);
  EXPECT_TRUE((p.weight_ih.array() == 2).all());
  EXPECT_TRUE((p.bias_hh.array() == 2).all());
}

TEST(CellParameters, StartAtZeroAndUniform) {
  CellParameters<double> p(CellSizes{.input = 10, .hidden = 25, .output = 25, .gates = 4});
  EXPECT_TRUE(p.weight_ih.isZero(0) && p.bias_hh.isZero(0));
  recur::Generator generator(1);
  recur::initialize_uniform(p, 25, generator);
  EXPECT_LT(p.weight_hh.maxCoeff(), 0.2);
  EXPECT_GE(p.weight_hh.minCoeff(), -0.2);
  EXPECT_NEAR(p.weight_hh.squaredNorm() / 2500, 0.04 / 3, 1e-3);
  EXPECT_GT(p.bias_ih.cwiseAbs().minCoeff(), 0);
}

TEST(CellParameters, StartAsTorchsLSTM) {
  CellParameters<float> p(CellSizes{.input = 3, .hidden = 4, .output = 4, .gates = 4});
  recur::Generator generator(0);
  recur::initialize_uniform(p, 4, generator);
  expect_near(p.weight_ih, golden::lstm_weight_ih_l0, 1e-7);
  expect_near(p.weight_hh, golden::lstm_weight_hh_l0, 1e-7);
  expect_near(p.bias_ih, golden::lstm_bias_ih_l0, 1e-7);
  expect_near(p.bias_hh, golden::lstm_bias_hh_l0, 1e-7);
}

}  // namespace
}  // namespace cell_parameters_test
