// SPDX-License-Identifier: MIT
//
// Every output and every gradient of the layers against PyTorch's (tests/golden/export.py).
#include <span>

#include <gtest/gtest.h>

#include "support/golden_layers.hpp"

namespace golden_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::expect_state;
using recur::test::GoldenCase;
using recur::test::options_of;
using recur::test::state_of;
using recur::test::Tolerance;

template <class Layer>
void compare_batched(const GoldenCase& golden, const Layer& layer) {
  using Scalar = typename Layer::Scalar;
  const auto get = [&](const std::string& key) { return golden.tensor3<Scalar>(key); };
  const auto x = get("input");
  const auto initial = state_of<typename Layer::State>("", "_0", get);

  const auto inference = layer.forward(x, initial);
  golden.expect("output", inference.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", inference.state, Tolerance<Scalar>::forward);

  if (layer.directions() == 1 && !layer.options().batch_first) {  // step by step
    Tensor3<Scalar> output(x.size(0), x.size(1), layer.output_size());
    auto stream = layer.stream(x.size(1));
    stream.set_state(initial);
    const auto row_of = [](auto& tensor, Index t) {
      return std::span(tensor.view().row(t, 0),
                       static_cast<std::size_t>(tensor.size(1) * tensor.size(2)));
    };
    for (Index t = 0; t < x.size(0); ++t) {
      stream.step(row_of(x, t), row_of(output, t));
    }
    golden.expect("output", output, Tolerance<Scalar>::forward);
    expect_state(golden, "", "_n", stream.state(), Tolerance<Scalar>::forward);
  }

  typename Layer::Tape tape;
  const auto training = layer.forward(x, initial, tape);
  golden.expect("output", training.output, Tolerance<Scalar>::forward);
  expect_state(golden, "", "_n", training.state, Tolerance<Scalar>::forward);

  const auto d_state = state_of<typename Layer::State>("d_", "_n", get);
  const auto gradients = layer.backward(tape, get("d_output"), d_state);
  const auto expect_gradients = [&](const typename Layer::Gradients& all) {
    golden.expect("grad.input", all.input, Tolerance<Scalar>::gradients);
    expect_state(golden, "grad.", "_0", all.state, Tolerance<Scalar>::gradients);
    golden.expect_gradients(all.parameters, Tolerance<Scalar>::gradients);
  };
  expect_gradients(gradients);

  if (layer.directions() == 1) {
    typename Layer::SegmentedTape segmented(2);
    const auto in_segments = layer.forward(x, initial, segmented);
    golden.expect("output", in_segments.output, Tolerance<Scalar>::forward);
    expect_state(golden, "", "_n", in_segments.state, Tolerance<Scalar>::forward);
    expect_gradients(layer.backward(segmented, get("d_output"), d_state));
  }
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

class LayerGolden : public testing::TestWithParam<GoldenCase> {};

TEST_P(LayerGolden, MatchesPyTorch) {
  const GoldenCase& golden = GetParam();
  recur::test::with_layer(golden, [&](const auto& layer) {
    golden.batched() ? compare_batched(golden, layer) : compare_unbatched(golden, layer);
  });
}

INSTANTIATE_TEST_SUITE_P(LSTM, LayerGolden, testing::ValuesIn(recur::test::golden_cases("lstm")),
                         recur::test::golden_name);
INSTANTIATE_TEST_SUITE_P(GRU, LayerGolden, testing::ValuesIn(recur::test::golden_cases("gru")),
                         recur::test::golden_name);
INSTANTIATE_TEST_SUITE_P(RNN, LayerGolden, testing::ValuesIn(recur::test::golden_cases("rnn")),
                         recur::test::golden_name);

}  // namespace
}  // namespace golden_test
