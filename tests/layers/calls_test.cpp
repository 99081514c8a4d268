// SPDX-License-Identifier: MIT
//
// Calls of layers on packed sequences: against calls with lengths, and refused where they do not
// fit. Against PyTorch: packed_golden_test.cpp. Calls on tensors and matrices: stack_test.cpp.
#include "recur/layers/calls.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/allocations.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/states.hpp"

namespace calls_test {
namespace {

using recur::Index;
using recur::PackedSequence;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_parameters_close;
using recur::test::expect_same;
using recur::test::expect_same_state;
using recur::test::has_c;
using recur::test::random_state;
using recur::test::random_tensor;
using Indices = std::vector<Index>;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;

// Packing changes where the rows stand, and not one bit of what comes out. The steps in which all
// sequences run are blocked differently: parameter gradients are equal up to rounding.
template <class Layer>
void expect_equals_lengths(const Layer& layer, const Indices& lengths) {
  recur::Generator generator(1);
  const Index B = static_cast<Index>(lengths.size());
  const Index T = *std::max_element(lengths.begin(), lengths.end());
  const bool sorted = std::is_sorted(lengths.rbegin(), lengths.rend());
  const auto x = random_tensor<double>(generator, T, B, layer.input_size());
  const auto d_output =
      random_tensor<double>(generator, T, B, layer.directions() * layer.output_size());
  const auto initial = random_state(layer, B, generator);
  const auto d_state = random_state(layer, B, generator);

  typename Layer::Tape tape;
  const auto expected = layer.forward(x, lengths, initial, tape);
  const auto d_expected = layer.backward(tape, d_output, d_state);

  const auto packed = recur::pack_padded_sequence(x, lengths, {.enforce_sorted = sorted});
  typename Layer::Tape packed_tape;
  const auto out = layer.forward(packed, initial, packed_tape);
  const auto d_packed = recur::pad_packed_sequence_backward(d_output, out.output);
  const auto gradients = layer.backward(packed_tape, d_packed, d_state);

  EXPECT_EQ(out.output.batch_sizes, packed.batch_sizes);
  EXPECT_EQ(out.output.sorted_indices, packed.sorted_indices);
  EXPECT_EQ(out.output.unsorted_indices, packed.unsorted_indices);
  EXPECT_EQ(gradients.input.batch_sizes, packed.batch_sizes);
  EXPECT_EQ(gradients.input.sorted_indices, packed.sorted_indices);
  EXPECT_EQ(gradients.input.unsorted_indices, packed.unsorted_indices);
  expect_same(recur::pad_packed_sequence(out.output).data, expected.output, "output");
  expect_same_state(out.state, expected.state);
  expect_same(recur::pad_packed_sequence(gradients.input).data, d_expected.input, "d_input");
  expect_same_state(gradients.state, d_expected.state);
  expect_parameters_close(gradients.parameters, d_expected.parameters, 0);

  const auto inference = layer.forward(packed, initial);
  expect_same(inference.output.data, out.output.data, "output of inference");
  expect_same_state(inference.state, out.state);
  const auto without_state = layer.forward(packed);
  expect_same(recur::pad_packed_sequence(without_state.output).data,
              layer.forward(x, lengths).output, "output without a state");

  // d_output left out is zeros.
  const auto by_state = layer.backward(packed_tape, PackedSequence<double>(), d_state);
  const Tensor3<double> zeros(T, B, d_output.size(2));
  const auto d_zeros =
      layer.backward(packed_tape, recur::pad_packed_sequence_backward(zeros, out.output), d_state);
  expect_same(by_state.input.data, d_zeros.input.data, "d_input");
  EXPECT_EQ(by_state.input.sorted_indices, packed.sorted_indices);
  expect_parameters_close(by_state.parameters, d_zeros.parameters, 0);
}

TEST(PackedCalls, EqualCallsWithLengths) {
  for (const Indices& lengths :
       {Indices{5}, Indices{10, 10, 6, 2, 2, 1, 1}, Indices{2, 1, 3, 2, 10, 5, 3}, Indices{4, 4}}) {
    expect_equals_lengths(LSTM({.input_size = 3, .hidden_size = 5}), lengths);
    expect_equals_lengths(LSTM({.input_size = 3,
                                .hidden_size = 5,
                                .num_layers = 2,
                                .bidirectional = true,
                                .proj_size = 2}),
                          lengths);
    expect_equals_lengths(
        GRU({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}), lengths);
    expect_equals_lengths(recur::RNN<double>({.input_size = 3, .hidden_size = 5}), lengths);
  }
}

// What a user of PyTorch moves over: any valid order of the sequences, not only the stable one, and
// unsorted_indices left to be derived.
TEST(PackedCalls, AnyValidOrder) {
  recur::Generator generator(2);
  const GRU gru({.input_size = 3, .hidden_size = 5, .bidirectional = true}, generator);
  const Indices lengths{4, 4, 2};
  const auto x = random_tensor<double>(generator, 4, 3, 3);
  const auto expected = gru.forward(x, lengths);
  PackedSequence<double> packed{{}, {3, 3, 2, 2}, {1, 0, 2}, {}};
  packed.data.resize(10, 3);
  Index row = 0;
  for (Index t = 0; t < 4; ++t) {
    for (Index k = 0; k < packed.batch_sizes[static_cast<std::size_t>(t)]; ++k) {
      packed.data.row(row++) = x[t].row(packed.sorted_indices[static_cast<std::size_t>(k)]);
    }
  }
  const auto out = gru.forward(packed);
  EXPECT_EQ(out.output.unsorted_indices, (Indices{1, 0, 2}));
  expect_same(recur::pad_packed_sequence(out.output).data, expected.output, "output");
  expect_same(out.state.h, expected.state.h, "h_n");
}

TEST(PackedCalls, DropoutCoversTheElementsThereAre) {
  recur::Generator generator(3);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.5}, generator);
  const auto x = random_tensor<double>(generator, 6, 3, 3);
  const Indices lengths{2, 6, 3};
  LSTM::Tape tape;
  LSTM::Tape packed_tape;
  tape.generator = packed_tape.generator = recur::Generator(9);
  const auto expected = lstm.forward(x, lengths, {}, tape);
  const auto out = lstm.forward(recur::pack_padded_sequence(x, lengths, {.enforce_sorted = false}),
                                {}, packed_tape);
  expect_same(recur::pad_packed_sequence(out.output).data, expected.output, "output");
}

