// SPDX-License-Identifier: MIT
#include "recur/layers/layer_buffers.hpp"

#include <gtest/gtest.h>

namespace layer_buffers_test {
namespace {

using recur::layers::DirectionBuffers;

TEST(DirectionBuffers, StateOfASlotAndARow) {
  double h[100] = {};
  double c[100] = {};
  DirectionBuffers<double> buffers{
      .h = h, .h_slot = 20, .h_row = 5, .c = c, .c_slot = 12, .c_row = 3};
  const auto state = buffers.state(2, 3);
  EXPECT_EQ(state.h, h + 55);
  EXPECT_EQ(state.h_stride, 5);
  EXPECT_EQ(state.c, c + 33);
  EXPECT_EQ(state.c_stride, 3);
  buffers.c_slot = 0;  // updated in place
  EXPECT_EQ(buffers.state(2, 3).c, c + 9);
}

TEST(DirectionBuffers, InitialStateInItsSlotOrApart) {
  double h[100] = {};
  double apart[20] = {};
  DirectionBuffers<double> buffers{.h = h, .h_slot = 20, .h_row = 5};
  EXPECT_EQ(buffers.initial_state(2, 3).h, h + 55);
  buffers.initial_h = apart;
  EXPECT_EQ(buffers.initial_state(2, 3).h, apart + 15);
  EXPECT_EQ(buffers.state(2, 3).h, h + 55);
}

TEST(DirectionBuffers, CellsWithoutCHaveNone) {
  double h[100] = {};
  const DirectionBuffers<double> buffers{.h = h, .h_slot = 20, .h_row = 5};
  EXPECT_EQ(buffers.state(2, 3).c, nullptr);
  EXPECT_TRUE(buffers.all_steps);
}

TEST(RowsOf, StepsAndSequencesOfATensor) {
  recur::Tensor3<double> part(2, 3, 4);  // steps 5 and 6, sequences 7 to 9
  const recur::layers::RowsOf<double> rows{part.view(), 5, 7};
  EXPECT_EQ(rows.row(6, 8), &part(1, 1, 0));
  EXPECT_FALSE(rows.absent());
  EXPECT_TRUE(recur::layers::RowsOf<double>().absent());
}

}  // namespace
}  // namespace layer_buffers_test
