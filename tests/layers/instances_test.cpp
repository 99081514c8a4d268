// SPDX-License-Identifier: MIT
//
// A layer over a cell of one's own, declared as any source file may do and compiled here. Layers
// that are compiled in another file are most of those in these tests (support/instances.hpp), and
// that in structure/two_units_a.cpp.
#include "recur/layers/instances.hpp"

#include <gtest/gtest.h>

#include "recur/cells/cell.hpp"
#include "recur/layers/stack.hpp"

#include "support/compare_with_reference.hpp"
#include "support/minimal_gated_unit.hpp"

RECUR_DECLARE_LAYER(recur::test::MinimalGatedUnit, double)
RECUR_DEFINE_LAYER(recur::test::MinimalGatedUnit, double)

namespace instances_test {
namespace {

using recur::test::MinimalGatedUnit;

TEST(Instances, OfACellOfOnesOwnEqualReference) {
  recur::Recurrent<MinimalGatedUnit, double> layer(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2});
  recur::test::expect_equals_reference(MinimalGatedUnit{}, layer, 7, 4, 1e-12);
}

}  // namespace
}  // namespace instances_test