TEST(PackedCalls, ReusedMemoryGivesTheSameAndAllocatesNothing) {
  recur::Generator generator(4);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true},
                  generator);
  const auto x = recur::pack_padded_sequence(random_tensor<double>(generator, 6, 3, 3),
                                             Indices{2, 6, 3}, {.enforce_sorted = false});
  const auto other = random_tensor<double>(generator, 7, 4, 3);
  LSTM::Tape tape;
  const auto expected = lstm.forward(x, {}, tape);
  const auto d_expected = lstm.backward(tape, expected.output, expected.state);

  LSTM::PackedOutput out;
  LSTM::PackedOutput inference;
  LSTM::PackedGradients gradients;
  LSTM::Workspace work;
  lstm.forward(other, {}, tape);  // of another kind and size
  lstm.forward(x, {}, out, tape);
  lstm.backward(tape, out.output, out.state, gradients);
  lstm.forward(x, {}, inference, work);
  const auto again = [&] {
    recur::set_zero(gradients.parameters);
    lstm.forward(x, {}, out, tape);
    lstm.backward(tape, out.output, out.state, gradients);
    lstm.forward(x, {}, inference, work);
  };
  again();
  if (recur::test::can_count_allocations()) {
    EXPECT_EQ(recur::test::allocations_of(again), 0U);
  }
  expect_same(out.output.data, expected.output.data, "output");
  expect_same(inference.output.data, expected.output.data, "output");
  expect_same(gradients.input.data, d_expected.input.data, "d_input");
  expect_parameters_close(gradients.parameters, d_expected.parameters, 0);
  lstm.backward(tape, out.output, out.state, gradients);  // parameter gradients add up
  expect_same(gradients.input.data, d_expected.input.data, "d_input");
  recur::for_each_gradient([](auto& array) { array *= 0.5; }, gradients.parameters);
  expect_parameters_close(gradients.parameters, d_expected.parameters, 1e-15);
}

