// SPDX-License-Identifier: MIT
//
// What the comparisons of layers with the golden files share.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/golden.hpp"

namespace recur::test {

// Relative to the largest entry of each tensor.
template <class Scalar>
struct Tolerance;
template <>
struct Tolerance<double> {
  static constexpr double forward = 1e-12;
  static constexpr double gradients = 1e-12;
};
template <>
struct Tolerance<float> {
  static constexpr double forward = 1e-6;
  static constexpr double gradients = 1e-5;
};

template <class Layer>
typename Layer::Options options_of(const GoldenCase& golden) {
  typename Layer::Options options;
  options.input_size = golden.number("input_size");
  options.hidden_size = golden.number("hidden_size");
  options.num_layers = golden.number("num_layers");
  options.bias = golden.flag("bias");
  options.batch_first = golden.flag("batch_first");
  options.bidirectional = golden.flag("bidirectional");
  options.proj_size = golden.number("proj_size");
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        golden.is("nonlinearity", "relu") ? Nonlinearity::relu : Nonlinearity::tanh;
  }
  return options;
}

// The arrays `<before>h<after>` and, for the LSTM, `<before>c<after>` of a case, by `get`.
template <class State, class Get>
State state_of(const std::string& before, const std::string& after, Get get) {
  if constexpr (requires(State state) { state.c; }) {
    return {get(before + "h" + after), get(before + "c" + after)};
  } else {
    return {get(before + "h" + after)};
  }
}

template <class State>
void expect_state(const GoldenCase& golden, const std::string& before, const std::string& after,
                  const State& state, double tolerance) {
  golden.expect(before + "h" + after, state.h, tolerance);
  if constexpr (requires { state.c; }) {
    golden.expect(before + "c" + after, state.c, tolerance);
  }
}

/// Calls f(layer) with the layer of the case, its parameters loaded: strict, which also checks that
/// names and shapes are PyTorch's.
template <class F>
void with_layer(const GoldenCase& golden, F&& f) {
  const auto call = [&]<class Layer>(Layer layer) {
    load_state_dict(layer, golden.file(), golden.path("parameter."));
    f(layer);
  };
  const bool wide = golden.is("dtype", "float64");
  if (golden.is("module", "LSTM")) {
    wide ? call(LSTM<double>(options_of<LSTM<double>>(golden)))
         : call(LSTM<float>(options_of<LSTM<float>>(golden)));
  } else if (golden.is("module", "GRU")) {
    wide ? call(GRU<double>(options_of<GRU<double>>(golden)))
         : call(GRU<float>(options_of<GRU<float>>(golden)));
  } else {
    ASSERT_TRUE(golden.is("module", "RNN"));
    wide ? call(RNN<double>(options_of<RNN<double>>(golden)))
         : call(RNN<float>(options_of<RNN<float>>(golden)));
  }
}

}  // namespace recur::test
