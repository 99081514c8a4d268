// SPDX-License-Identifier: MIT
//
// What optimisers remember; what they do with it is in adam_test.cpp and sgd_test.cpp.
#include "recur/optim/state.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "recur/nn/linear.hpp"

#include "support/compare.hpp"

namespace state_test {
namespace {

using recur::Index;
using Linear = recur::Linear<float>;
using State = recur::detail::OptimizerState<float, 2>;
constexpr std::array<std::string_view, 2> names = {"exp_avg", "exp_avg_sq"};

std::vector<std::string> names_of(const State& state) {
  std::vector<std::string> result;
  state.visit(names, [&](const std::string& name, const auto& array) {
    result.push_back(name + " " + std::string(recur::shape_string({array.rows(), array.cols()})));
  });
  return result;
}

TEST(OptimizerState, HasOneEntryForEachParameterInItsShape) {
  const Linear linear({.in_features = 3, .out_features = 2});
  const auto gradients = recur::zero_gradients(linear);
  State state;
  EXPECT_TRUE(state.empty());
  state.bind("Adam", 1, linear, gradients);
  EXPECT_FALSE(state.empty());
  EXPECT_EQ(names_of(state), (std::vector<std::string>{"0.exp_avg (2, 3)", "1.exp_avg (2, 1)"}));
  EXPECT_TRUE((state.arrays(0)[0] == 0).all());

  // What is there stays; what is asked for later is added.
  state.arrays(0)[0].setConstant(5);
  state.bind("Adam", 2, linear, gradients);
  EXPECT_TRUE((state.arrays(0)[0] == 5).all());
  EXPECT_EQ(names_of(state), (std::vector<std::string>{"0.exp_avg (2, 3)", "0.exp_avg_sq (2, 3)",
                                                       "1.exp_avg (2, 1)", "1.exp_avg_sq (2, 1)"}));
}

TEST(OptimizerState, BelongsToOneModel) {
  const Linear linear({.in_features = 3, .out_features = 2});
  State state;
  state.bind("Adam", 1, linear, recur::zero_gradients(linear));
  const Linear other({.in_features = 4, .out_features = 2});
  EXPECT_ERROR(state.bind("Adam", 1, other, recur::zero_gradients(other)),
               "Adam::step: the optimiser's state belongs to another model: its parameter 0 has "
               "shape (2, 3), this model's (2, 4)");
  const Linear without({.in_features = 3, .out_features = 2, .bias = false});
  EXPECT_ERROR(state.bind("Adam", 1, without, recur::zero_gradients(without)),
               "it has 2 parameters, this model 1");
}

TEST(OptimizerState, FlatSeesTheElementsOfAnArray) {
  recur::RowMatrix<float> matrix(2, 3);
  matrix << 1, 2, 3, 4, 5, 6;
  recur::detail::flat(matrix)[4] = 9;
  EXPECT_EQ(matrix(1, 1), 9);
  const recur::RowMatrix<float>& same = matrix;
  EXPECT_EQ(recur::detail::flat(same).sum(), 25);
}

}  // namespace
}  // namespace state_test