// accumulate = false: whatever stood in the gradients, they are those of the call; also where a
// chunk, a layer or the whole batch has no step.
TEST(Calls, GradientsAreOverwrittenWhereTheySaySo) {
  recur::Generator generator(6);
  for (const bool bidirectional : {false, true}) {
    for (const Index steps : {0, 1, 70}) {
      const LSTM lstm({.input_size = 3,
                       .hidden_size = 5,
                       .num_layers = 2,
                       .bidirectional = bidirectional,
                       .proj_size = 2},
                      generator);
      const GRU gru({.input_size = 3, .hidden_size = 5, .bidirectional = bidirectional}, generator);
      const auto check = [&](const auto& layer) {
        using Layer = std::decay_t<decltype(layer)>;
        const auto x = random_tensor<double>(generator, std::max<Index>(steps, 1), 2, 3);
        typename Layer::Tape tape;
        const auto out = layer.forward(x, Indices{steps, steps / 2}, {}, tape);
        const auto expected = layer.backward(tape, out.output, out.state);
        typename Layer::Gradients gradients = expected;
        recur::for_each_gradient(
            [](auto& array) { array.setConstant(std::numeric_limits<double>::quiet_NaN()); },
            gradients.parameters);
        gradients.accumulate = false;
        for (int pass = 0; pass < 2; ++pass) {
          layer.backward(tape, out.output, out.state, gradients);
          expect_parameters_close(gradients.parameters, expected.parameters, 0);
          expect_same(gradients.input, expected.input, "d_input");
        }
      };
      check(lstm);
      check(gru);
    }
  }
}

TEST(Calls, GradientByTheInputMayBeLeftOut) {
  recur::Generator generator(8);
  for (const bool bidirectional : {false, true}) {
    const LSTM lstm({.input_size = 3,
                     .hidden_size = 5,
                     .num_layers = 2,
                     .batch_first = bidirectional,
                     .bidirectional = bidirectional},
                    generator);
    LSTM::Tape tape;
    // forward, and backward with and without the gradient by the input
    const auto check = [&](const auto& x, auto gradients, const auto& nothing,
                           const auto&... lengths) {
      const auto out = lstm.forward(x, lengths..., {}, tape);
      lstm.backward(tape, out.output, out.state, gradients);
      auto without = gradients;
      without.input = nothing;
      without.accumulate = false;
      without.input_requires_grad = false;
      lstm.backward(tape, out.output, out.state, without);
      expect_parameters_close(without.parameters, gradients.parameters, 0);
      return without.input;
    };
    const auto x = random_tensor<double>(generator, 4, 4, 3);
    EXPECT_EQ(check(x, LSTM::Gradients(), Tensor3<double>(1, 2, 3)).shape(), "(1, 2, 3)");
    EXPECT_EQ(check(x, LSTM::Gradients(), Tensor3<double>(1, 2, 3), Indices{4, 1, 2, 3}).shape(),
              "(1, 2, 3)");
    const auto packed =
        recur::pack_padded_sequence(x, Indices{4, 1, 2, 3}, {.enforce_sorted = false});
    EXPECT_TRUE(check(packed, LSTM::PackedGradients(), PackedSequence<double>()).data.size() == 0);
  }
}

