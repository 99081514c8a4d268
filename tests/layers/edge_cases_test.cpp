// SPDX-License-Identifier: MIT
//
// Sizes at their limits, parameters that modules share, and input that is not contiguous.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare_with_reference.hpp"
#include "support/golden_layers.hpp"
#include "support/states.hpp"

namespace edge_cases_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_equals_reference;
using recur::test::expect_parameters_close;
using recur::test::expect_same;
using recur::test::expect_same_state;
using recur::test::GoldenCase;
using recur::test::has_c;
using recur::test::random_matrix;
using recur::test::random_state;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;
using RNN = recur::RNN<double>;
namespace math = recur::math;

// ---- no steps, no sequences ----

template <class Layer>
void expect_no_steps_refused() {
  const std::string text = "Expected sequence length to be larger than 0 in RNN";
  for (const bool batch_first : {false, true}) {
    typename Layer::Options options;
    options.input_size = 3;
    options.hidden_size = 5;
    options.num_layers = 2;
    options.bidirectional = true;
    options.batch_first = batch_first;
    const Layer layer(options);
    typename Layer::Tape tape;
    for (const Index batch : {0, 2}) {
      const Tensor3<double> x(batch_first ? batch : 0, batch_first ? 0 : batch, 3);
      EXPECT_EQ(recur::test::error_of([&] { layer.forward(x); }), text);
      EXPECT_EQ(recur::test::error_of([&] { layer.forward(x, {}, tape); }), text);
      EXPECT_EQ(recur::test::error_of(
                    [&] { layer.forward(x, std::vector<Index>(static_cast<std::size_t>(batch))); }),
                text);
    }
    EXPECT_EQ(recur::test::error_of([&] { layer.forward(RowMatrix<double>(0, 3)); }), text);
  }
}

TEST(EdgeCases, NoStepsAreRefused) {
  expect_no_steps_refused<LSTM>();
  expect_no_steps_refused<GRU>();
  expect_no_steps_refused<RNN>();
}

template <class Layer>
void expect_empty_batch_works(const Layer& layer) {
  const bool batch_first = layer.options().batch_first;
  const Index features = layer.directions() * layer.output_size();
  const Index states = layer.num_layers() * layer.directions();
  const Tensor3<double> x(batch_first ? 0 : 7, batch_first ? 7 : 0, layer.input_size());
  recur::Generator generator(1);
  const auto initial = random_state(layer, 0, generator);
  const std::vector<Index> no_lengths;
  for (const bool with_state : {false, true}) {
    for (const bool with_lengths : {false, true}) {
      const auto given = with_state ? initial : typename Layer::State();
      typename Layer::Tape tape;
      const auto out =
          with_lengths ? layer.forward(x, no_lengths, given, tape) : layer.forward(x, given, tape);
      EXPECT_EQ(out.output.shape(), Tensor3<double>(x.size(0), x.size(1), features).shape());
      expect_same_state(out.state, initial);
      const auto gradients = layer.backward(tape, out.output, out.state);
      EXPECT_EQ(gradients.input.shape(), x.shape());
      expect_same_state(gradients.state, initial);
      EXPECT_EQ(gradients.state.h.size(0), states);
      recur::for_each_gradient([](const auto& array) { EXPECT_TRUE(array.isZero(0)); },
                               gradients.parameters);
      const auto inference =
          with_lengths ? layer.forward(x, no_lengths, given) : layer.forward(x, given);
      EXPECT_EQ(inference.output.shape(), out.output.shape());
    }
  }
}

TEST(EdgeCases, EmptyBatch) {
  expect_empty_batch_works(LSTM({.input_size = 3, .hidden_size = 5}));
  expect_empty_batch_works(LSTM({.input_size = 3,
                                 .hidden_size = 5,
                                 .num_layers = 2,
                                 .batch_first = true,
                                 .dropout = 0.5,
                                 .bidirectional = true,
                                 .proj_size = 2}));
  expect_empty_batch_works(
      GRU({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}));
  expect_empty_batch_works(RNN({.input_size = 3, .hidden_size = 5, .batch_first = true}));
}

// ---- one unit, one feature, many steps ----

TEST(EdgeCases, OneUnitAndOneFeature) {
  for (const Index inputs : {1, 3}) {
    for (const Index units : {1, 4}) {
      for (const Index batch : {1, 5}) {
        for (const bool two : {false, true}) {
          const Index layers = two ? 2 : 1;
          LSTM lstm({.input_size = inputs,
                     .hidden_size = units,
                     .num_layers = layers,
                     .bidirectional = two});
          expect_equals_reference(math::LSTM(), lstm, 3, batch, 1e-13);
          GRU gru({.input_size = inputs,
                   .hidden_size = units,
                   .num_layers = layers,
                   .bidirectional = two});
          expect_equals_reference(math::GRU(), gru, 3, batch, 1e-13);
          RNN rnn({.input_size = inputs,
                   .hidden_size = units,
                   .num_layers = layers,
                   .bias = false,
                   .bidirectional = two});
          expect_equals_reference(math::RNN(), rnn, 1, batch, 1e-13);
        }
      }
    }
  }
  LSTM projected({.input_size = 1, .hidden_size = 2, .num_layers = 2, .proj_size = 1});
  expect_equals_reference(math::LSTM(), projected, 3, 2, 1e-13);
}

