// SPDX-License-Identifier: MIT
#include "recur/math/cell.hpp"

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

namespace cell_test {
namespace {

namespace math = recur::math;

static_assert(math::Equations<math::LSTM>);
static_assert(math::Equations<math::GRU>);
static_assert(math::Equations<math::RNN>);

struct NoBackward {
  static constexpr const char* name = "NoBackward";
  static constexpr bool can_project = false;
  static constexpr int gates = 1;
  static constexpr int shared_gates = 1;
  static constexpr bool has_c = false;
  template <class V>
  void forward(math::Slots<NoBackward, V>& /*slots*/, const math::UnitState<V>& /*prev*/,
               math::UnitState<V>& /*next*/) const {}
};
static_assert(!math::Equations<NoBackward>);

TEST(Cell, SlotsAreGatesAndTheHalvesThatStandApart) {
  EXPECT_EQ(math::slot_count<math::LSTM>, 4);
  EXPECT_EQ(math::slot_count<math::GRU>, 4);
  EXPECT_EQ(math::slot_count<math::RNN>, 1);
}

}  // namespace
}  // namespace cell_test