// All others are the same, bit by bit, however the steps are computed: few units and many, several
// chunks, lengths, packed, a projection, a cell of two products, threads.
TEST(Calls, GradientByTheStateMayBeLeftOut) {
  recur::Generator generator(9);
  const auto check_call = [&](const auto& layer, const auto& x, auto gradients, auto nothing,
                              const auto&... lengths) {
    for (const int threads : {1, 2}) {
      recur::set_num_threads(threads);
      typename std::decay_t<decltype(layer)>::Tape tape;
      const auto out = layer.forward(x, lengths..., {}, tape);
      gradients.parameters = {};
      layer.backward(tape, out.output, {}, gradients);
      auto without = gradients;
      without.state = nothing;
      without.accumulate = false;
      without.state_requires_grad = false;
      layer.backward(tape, out.output, {}, without);
      expect_parameters_close(without.parameters, gradients.parameters, 0);
      if constexpr (requires { without.input.data; }) {
        EXPECT_TRUE(without.input.data == gradients.input.data);
      } else {
        expect_same(without.input, gradients.input, "d_input");
      }
      EXPECT_EQ(without.state.h.size(), nothing.h.size());
      recur::set_num_threads(1);
    }
  };
  const auto check = [&](const auto& layer) {
    using Layer = std::decay_t<decltype(layer)>;
    SCOPED_TRACE(testing::Message()
                 << layer.hidden_size() << " units, " << layer.directions() << " directions");
    decltype(typename Layer::Gradients().state) nothing;
    nothing.h = Tensor3<double>(1, 2, 3);
    for (const Index steps : {1, 2, 60}) {
      const auto x = random_tensor<double>(generator, steps, 4, layer.input_size());
      check_call(layer, x, typename Layer::Gradients(), nothing);
      const Indices lengths{steps, 1, (steps + 1) / 2, steps};
      check_call(layer, x, typename Layer::Gradients(), nothing, lengths);
      const auto packed = recur::pack_padded_sequence(x, lengths, {.enforce_sorted = false});
      check_call(layer, packed, typename Layer::PackedGradients(), nothing);
    }
  };
  for (const bool bidirectional : {false, true}) {
    for (const Index hidden : {5, 8, 70}) {
      check(LSTM(
          {.input_size = 3, .hidden_size = hidden, .num_layers = 2, .bidirectional = bidirectional},
          generator));
      check(
          GRU({.input_size = 3, .hidden_size = hidden, .bidirectional = bidirectional}, generator));
    }
    check(recur::GRUResetBefore<double>(
        {.input_size = 3, .hidden_size = 6, .bidirectional = bidirectional}, generator));
    check(LSTM({.input_size = 3, .hidden_size = 6, .bidirectional = bidirectional, .proj_size = 4},
               generator));
  }
}

// backward reads the caller's d_output and writes the caller's d_input without a copy between; they
// may be the same memory.
TEST(Calls, GradientByTheInputMayReplaceThatByTheOutput) {
  recur::Generator generator(7);
  for (const bool bidirectional : {false, true}) {
    const GRU gru(
        {.input_size = 6, .hidden_size = bidirectional ? 3 : 6, .bidirectional = bidirectional},
        generator);
    const auto x = random_tensor<double>(generator, 300, 4, 6);
    const auto d_output = random_tensor<double>(generator, 300, 4, 6);
    GRU::Tape tape;
    gru.forward(x, {}, tape);
    const auto expected = gru.backward(tape, d_output);
    GRU::Gradients gradients;
    gradients.input = d_output;
    gru.backward(tape, gradients.input, {}, gradients);
    expect_same(gradients.input, expected.input, "d_input");
    expect_parameters_close(gradients.parameters, expected.parameters, 0);
  }
}

