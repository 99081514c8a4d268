// SPDX-License-Identifier: MIT
//
// Layers on packed sequences against PyTorch's (tests/golden/export_packed.py): packing, every
// output, padding, and every gradient on the way back.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/golden_layers.hpp"

namespace packed_golden_test {
namespace {

using recur::Index;
using recur::PackedSequence;
using recur::test::expect_state;
using recur::test::GoldenCase;
using recur::test::state_of;

template <class Scalar>
void expect_packed(const GoldenCase& golden, const std::string& key,
                   const PackedSequence<Scalar>& packed, double tolerance) {
  golden.expect(key, packed.data, tolerance);
  EXPECT_EQ(packed.batch_sizes, golden.numbers("batch_sizes")) << key;
  EXPECT_EQ(packed.sorted_indices, golden.numbers("sorted_indices")) << key;
  EXPECT_EQ(packed.unsorted_indices, golden.numbers("unsorted_indices")) << key;
}

template <class Layer>
void compare(const GoldenCase& golden, const Layer& layer) {
  using Scalar = typename Layer::Scalar;
  using State = typename Layer::State;
  const double tolerance = std::is_same_v<Scalar, double> ? 1e-12 : 1e-5;
  const auto get = [&](const std::string& key) { return golden.tensor3<Scalar>(key); };
  const bool batch_first = golden.flag("batch_first");
  const std::vector<Index> lengths = golden.numbers("lengths");
  const auto longest = static_cast<Index>(golden.numbers("batch_sizes").size());
  const auto initial = state_of<State>("", "_0", get);

  const auto packed = recur::pack_padded_sequence(
      get("padded"), lengths,
      {.batch_first = batch_first, .enforce_sorted = golden.flag("enforce_sorted")});
  expect_packed(golden, "data", packed, 0);

  const auto inference = layer.forward(packed, initial);
  expect_packed(golden, "output", inference.output, tolerance);
  expect_state(golden, "", "_n", inference.state, tolerance);
  typename Layer::Tape tape;
  const auto training = layer.forward(packed, initial, tape);
  expect_packed(golden, "output", training.output, tolerance);
  expect_state(golden, "", "_n", training.state, tolerance);

  const auto padded = recur::pad_packed_sequence(
      training.output, {.batch_first = batch_first, .total_length = longest + 2});
  golden.expect("padded_output", padded.data, tolerance);
  EXPECT_EQ(padded.lengths, lengths);

  const auto d_output =
      recur::pad_packed_sequence_backward(get("d_padded_output"), training.output, batch_first);
  expect_packed(golden, "grad.output", d_output, 0);
  const auto gradients = layer.backward(tape, d_output, state_of<State>("d_", "_n", get));
  expect_packed(golden, "grad.data", gradients.input, tolerance);
  expect_state(golden, "grad.", "_0", gradients.state, tolerance);
  golden.expect_gradients(gradients.parameters, tolerance);
  golden.expect("grad.padded",
                recur::pack_padded_sequence_backward(gradients.input, longest, batch_first),
                tolerance);
}

class PackedGolden : public testing::TestWithParam<GoldenCase> {};

TEST_P(PackedGolden, MatchesPyTorch) {
  const GoldenCase& golden = GetParam();
  recur::test::with_layer(golden, [&](const auto& layer) { compare(golden, layer); });
}

INSTANTIATE_TEST_SUITE_P(Layers, PackedGolden,
                         testing::ValuesIn(recur::test::golden_cases("packed")),
                         recur::test::golden_name);

}  // namespace
}  // namespace packed_golden_test
