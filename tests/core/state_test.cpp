// SPDX-License-Identifier: MIT
#include "recur/core/state.hpp"

#include <concepts>

#include <gtest/gtest.h>

namespace state_test {
namespace {

using recur::HiddenState;
using recur::LSTMState;
using recur::Tensor3;
using recur::Tensor3View;
using ConstView = Tensor3View<const float>;

struct WithC {
  static constexpr bool has_c = true;
};
struct WithoutC {
  static constexpr bool has_c = false;
};

TEST(State, OwnersBecomeViews) {
  LSTMState<Tensor3<float>> state{Tensor3<float>(2, 3, 4), Tensor3<float>(2, 3, 5)};
  const LSTMState<ConstView> view = state;
  EXPECT_EQ(view.h.data(), state.h.data());
  EXPECT_EQ(view.c.data(), state.c.data());
  EXPECT_EQ(view.c.shape(), "(2, 3, 5)");

  const HiddenState<Tensor3<float>> hidden{Tensor3<float>(1, 2, 3)};
  const HiddenState<ConstView> hidden_view = hidden;
  EXPECT_EQ(hidden_view.h.data(), hidden.h.data());
}

TEST(State, LeftOutByDefault) {
  const LSTMState<ConstView> none{};
  EXPECT_TRUE(none.h.absent());
  EXPECT_TRUE(none.c.absent());
  const LSTMState<ConstView> of_empty = LSTMState<Tensor3<float>>{};
  EXPECT_TRUE(of_empty.h.absent());
}

TEST(State, TakesStructuredBindings) {
  const auto [h, c] = LSTMState<int>{1, 2};
  EXPECT_EQ(h, 1);
  EXPECT_EQ(c, 2);
}

TEST(State, TypeFollowsTheCell) {
  static_assert(std::same_as<recur::StateOf<WithC, int>, LSTMState<int>>);
  static_assert(std::same_as<recur::StateOf<WithoutC, int>, HiddenState<int>>);
  static_assert(!std::convertible_to<HiddenState<Tensor3<float>>, LSTMState<ConstView>>);
  static_assert(!std::convertible_to<LSTMState<ConstView>, LSTMState<Tensor3<double>>>);
}

}  // namespace
}  // namespace state_test