TEST(PackedCalls, Errors) {
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const PackedSequence<double> x{RowMatrix<double>::Zero(6, 3), {3, 2, 1}, {}, {}};
  const auto error = [&](auto&& spoil) {
    PackedSequence<double> bad = x;
    spoil(bad);
    LSTM::Tape tape;
    const std::string text = recur::test::error_of([&] { lstm.forward(bad); });
    EXPECT_EQ(recur::test::error_of([&] { lstm.forward(bad, {}, tape); }), text);
    EXPECT_TRUE(tape.layers.empty());
    return text;
  };
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {2, 3, 1};
            }),
            "PackedSequence: batch_sizes[1]: expected at most the 2 before it, got 3");
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {3, 3, 1};
            }),
            "PackedSequence: data: expected 7 rows, the sum of batch_sizes, got 6");
  EXPECT_EQ(error([](auto& p) {
              p.sorted_indices = {0, 1, 3};
            }),
            "sorted_indices[2]: expected a permutation of 0 to 2, got 3");
  EXPECT_EQ(error([](auto& p) { p = {}; }),
            "PackedSequence: batch_sizes: expected at least one, got none");
  EXPECT_EQ(error([](auto& p) { p.data.resize(6, 4); }),
            "input.size(-1) must be equal to input_size. Expected 3, got 4");
  const Tensor3<double> good(2, 3, 5);
  const Tensor3<double> wrong(2, 2, 5);
  EXPECT_ERROR(lstm.forward(x, {wrong, good}), "Expected hidden[0] size (2, 3, 5), got [2, 2, 5]");
  EXPECT_ERROR(lstm.forward(x, {good, wrong}), "Expected hidden[1] size (2, 3, 5), got [2, 2, 5]");
}

TEST(PackedCalls, ErrorsOfBackwardBeforeAnythingIsWritten) {
  recur::Generator generator(5);
  const LSTM lstm({.input_size = 3, .hidden_size = 5});
  const auto padded = random_tensor<double>(generator, 3, 3, 3);
  const auto x = recur::pack_padded_sequence(padded, Indices{2, 1, 3}, {.enforce_sorted = false});
  LSTM::Tape tape;
  const auto out = lstm.forward(x, {}, tape);
  LSTM::PackedGradients gradients;
  lstm.backward(tape, out.output, {}, gradients);
  const LSTM::PackedGradients before = gradients;
  const auto error = [&](auto&& spoil) {
    PackedSequence<double> bad = out.output;
    spoil(bad);
    return recur::test::error_of([&] { lstm.backward(tape, bad, {}, gradients); });
  };
  const std::string structure =
      "LSTM::backward: d_output: expected the batch_sizes and sorted_indices of the output";
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {2, 2, 2};
              p.sorted_indices = p.unsorted_indices = {};
            }),
            structure);
  EXPECT_EQ(error([](auto& p) { p.sorted_indices = p.unsorted_indices = {}; }), structure);
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {1, 3, 2};
            }),
            "PackedSequence: batch_sizes[1]: expected at most the 1 before it, got 3");
  EXPECT_EQ(error([](auto& p) { p.data.resize(6, 4); }),
            "LSTM::backward: d_output: expected 5 features, got 4");
  EXPECT_ERROR(lstm.backward(tape, out.output, {Tensor3<double>(1, 2, 5), {}}, gradients),
               "Expected d_state.h size (1, 3, 5), got [1, 2, 5]");
  expect_same(gradients.input.data, before.input.data, "d_input");
  expect_parameters_close(gradients.parameters, before.parameters, 0);

  // The kind of the gradient must be that of the call.
  EXPECT_ERROR(lstm.backward(tape, {}), "the tape is of a PackedSequence, and so must d_output be");
  EXPECT_ERROR(lstm.backward(tape, Tensor3<double>(3, 3, 5)), "PackedSequence");
  EXPECT_ERROR(lstm.backward(tape, RowMatrix<double>(3, 5)), "the tape holds a batch of 3");
  lstm.forward(padded, {}, tape);
  EXPECT_ERROR(lstm.backward(tape, out.output), "the tape is of a padded batch");
}

}  // namespace
}  // namespace calls_test
