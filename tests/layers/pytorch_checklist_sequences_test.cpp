// SPDX-License-Identifier: MIT
//
// PyTorch's own checks (see pytorch_checklist_test.cpp) on sequences of different lengths: the grid
// of options against its numbers, packed batches against loops, packing itself.
#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "support/bytes.hpp"
#include "support/golden_layers.hpp"
#include "support/random.hpp"

namespace pytorch_checklist_sequences_test {
namespace {

using recur::Index;
using recur::PackedSequence;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::error_of;
using recur::test::expect_close;
using recur::test::GoldenCase;
using recur::test::random_tensor;
using Lengths = std::vector<Index>;

// ---- 3. the grid ----

// The goldens of packed sequences by the way of `lengths`: the batch two steps longer than needed,
// and no number in its padding.
template <class Layer>
void expect_golden_with_lengths(const GoldenCase& golden, const Layer& layer) {
  using Scalar = typename Layer::Scalar;
  using State = typename Layer::State;
  const double tolerance = std::is_same_v<Scalar, double> ? 1e-12 : 1e-5;
  const auto get = [&](const std::string& key) { return golden.tensor3<Scalar>(key); };
  const bool batch_first = golden.flag("batch_first");
  const int time = batch_first ? 1 : 0;
  const Lengths lengths = golden.numbers("lengths");
  const auto padded = get("padded");
  const Index steps = padded.size(time);
  Tensor3<Scalar> x = batch_first ? Tensor3<Scalar>(padded.size(0), steps + 2, padded.size(2))
                                  : Tensor3<Scalar>(steps + 2, padded.size(1), padded.size(2));
  x.rows().setConstant(std::numeric_limits<Scalar>::quiet_NaN());
  for (Index b = 0; b < static_cast<Index>(lengths.size()); ++b) {
    const Index length = lengths[static_cast<std::size_t>(b)];
    const auto one = [&](auto view) { return view.narrow(1 - time, b, 1).narrow(time, 0, length); };
    const auto from = one(padded.view());
    const auto to = one(x.view());
    for (Index i = 0; i < from.size(0); ++i) {
      to[i] = from[i];
    }
  }

  typename Layer::Tape tape;
  const auto initial = recur::test::state_of<State>("", "_0", get);
  const auto out = layer.forward(x, lengths, initial, tape);
  golden.expect("padded_output", out.output, tolerance);
  recur::test::expect_state(golden, "", "_n", out.state, tolerance);
  const auto gradients =
      layer.backward(tape, get("d_padded_output"), recur::test::state_of<State>("d_", "_n", get));
  golden.expect("grad.padded", Tensor3<Scalar>(gradients.input.view().narrow(time, 0, steps)),
                tolerance);
  for (const Index t : {steps, steps + 1}) {
    EXPECT_TRUE(Tensor3<Scalar>(gradients.input.view().narrow(time, t, 1)).rows().isZero(0));
  }
  recur::test::expect_state(golden, "grad.", "_0", gradients.state, tolerance);
  golden.expect_gradients(gradients.parameters, tolerance);
}

TEST(PyTorchChecklist, P03_GridOfOptionsWithVariableLengths) {
  for (const GoldenCase& golden : recur::test::golden_cases("packed")) {
    SCOPED_TRACE(golden.name());
    recur::test::with_layer(golden,
                            [&](const auto& layer) { expect_golden_with_lengths(golden, layer); });
  }
}

// One case of each module without lengths; golden_test.cpp has them all.
TEST(PyTorchChecklist, P03_GridOfOptions) {
  int compared = 0;
  for (const char* file : {"lstm", "gru", "rnn"}) {
    for (const GoldenCase& golden : recur::test::golden_cases(file)) {
      if (!golden.batched() || golden.number("num_layers") < 2 || !golden.flag("bidirectional") ||
          !golden.has("d_output") || !golden.has("d_h_n")) {
        continue;
      }
      SCOPED_TRACE(golden.name());
      ++compared;
      recur::test::with_layer(golden, [&]<class Layer>(const Layer& layer) {
        using Scalar = typename Layer::Scalar;
        using State = typename Layer::State;
        const auto get = [&](const std::string& key) { return golden.tensor3<Scalar>(key); };
        typename Layer::Tape tape;
        const auto out =
            layer.forward(get("input"), recur::test::state_of<State>("", "_0", get), tape);
        const auto gradients =
            layer.backward(tape, get("d_output"), recur::test::state_of<State>("d_", "_n", get));
        using Tolerance = recur::test::Tolerance<Scalar>;
        golden.expect("output", out.output, Tolerance::forward);
        recur::test::expect_state(golden, "", "_n", out.state, Tolerance::forward);
        golden.expect("grad.input", gradients.input, Tolerance::gradients);
        recur::test::expect_state(golden, "grad.", "_0", gradients.state, Tolerance::gradients);
        golden.expect_gradients(gradients.parameters, Tolerance::gradients);
      });
    }
  }
  EXPECT_GE(compared, 5);
}

// Dropout of nothing is none; dropout of everything is a second layer on zeros.
template <class Layer>
void expect_dropout_of_nothing_and_everything(const Lengths& lengths) {
  recur::Generator generator(1);
  typename Layer::Options options;
  options.input_size = 3;
  options.hidden_size = 5;
  options.num_layers = 2;
  options.bidirectional = true;
  Layer layer(options, generator);
  const auto x = random_tensor<double>(generator, 7, 6, 3);
  typename Layer::Tape tape;
  layer.set_dropout(0);
  EXPECT_EQ(bytes_of(layer.forward(x, lengths, {}, tape)), bytes_of(layer.forward(x, lengths)));

  layer.set_dropout(1);
  options.num_layers = 1;
  options.input_size = 10;
  Layer second(options);
  second.update_parameters([&](typename Layer::Parameters& p) {
    p.cell(0, 0) = layer.parameters().cell(1, 0);
    p.cell(0, 1) = layer.parameters().cell(1, 1);
  });
  const auto out = layer.forward(x, lengths, {}, tape);
  EXPECT_EQ(bytes_of(out.output),
            bytes_of(second.forward(Tensor3<double>(7, 6, 10), lengths).output));
  EXPECT_TRUE(layer.backward(tape, out.output).input.rows().isZero(0));
}

TEST(PyTorchChecklist, P03_DropoutOfNothingAndOfEverything) {
  for (const Lengths& lengths : {Lengths{7, 5, 5, 2, 1, 1}, Lengths{7, 7, 7, 7, 7, 7}}) {
    expect_dropout_of_nothing_and_everything<recur::LSTM<double>>(lengths);
    expect_dropout_of_nothing_and_everything<recur::GRU<double>>(lengths);
    expect_dropout_of_nothing_and_everything<recur::RNN<double>>(lengths);
  }
}

// ---- 6. packed batches against a loop over the sequences ----

template <class Layer>
typename Layer::State state_of_sequence(const typename Layer::State& state, Index b) {
  typename Layer::State one;
  if (state.h.size() > 0) {
    one.h = Tensor3<float>(state.h.view().narrow(1, b, 1));
    if constexpr (requires { state.c; }) {
      one.c = Tensor3<float>(state.c.view().narrow(1, b, 1));
    }
  }
  return one;
}

template <class Layer>
void expect_equals_loop(const Layer& layer, const Lengths& lengths, bool with_state) {
  using State = typename Layer::State;
  const auto B = static_cast<Index>(lengths.size());
  recur::Generator generator(4);
  const auto random_state = [&] {
    State state;
    state.h = random_tensor<float>(generator, 4, B, layer.output_size());
    if constexpr (requires { state.c; }) {
      state.c = random_tensor<float>(generator, 4, B, layer.hidden_size());
    }
    return state;
  };
  std::vector<RowMatrix<float>> x;
  std::vector<RowMatrix<float>> d_output;
  for (const Index length : lengths) {
    x.push_back(recur::test::random_matrix<float>(generator, length, 3));
    d_output.push_back(
        recur::test::random_matrix<float>(generator, length, 2 * layer.output_size()));
  }
  const State initial = with_state ? random_state() : State();
  const State d_state = random_state();
  const bool sorted = std::is_sorted(lengths.rbegin(), lengths.rend());
  typename Layer::Tape tape;
  const auto out = layer.forward(recur::pack_sequence(x, sorted), initial, tape);
  const auto gradients = layer.backward(tape, recur::pack_sequence(d_output, sorted), d_state);
  const auto outputs = recur::unpack_sequence(out.output);
  const auto d_inputs = recur::unpack_sequence(gradients.input);

  auto d_parameters = recur::zero_gradients(layer);
  for (Index b = 0; b < B; ++b) {
    SCOPED_TRACE(b);
    const auto k = static_cast<std::size_t>(b);
    const auto view = [](const RowMatrix<float>& m) {
      return recur::Tensor3View<const float>(m.data(), m.rows(), 1, m.cols());
    };
    typename Layer::Tape own;
    const auto one = layer.forward(view(x[k]), state_of_sequence<Layer>(initial, b), own);
    typename Layer::Gradients d_one;
    d_one.parameters = d_parameters;
    layer.backward(own, view(d_output[k]), state_of_sequence<Layer>(d_state, b), d_one);
    d_parameters = d_one.parameters;
    const auto state = state_of_sequence<Layer>(out.state, b);
    const auto d_initial = state_of_sequence<Layer>(gradients.state, b);
    expect_close(outputs[k], RowMatrix<float>(one.output.rows()), 1e-5, "output");
    expect_close(d_inputs[k], RowMatrix<float>(d_one.input.rows()), 2e-4, "d_input");
    expect_close(state.h, one.state.h, 1e-5, "h_n");
    expect_close(d_initial.h, d_one.state.h, 2e-4, "d_h_0");
    if constexpr (requires { state.c; }) {
      expect_close(state.c, one.state.c, 1e-5, "c_n");
      expect_close(d_initial.c, d_one.state.c, 2e-4, "d_c_0");
    }
  }
  recur::test::expect_parameters_close(gradients.parameters, d_parameters, 2e-4);
}

TEST(PyTorchChecklist, P06_VariableLengthsEqualALoopOverSingleSequences) {
  for (const Lengths& lengths :
       {Lengths{5}, Lengths{10, 10, 6, 2, 2, 1, 1}, Lengths{2, 1, 3, 2, 10, 5, 3}}) {
    for (const bool with_state : {false, true}) {
      SCOPED_TRACE(lengths.size());
      for (const Index proj_size : {0, 2}) {
        expect_equals_loop(recur::LSTM<float>({.input_size = 3,
                                               .hidden_size = 4,
                                               .num_layers = 2,
                                               .bidirectional = true,
                                               .proj_size = proj_size}),
                           lengths, with_state);
      }
      expect_equals_loop(
          recur::GRU<float>(
              {.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true}),
          lengths, with_state);
      expect_equals_loop(
          recur::RNN<float>(
              {.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true}),
          lengths, with_state);
    }
  }
}

// ---- 9. packing ----

RowMatrix<float> column(const std::vector<float>& values) {
  return Eigen::Map<const RowMatrix<float>>(values.data(), static_cast<Index>(values.size()), 1);
}

TEST(PyTorchChecklist, P09_PackedDataBatchSizesAndIndices) {
  const auto a = column({1, 2, 3});
  const auto b = column({4, 5});
  const auto c = column({6});
  const auto sorted = recur::pack_sequence<RowMatrix<float>>({a, b, c});
  EXPECT_EQ(sorted.data, column({1, 4, 6, 2, 5, 3}));
  EXPECT_EQ(sorted.batch_sizes, (std::vector<Index>{3, 2, 1}));
  EXPECT_TRUE(sorted.sorted_indices.empty());
  const auto unsorted = recur::pack_sequence<RowMatrix<float>>({c, a, b}, false);
  EXPECT_EQ(unsorted.data, sorted.data);
  EXPECT_EQ(unsorted.batch_sizes, sorted.batch_sizes);
  EXPECT_EQ(unsorted.sorted_indices, (std::vector<Index>{1, 2, 0}));
  EXPECT_EQ(unsorted.unsorted_indices, (std::vector<Index>{2, 0, 1}));
}

TEST(PyTorchChecklist, P09_RoundTripsAndTotalLength) {
  recur::Generator generator(1);
  for (const bool batch_first : {false, true}) {
    for (const bool enforce_sorted : {false, true}) {
      const Lengths lengths = enforce_sorted ? Lengths{6, 4, 4, 1} : Lengths{4, 1, 6, 4};
      auto x = random_tensor<float>(generator, 6, 4, 3);
      for (Index b = 0; b < 4; ++b) {  // zeros at the padding, as they come back
        for (Index t = lengths[static_cast<std::size_t>(b)]; t < 6; ++t) {
          x[t].row(b).setZero();
        }
      }
      if (batch_first) {
        x = Tensor3<float>(x.view().transposed());
      }
      const auto packed = recur::pack_padded_sequence(
          x, lengths, {.batch_first = batch_first, .enforce_sorted = enforce_sorted});
      const auto padded = recur::pad_packed_sequence(packed, {.batch_first = batch_first});
      EXPECT_EQ(bytes_of(padded.data), bytes_of(x));
      EXPECT_EQ(padded.lengths, lengths);

      const auto longer =
          recur::pad_packed_sequence(packed, {.batch_first = batch_first, .total_length = 9});
      const auto time = batch_first ? longer.data.view().transposed() : longer.data.view();
      EXPECT_EQ(time.size(0), 9);
      EXPECT_TRUE(Tensor3<float>(time.narrow(0, 6, 3)).rows().isZero(0));
      EXPECT_EQ(error_of([&] {
                  recur::pad_packed_sequence(packed,
                                             {.batch_first = batch_first, .total_length = 5});
                }),
                "Expected total_length to be at least the length of the longest sequence in input, "
                "but got total_length=5 and max sequence length being 6");
    }
  }
}

TEST(PyTorchChecklist, P09_WrongOrderEmptyInputAndLengthsRaise) {
  const Tensor3<float> x(4, 2, 3);
  const auto error = [&](const Lengths& lengths, bool enforce_sorted) {
    return error_of(
        [&] { recur::pack_padded_sequence(x, lengths, {.enforce_sorted = enforce_sorted}); });
  };
  EXPECT_EQ(error({2, 4}, true),
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability.");
  const std::string positive =
      "Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
      "<= 0";
  EXPECT_EQ(error({4, 0}, true), positive);
  EXPECT_EQ(error({4, -1}, true), positive);
  EXPECT_EQ(error({0, 4}, false), positive);
  EXPECT_EQ(error({4}, true),
            "Expected `len(lengths)` to be equal to batch_size, but got 1 (batch_size=2)");
  EXPECT_EQ(error_of([] { recur::pack_padded_sequence(Tensor3<float>(0, 0, 3), Lengths{}); }),
            "Cannot pack empty tensors.");
}

}  // namespace
}  // namespace pytorch_checklist_sequences_test
