// SPDX-License-Identifier: MIT
//
// States of any module: with a c where the module has one.
#pragma once

#include "support/compare.hpp"
#include "support/random.hpp"

namespace recur::test {

/// A layer or a cell has a cell state.
template <class AnyModule>
inline constexpr bool has_c = requires(typename AnyModule::State state) {
  state.c;
};

/// h and, where there is one, c.
template <class State, class Array>
State make_state(const Array& h, const Array& c) {
  if constexpr (requires(State state) { state.c; }) {
    return {h, c};
  } else {
    return {h};
  }
}

/// A random state of a layer: (L·D, batch, ·).
template <class Layer>
typename Layer::State random_state(const Layer& layer, Index batch, Generator& generator) {
  using Scalar = typename Layer::Scalar;
  const Index states = layer.num_layers() * layer.directions();
  typename Layer::State state;
  state.h = random_tensor<Scalar>(generator, states, batch, layer.output_size());
  if constexpr (has_c<Layer>) {
    state.c = random_tensor<Scalar>(generator, states, batch, layer.hidden_size());
  }
  return state;
}

/// Not a bit differs.
template <class State>
void expect_same_state(const State& actual, const State& expected) {
  expect_same(actual.h, expected.h, "h");
  if constexpr (requires { actual.c; }) {
    expect_same(actual.c, expected.c, "c");
  }
}

}  // namespace recur::test