TEST(EdgeCases, AThousandStepsEqualTheReference) {
  LSTM lstm({.input_size = 3, .hidden_size = 5, .bidirectional = true});
  expect_equals_reference(math::LSTM(), lstm, 1000, 2, 1e-11);
  GRU gru({.input_size = 3, .hidden_size = 5});
  expect_equals_reference(math::GRU(), gru, 1000, 2, 1e-11);
  RNN rnn({.input_size = 3, .hidden_size = 5});
  expect_equals_reference(math::RNN(), rnn, 1000, 2, 1e-11);
}

std::vector<GoldenCase> cases_of(const std::string& kind) {
  std::vector<GoldenCase> cases;
  for (const GoldenCase& golden : recur::test::golden_cases("edge_cases")) {
    if (golden.name().starts_with(kind)) {
      cases.push_back(golden);
    }
  }
  return cases;
}

class LongGolden : public testing::TestWithParam<GoldenCase> {};

TEST_P(LongGolden, AThousandStepsEqualPyTorchs) {
  const GoldenCase& golden = GetParam();
  recur::test::with_layer(golden, [&]<class Layer>(const Layer& layer) {
    if constexpr (std::is_same_v<typename Layer::Scalar, double>) {
      typename Layer::Tape tape;
      golden.expect("output", layer.forward(golden.tensor3<double>("input"), {}, tape).output,
                    1e-12);
      const auto gradients = layer.backward(tape, golden.tensor3<double>("d_output"));
      golden.expect("grad.input", gradients.input, 1e-12);
      golden.expect_gradients(gradients.parameters, 1e-12);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(EdgeCases, LongGolden, testing::ValuesIn(cases_of("long_")),
                         recur::test::golden_name);

// ---- shared parameters ----

class TiedGolden : public testing::TestWithParam<GoldenCase> {};

// Two modules with the same parameters: the caller adds up their gradients, which one backward
// after the other does by itself. One module called twice is the same.
TEST_P(TiedGolden, GradientsAddUpToPyTorchs) {
  const GoldenCase& golden = GetParam();
  recur::test::with_layer(golden, [&]<class Layer>(const Layer& first) {
    if constexpr (std::is_same_v<typename Layer::Scalar, double>) {
      Layer other(first.options());
      other.update_parameters([&](auto& parameters) { parameters = first.parameters(); });
      for (const Layer& second : {other, first}) {
        typename Layer::Tape tape;
        typename Layer::Tape second_tape;
        const auto between = first.forward(golden.tensor3<double>("input"), {}, tape);
        const auto out = second.forward(between.output, {}, second_tape);
        golden.expect("output", out.output, 1e-12);

        typename Layer::Gradients gradients;
        second.backward(second_tape, golden.tensor3<double>("d_output"), {}, gradients);
        const Tensor3<double> d_between = gradients.input;
        first.backward(tape, d_between, {}, gradients);
        golden.expect("grad.input", gradients.input, 1e-12);
        golden.expect_gradients(gradients.parameters, 1e-12);
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(EdgeCases, TiedGolden, testing::ValuesIn(cases_of("tied_")),
                         recur::test::golden_name);

// ---- memory of the user that is not contiguous ----

// Memory in which a view of the tensor's elements stands with gaps of NaN.
struct Spread {
  Tensor3<double> memory;
  recur::Tensor3View<double> view;

  enum Kind { far_rows, columns, transposed, transposed_columns };

  Spread(const Tensor3<double>& tensor, Kind kind) {
    const Index n0 = tensor.size(0);
    const Index n1 = tensor.size(1);
    const Index n2 = tensor.size(2);
    const bool swapped = kind == transposed || kind == transposed_columns;
    memory = swapped ? Tensor3<double>(n1 + 1, n0 + 2, n2 + (kind == transposed ? 0 : 3))
                     : Tensor3<double>(n0 + 1, n1 + 2, n2 + (kind == far_rows ? 0 : 3));
    memory.rows().setConstant(std::nan(""));
    view = swapped ? memory.view().transposed() : memory.view();
    view = view.narrow(0, 1, n0).narrow(1, 1, n1);
    if (view.size(2) > n2) {
      view = view.narrow(2, 2, n2);
    }
    for (Index i = 0; i < n0; ++i) {
      view[i] = tensor[i];
    }
  }
};

template <class Layer>
void expect_strides_make_no_difference(const Layer& layer, const std::vector<Index>& lengths) {
  recur::Generator generator(3);
  const Index B = 3;
  const bool batch_first = layer.options().batch_first;
  const auto tensor = [&](Index features) {
    return random_tensor<double>(generator, batch_first ? B : 5, batch_first ? 5 : B, features);
  };
  const auto x = tensor(layer.input_size());
  const auto d_output = tensor(layer.directions() * layer.output_size());
  const auto initial = random_state(layer, B, generator);
  const auto d_state = random_state(layer, B, generator);

  typename Layer::Tape tape;
  const auto run = [&](auto x_view, const typename Layer::StateView& state, auto d_view,
                       const typename Layer::StateView& d_final) {
    typename Layer::Output inference =
        lengths.empty() ? layer.forward(x_view, state) : layer.forward(x_view, lengths, state);
    typename Layer::Output out = lengths.empty() ? layer.forward(x_view, state, tape)
                                                 : layer.forward(x_view, lengths, state, tape);
    expect_same(inference.output, out.output, "output of inference");
    return std::pair(std::move(out), layer.backward(tape, d_view, d_final));
  };
  const auto [out, gradients] = run(x.view(), initial, d_output.view(), d_state);
  for (const auto kind :
       {Spread::far_rows, Spread::columns, Spread::transposed, Spread::transposed_columns}) {
    SCOPED_TRACE(kind);
    const Spread x_spread(x, kind);
    const Spread d_spread(d_output, kind);
    const Spread h(initial.h, kind);
    const Spread d_h(d_state.h, kind);
    typename Layer::StateView state = initial;
    typename Layer::StateView d_final = d_state;
    state.h = h.view;
    d_final.h = d_h.view;
    const auto [same_out, same_gradients] = run(x_spread.view, state, d_spread.view, d_final);
    expect_same(same_out.output, out.output, "output");
    expect_same_state(same_out.state, out.state);
    expect_same(same_gradients.input, gradients.input, "d_input");
    expect_same_state(same_gradients.state, gradients.state);
    expect_parameters_close(same_gradients.parameters, gradients.parameters, 0);
  }
}

TEST(EdgeCases, StridesMakeNoDifference) {
  for (const bool batch_first : {false, true}) {
    for (const std::vector<Index>& lengths : {std::vector<Index>(), {2, 5, 0}}) {
      SCOPED_TRACE(batch_first);
      expect_strides_make_no_difference(LSTM({.input_size = 3,
                                              .hidden_size = 4,
                                              .num_layers = 2,
                                              .batch_first = batch_first,
                                              .bidirectional = true,
                                              .proj_size = 2}),
                                        lengths);
      expect_strides_make_no_difference(
          GRU({.input_size = 3, .hidden_size = 4, .batch_first = batch_first}), lengths);
      expect_strides_make_no_difference(
          RNN({.input_size = 3, .hidden_size = 4, .batch_first = batch_first}), lengths);
    }
  }
}

// The memory of a (B, T, I) batch, given transposed to a time-major layer, is what a batch_first
// layer reads.
TEST(EdgeCases, TransposedViewIsBatchFirst) {
  recur::Generator generator(4);
  recur::Generator same(4);
  const GRU time_major({.input_size = 3, .hidden_size = 4}, generator);
  const GRU batch_first({.input_size = 3, .hidden_size = 4, .batch_first = true}, same);
  const auto x = random_tensor<double>(generator, 3, 5, 3);
  expect_same(time_major.forward(x.view().transposed()).output,
              Tensor3<double>(batch_first.forward(x).output.view().transposed()), "output");
}

// Blocks of Eigen matrices, of either storage order, as unbatched sequences.
TEST(EdgeCases, BlocksOfMatrices) {
  recur::Generator generator(5);
  const LSTM lstm({.input_size = 3, .hidden_size = 4, .bidirectional = true}, generator);
  const RowMatrix<double> big = random_matrix<double>(generator, 9, 7);
  const RowMatrix<double> x = big.block(2, 1, 5, 3);
  const RowMatrix<double> big_gradient = random_matrix<double>(generator, 6, 11);
  const RowMatrix<double> d_output = big_gradient.block(1, 2, 5, 8);
  LSTM::Tape tape;
  const auto expected = lstm.forward(x, {}, tape);
  const auto d_expected = lstm.backward(tape, d_output);

  const auto out = lstm.forward(big.block(2, 1, 5, 3), {}, tape);
  expect_same(out.output, expected.output, "output");
  const auto gradients = lstm.backward(tape, big_gradient.block(1, 2, 5, 8));
  expect_same(gradients.input, d_expected.input, "d_input");
  expect_parameters_close(gradients.parameters, d_expected.parameters, 0);

  const Eigen::MatrixXd big_columns = big.transpose();
  const auto transposed = lstm.forward(big_columns.block(1, 2, 3, 5), {}, tape);
  expect_same(RowMatrix<double>(transposed.output.transpose()), expected.output, "output");
}

}  // namespace
}  // namespace edge_cases_test
