// SPDX-License-Identifier: MIT
#include "recur/layers/stack_parameters.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"

namespace stack_parameters_test {
namespace {

using recur::Index;
using Parameters = recur::StackParameters<float>;

Parameters make(Index layers, Index directions) {
  Parameters parameters;
  parameters.directions = directions;
  for (Index k = 0; k < layers * directions; ++k) {
    parameters.cells.emplace_back(recur::CellSizes{2, 3, 3, 1, k < 2});
  }
  return parameters;
}

TEST(StackParameters, LayerOuterDirectionInner) {
  Parameters parameters = make(2, 2);
  const Parameters& same = parameters;
  EXPECT_EQ(&parameters.cell(1, 0), &parameters.cells[2]);
  EXPECT_EQ(&same.cell(0, 1), &same.cells[1]);

  std::vector<std::string> names;
  Parameters::visit([&](const auto& name, const auto&) { names.push_back(name.str()); },
                    parameters);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse",
                "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_ih_l1",
                "weight_hh_l1", "weight_ih_l1_reverse", "weight_hh_l1_reverse"}));
}

TEST(StackParameters, SideBySideOnlyInEqualNumber) {
  Parameters two = make(2, 1);
  const Parameters other = make(2, 1);
  Index visited = 0;
  Parameters::visit(
      [&](const auto&, auto& array, const auto& beside) {
        EXPECT_EQ(array.size(), beside.size());
        ++visited;
      },
      two, other);
  EXPECT_EQ(visited, 8);
  const Parameters three = make(3, 1);
  EXPECT_ERROR(Parameters::visit([](const auto&...) {}, two, three),
               "parameters of 2 layers and directions stand beside others of a different number");
}

}  // namespace
}  // namespace stack_parameters_test
