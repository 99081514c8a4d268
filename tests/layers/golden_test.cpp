// SPDX-License-Identifier: MIT
//
// Every output and every gradient of the layers against PyTorch's (tests/golden/export.py).
#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"
#include "support/golden.hpp"

namespace {

using recur::Index;
using recur::test::GoldenCase;

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
    options.nonlinearity = golden.is("nonlinearity", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
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
void expect_state(const GoldenCase& golden, const std::string& before, const std::string& after, const State& state,
                  double tolerance) {
  golden.expect(before + "h" + after, state.h, tolerance);
  if constexpr (requires { state.c; }) {
    golden.expect(before + "c" + after, state.c, tolerance);
  }
}

template <class Layer>
void compare_batched(const GoldenCase& golden, const Layer& layer) {
  using Scalar = typename Layer::Scalar;
  const auto get = [&](const std::string& key) { return golden.tensor3<Scalar>(key); };
  const auto x = get("input");
  const auto initial = state_of<typename Layer::State>("", "_0", get);

  const auto inference = layer.forward(x, initial);
  golden.expect("output", inference.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", inference.state, Tolerance<Scalar>::forward);

  typename Layer::Tape tape;
  const auto training = layer.forward(x, initial, tape);
  golden.expect("output", training.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", training.state, Tolerance<Scalar>::forward);

  const auto d_state = state_of<typename Layer::State>("d_", "_n", get);
  const auto gradients = layer.backward(tape, get("d_output"), d_state);
  golden.expect("grad.input", gradients.input, Tolerance<Scalar>::gradients);
  expect_state(golden, "grad.", "_0", gradients.state, Tolerance<Scalar>::gradients);
  golden.expect_gradients(gradients.parameters, Tolerance<Scalar>::gradients);
}

template <class Layer>
void compare_unbatched(const GoldenCase& golden, const Layer& layer) {
  using Scalar = typename Layer::Scalar;
  using Matrix = recur::RowMatrix<Scalar>;
  using State = typename Layer::template MatrixState<Matrix>;
  const auto get = [&](const std::string& key) { return golden.matrix<Scalar>(key); };
  const Matrix x = get("input");
  const State initial = state_of<State>("", "_0", get);

  const auto inference = layer.forward(x, initial);
  golden.expect("output", inference.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", inference.state, Tolerance<Scalar>::forward);

  typename Layer::Tape tape;
  const auto training = layer.forward(x, initial, tape);
  golden.expect("output", training.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", training.state, Tolerance<Scalar>::forward);

  const auto gradients = layer.backward(tape, get("d_output"), state_of<State>("d_", "_n", get));
  golden.expect("grad.input", gradients.input, Tolerance<Scalar>::gradients);
  expect_state(golden, "grad.", "_0", gradients.state, Tolerance<Scalar>::gradients);
  golden.expect_gradients(gradients.parameters, Tolerance<Scalar>::gradients);
}

template <class Layer>
void compare(const GoldenCase& golden) {
  Layer layer(options_of<Layer>(golden));
  // Strict: also a check that names and shapes are PyTorch's.
  recur::load_state_dict(layer, golden.file(), golden.path("parameter."));
  golden.batched() ? compare_batched(golden, layer) : compare_unbatched(golden, layer);
}

class LayerGolden : public testing::TestWithParam<GoldenCase> {};

TEST_P(LayerGolden, MatchesPyTorch) {
  const GoldenCase& golden = GetParam();
  const bool wide = golden.is("dtype", "float64");
  if (golden.is("module", "LSTM")) {
    wide ? compare<recur::LSTM<double>>(golden) : compare<recur::LSTM<float>>(golden);
  } else if (golden.is("module", "GRU")) {
    wide ? compare<recur::GRU<double>>(golden) : compare<recur::GRU<float>>(golden);
  } else {
    ASSERT_TRUE(golden.is("module", "RNN"));
    wide ? compare<recur::RNN<double>>(golden) : compare<recur::RNN<float>>(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(LSTM, LayerGolden, testing::ValuesIn(recur::test::golden_cases("lstm")), recur::test::golden_name);
INSTANTIATE_TEST_SUITE_P(GRU, LayerGolden, testing::ValuesIn(recur::test::golden_cases("gru")), recur::test::golden_name);
INSTANTIATE_TEST_SUITE_P(RNN, LayerGolden, testing::ValuesIn(recur::test::golden_cases("rnn")), recur::test::golden_name);

}  // namespace
