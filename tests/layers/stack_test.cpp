// SPDX-License-Identifier: MIT
#include "recur/layers/stack.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/allocations.hpp"
#include "support/compare_with_reference.hpp"
#include "support/gradient_check.hpp"
#include "support/minimal_gated_unit.hpp"
#include "support/resized_parameters.hpp"

namespace stack_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_close;
using recur::test::expect_parameters_close;
using recur::test::expect_same;
using recur::test::random_matrix;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;
using RNN = recur::RNN<double>;

LSTM make_lstm(const LSTM::Options& options) {
  recur::Generator generator(1);
  return LSTM(options, generator);
}

// ---- shapes ----

TEST(Stack, ShapesOfOutputsAndStates) {
  const LSTM lstm =
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true});
  const auto [output, state] = lstm.forward(Tensor3<double>(7, 4, 3));
  EXPECT_EQ(output.shape(), "(7, 4, 10)");
  EXPECT_EQ(state.h.shape(), "(4, 4, 5)");
  EXPECT_EQ(state.c.shape(), "(4, 4, 5)");
}

TEST(Stack, ShapesWithBatchFirst) {
  const GRU gru({.input_size = 3, .hidden_size = 5, .num_layers = 2, .batch_first = true});
  GRU::Tape tape;
  const auto [output, state] = gru.forward(Tensor3<double>(4, 7, 3), {}, tape);
  EXPECT_EQ(output.shape(), "(4, 7, 5)");
  EXPECT_EQ(state.h.shape(), "(2, 4, 5)");
  const auto gradients = gru.backward(tape, output, state);
  EXPECT_EQ(gradients.input.shape(), "(4, 7, 3)");
  EXPECT_EQ(gradients.state.h.shape(), "(2, 4, 5)");
}

TEST(Stack, ShapesWithProjection) {
  const LSTM lstm = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  LSTM::Tape tape;
  const auto [output, state] = lstm.forward(Tensor3<double>(7, 4, 3), {}, tape);
  EXPECT_EQ(output.shape(), "(7, 4, 4)");
  EXPECT_EQ(state.h.shape(), "(4, 4, 2)");
  EXPECT_EQ(state.c.shape(), "(4, 4, 5)");
  const auto gradients = lstm.backward(tape, output, state);
  EXPECT_EQ(gradients.input.shape(), "(7, 4, 3)");
  EXPECT_EQ(gradients.state.h.shape(), "(4, 4, 2)");
  EXPECT_EQ(gradients.state.c.shape(), "(4, 4, 5)");
  EXPECT_EQ(gradients.parameters.cell(1, 1).weight_ih.cols(), 4);
  EXPECT_EQ(gradients.parameters.cell(1, 1).weight_hr.rows(), 2);
}

TEST(Stack, ShapesOfUnbatchedMatrices) {
  const LSTM lstm = make_lstm({.input_size = 3,
                               .hidden_size = 5,
                               .num_layers = 2,
                               .batch_first = true,
                               .bidirectional = true});
  const auto by_rows = lstm.forward(RowMatrix<double>::Zero(7, 3).eval());
  EXPECT_EQ(by_rows.output.rows(), 7);
  EXPECT_EQ(by_rows.output.cols(), 10);
  EXPECT_EQ(by_rows.state.h.rows(), 4);
  EXPECT_EQ(by_rows.state.h.cols(), 5);
  const auto by_columns = lstm.forward(Eigen::MatrixXd::Zero(3, 7).eval());
  EXPECT_EQ(by_columns.output.rows(), 10);
  EXPECT_EQ(by_columns.output.cols(), 7);
  EXPECT_EQ(by_columns.state.c.rows(), 5);
  EXPECT_EQ(by_columns.state.c.cols(), 4);
}

TEST(Stack, NamesInPyTorchsOrder) {
  const LSTM lstm = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  std::vector<std::string> names;
  recur::for_each_parameter(lstm,
                            [&](const std::string& name, const auto&) { names.push_back(name); });
  std::vector<std::string> expected;
  for (const char* suffix : {"_l0", "_l0_reverse", "_l1", "_l1_reverse"}) {
    for (const char* base : {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"}) {
      expected.push_back(std::string(base) + suffix);
    }
  }
  EXPECT_EQ(names, expected);
}

TEST(Stack, InitialParametersLieWithinTheirBound) {
  const LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 25, .proj_size = 4});
  double largest = 0;
  recur::for_each_parameter(lstm, [&](const std::string&, const auto& array) {
    largest = std::max(largest, array.cwiseAbs().maxCoeff());
    EXPECT_NE(array.minCoeff(), array.maxCoeff());
  });
  EXPECT_LE(largest, 0.2);  // 1/sqrt(25), also with a projection
  EXPECT_GT(largest, 0.19);
}

// ---- states, batches ----

TEST(Stack, EmptyBatch) {
  const LSTM lstm = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  for (const bool states : {false, true}) {
    LSTM::Tape tape;
    const LSTM::State initial =
        states ? LSTM::State{Tensor3<double>(4, 0, 2), Tensor3<double>(4, 0, 5)} : LSTM::State();
    const auto [output, state] = lstm.forward(Tensor3<double>(7, 0, 3), initial, tape);
    EXPECT_EQ(output.shape(), "(7, 0, 4)");
    EXPECT_EQ(state.h.shape(), "(4, 0, 2)");
    EXPECT_EQ(state.c.shape(), "(4, 0, 5)");
    const auto gradients = lstm.backward(tape, output, state);
    EXPECT_EQ(gradients.input.shape(), "(7, 0, 3)");
    EXPECT_EQ(gradients.state.h.shape(), "(4, 0, 2)");
    recur::for_each_gradient([](const auto& array) { EXPECT_TRUE(array.isZero(0)); },
                             gradients.parameters);
    EXPECT_EQ(lstm.forward(Tensor3<double>(7, 0, 3), initial).output.shape(), "(7, 0, 4)");
  }
  const GRU gru({.input_size = 3, .hidden_size = 5, .batch_first = true});
  GRU::Tape tape;
  const auto [output, state] = gru.forward(Tensor3<double>(0, 7, 3), {}, tape);
  EXPECT_EQ(output.shape(), "(0, 7, 5)");
  EXPECT_EQ(gru.backward(tape, output, state).input.shape(), "(0, 7, 3)");
}

TEST(Stack, StateLeftOutIsZeros) {
  const LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  const Tensor3<double> zeros(2, 2, 5);
  const auto expected = lstm.forward(x, {zeros, zeros});
  expect_same(lstm.forward(x).output, expected.output, "none");
  expect_same(lstm.forward(x, {zeros, {}}).output, expected.output, "h only");
  expect_same(lstm.forward(x, {{}, zeros}).output, expected.output, "c only");
}

TEST(Stack, GradientLeftOutIsZeros) {
  const LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  recur::Generator generator(2);
  LSTM::Tape tape;
  lstm.forward(random_tensor<double>(generator, 4, 2, 3), {}, tape);
  const auto dh = random_tensor<double>(generator, 2, 2, 5);
  const auto some = lstm.backward(tape, {}, {dh, {}});
  const auto all = lstm.backward(tape, Tensor3<double>(4, 2, 5), {dh, Tensor3<double>(2, 2, 5)});
  expect_same(some.input, all.input, "d_input");
  expect_parameters_close(some.parameters, all.parameters, 0);
  const auto none = lstm.backward(tape, {});
  recur::for_each_gradient([](const auto& array) { EXPECT_TRUE(array.isZero(0)); },
                           none.parameters);
}

// Piece by piece with the state handed on, in place, gives the same as all at once.
TEST(Stack, StateCarriesOn) {
  const LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .proj_size = 2});
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 9, 2, 3);
  const auto whole = lstm.forward(x);
  LSTM::Output out;
  out.state = {Tensor3<double>(2, 2, 2), Tensor3<double>(2, 2, 5)};
  LSTM::Workspace work;
  for (Index t = 0; t < 9; t += 3) {
    lstm.forward(x.view().narrow(0, t, 3), out.state, out, work);
    expect_same(out.output, Tensor3<double>(whole.output.view().narrow(0, t, 3)), "output");
  }
  expect_same(out.state.h, whole.state.h, "h_n");
  expect_same(out.state.c, whole.state.c, "c_n");
}

TEST(Stack, BatchFirstIsTheSameTransposed) {
  recur::Generator generator(2);
  const LSTM time_major =
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true});
  const LSTM batch_major = make_lstm({.input_size = 3,
                                      .hidden_size = 5,
                                      .num_layers = 2,
                                      .batch_first = true,
                                      .bidirectional = true});
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  const Tensor3<double> x_transposed(x.view().transposed());
  LSTM::Tape tape;
  LSTM::Tape tape_transposed;
  const auto expected = time_major.forward(x, {}, tape);
  const auto actual = batch_major.forward(x_transposed, {}, tape_transposed);
  expect_same(Tensor3<double>(actual.output.view().transposed()), expected.output, "output");
  expect_same(batch_major.forward(x_transposed).output, actual.output, "inference");
  expect_same(actual.state.h, expected.state.h, "h_n");
  const auto d_expected = time_major.backward(tape, expected.output, expected.state);
  const auto d_actual = batch_major.backward(tape_transposed, actual.output, actual.state);
  expect_same(Tensor3<double>(d_actual.input.view().transposed()), d_expected.input, "d_input");
  expect_same(d_actual.state.c, d_expected.state.c, "d_c_0");
  expect_parameters_close(d_actual.parameters, d_expected.parameters, 0);
}

// A part of a larger tensor: rows stand apart, in every dimension.
TEST(Stack, ViewsWithStrides) {
  const LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5});
  recur::Generator generator(2);
  const auto large = random_tensor<double>(generator, 6, 5, 8);
  const auto view = large.view().narrow(0, 1, 4).narrow(1, 2, 2).narrow(2, 3, 3);
  const Tensor3<double> copy(view);
  expect_same(lstm.forward(view).output, lstm.forward(copy).output, "inference");
  const auto state = large.view().narrow(0, 0, 1).narrow(1, 2, 2).narrow(2, 2, 5);
  const Tensor3<double> state_copy(state);
  LSTM::Tape tape;
  const auto expected = lstm.forward(copy, {state_copy, state_copy});
  expect_same(lstm.forward(view, {state, state}, tape).output, expected.output, "training");
  const auto d_view = large.view().narrow(0, 2, 4).narrow(1, 1, 2).narrow(2, 0, 5);
  const Tensor3<double> d_copy(d_view);
  expect_same(lstm.backward(tape, d_view).input, lstm.backward(tape, d_copy).input, "d_input");
}

// PyTorch's own check: the reverse half is the forward layer on the reversed input, to the last
// bit.
TEST(Stack, ReverseDirectionIsTheForwardOneOnReversedInput) {
  recur::Generator generator(2);
  LSTM both = make_lstm({.input_size = 3, .hidden_size = 5, .bidirectional = true});
  LSTM single = make_lstm({.input_size = 3, .hidden_size = 5});
  single.update_parameters([&](LSTM::Parameters& p) { p.cells[0] = both.parameters().cell(0, 1); });
  const auto x = random_tensor<double>(generator, 6, 2, 3);
  Tensor3<double> reversed(6, 2, 3);
  for (Index t = 0; t < 6; ++t) {
    reversed[t] = x[5 - t];
  }
  const auto expected = single.forward(reversed);
  const auto actual = both.forward(x);
  for (Index t = 0; t < 6; ++t) {
    expect_same(RowMatrix<double>(actual.output[t].rightCols(5)),
                RowMatrix<double>(expected.output[5 - t]), "output");
  }
  expect_same(RowMatrix<double>(actual.state.h[1]), RowMatrix<double>(expected.state.h[0]), "h_n");
  expect_same(RowMatrix<double>(actual.state.h[1]),
              RowMatrix<double>(actual.output[0].rightCols(5)), "h_n is output[0]'s half");
}

// ---- matrices ----

template <class Layer>
void expect_unbatched_equals_batched() {
  recur::Generator generator(2);
  const Layer layer({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true},
                    generator);
  const RowMatrix<double> x = random_matrix<double>(generator, 6, 3);
  const RowMatrix<double> h = random_matrix<double>(generator, 4, 5);
  const RowMatrix<double> d_output = random_matrix<double>(generator, 6, 10);
  const auto batched = [](const RowMatrix<double>& m) {
    return recur::Tensor3View<const double>(m.data(), m.rows(), 1, m.cols());
  };
  const auto unbatched = [](const Tensor3<double>& t) { return RowMatrix<double>(t.rows()); };
  using Row = typename Layer::template MatrixState<RowMatrix<double>>;
  using Column = typename Layer::template MatrixState<Eigen::MatrixXd>;

  typename Layer::StateView state;
  typename Layer::StateView d_state;
  Row row_state;
  Column column_state;
  state.h = d_state.h = batched(h);
  row_state.h = h;
  column_state.h = h.transpose();
  if constexpr (requires { state.c; }) {
    state.c = d_state.c = batched(h);
    row_state.c = h;
    column_state.c = h.transpose();
  }
  typename Layer::Tape tape;
  typename Layer::Tape row_tape;
  typename Layer::Tape column_tape;
  const auto expected = layer.forward(batched(x), state, tape);
  const auto by_rows = layer.forward(x, row_state, row_tape);
  const Eigen::MatrixXd x_columns = x.transpose();
  const auto by_columns = layer.forward(x_columns, column_state, column_tape);
  expect_same(by_rows.output, unbatched(expected.output), "output");
  expect_same(by_rows.state.h, unbatched(expected.state.h), "h_n");
  expect_same(RowMatrix<double>(by_columns.output.transpose()), by_rows.output,
              "output by columns");
  expect_same(RowMatrix<double>(by_columns.state.h.transpose()), by_rows.state.h, "h_n by columns");
  expect_same(layer.forward(x, row_state).output, by_rows.output, "inference");
  expect_same(layer.forward(x_columns, column_state).output, by_columns.output,
              "inference by columns");

  const auto gradients = layer.backward(tape, batched(d_output), d_state);
  const auto row_gradients = layer.backward(row_tape, d_output, row_state);
  const Eigen::MatrixXd d_columns = d_output.transpose();
  const auto column_gradients = layer.backward(column_tape, d_columns, column_state);
  expect_same(row_gradients.input, unbatched(gradients.input), "d_input");
  expect_same(row_gradients.state.h, unbatched(gradients.state.h), "d_h_0");
  expect_same(RowMatrix<double>(column_gradients.input.transpose()), row_gradients.input,
              "d_input by columns");
  expect_same(RowMatrix<double>(column_gradients.state.h.transpose()), row_gradients.state.h,
              "d_h_0 by columns");
  expect_parameters_close(row_gradients.parameters, gradients.parameters, 0);
  expect_parameters_close(column_gradients.parameters, gradients.parameters, 0);
}

TEST(Stack, MatricesEqualABatchOfOne) {
  expect_unbatched_equals_batched<LSTM>();
  expect_unbatched_equals_batched<GRU>();
  expect_unbatched_equals_batched<RNN>();
}

// Blocks, maps and expressions are taken like matrices.
TEST(Stack, MatrixExpressions) {
  const GRU gru({.input_size = 3, .hidden_size = 5});
  recur::Generator generator(2);
  const RowMatrix<double> large = random_matrix<double>(generator, 10, 7);
  const RowMatrix<double> part = large.block(2, 1, 6, 3);
  const auto expected = gru.forward(part).output;
  expect_same(gru.forward(large.block(2, 1, 6, 3)).output, expected, "block");
  expect_same(gru.forward(RowMatrix<double>(part / 2) * 2).output, expected, "expression");
  expect_same(gru.forward(Eigen::Map<const RowMatrix<double>>(part.data(), 6, 3)).output, expected,
              "map");
}

// ---- objects ----

TEST(Stack, SizesAsTemplateArguments) {
  recur::Generator generator(1);
  recur::Generator same(1);
  const recur::LSTM<float> dynamic({.input_size = 3, .hidden_size = 5, .num_layers = 2}, generator);
  const recur::LSTM<float, 3, 5> fixed({.num_layers = 2}, same);
  EXPECT_EQ(fixed.input_size(), 3);
  EXPECT_EQ(fixed.hidden_size(), 5);
  EXPECT_EQ(fixed.options().hidden_size, 5);
  const auto x = random_tensor<float>(generator, 4, 2, 3);
  recur::LSTM<float>::Tape tape;
  const auto expected = dynamic.forward(x, {}, tape);
  recur::LSTM<float, 3, 5>::Tape fixed_tape;
  const auto actual = fixed.forward(x, {}, fixed_tape);
  expect_same(actual.output, expected.output, "output");
  const auto gradients = dynamic.backward(tape, expected.output);
  const auto fixed_gradients = fixed.backward(fixed_tape, actual.output);
  expect_same(fixed_gradients.input, gradients.input, "d_input");
  expect_parameters_close(fixed_gradients.parameters, gradients.parameters, 0);
  using Fixed = recur::LSTM<float, 3, 5>;
  EXPECT_ERROR(Fixed({.input_size = 4}), "input_size is fixed to 3 by a template argument, got 4");
}

TEST(Stack, CopiesAndMovesGiveTheSame) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  LSTM original =
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true});
  const auto expected = original.forward(x);

  const LSTM copy = original;
  expect_same(copy.forward(x).output, expected.output, "copy");
  LSTM assigned = make_lstm({.input_size = 1, .hidden_size = 1});
  assigned = original;
  expect_same(assigned.forward(x).output, expected.output, "assigned");

  // A copy is its own: a change to the original does not reach it.
  original.update_parameters([](LSTM::Parameters& p) { p.cells[0].weight_ih.setZero(); });
  expect_same(copy.forward(x).output, expected.output, "copy after a change");

  LSTM moved = std::move(assigned);
  expect_same(moved.forward(x).output, expected.output, "moved");
  LSTM move_assigned = make_lstm({.input_size = 1, .hidden_size = 1});
  move_assigned = std::move(moved);
  expect_same(move_assigned.forward(x).output, expected.output, "move-assigned");

  std::vector<LSTM> several;
  for (int k = 0; k < 5; ++k) {
    several.push_back(copy);
  }
  expect_same(several[0].forward(x).output, expected.output, "in a vector that grew");
}

TEST(Stack, UpdatedParametersReachTheOutput) {
  recur::Generator generator(2);
  LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .proj_size = 2});
  recur::test::expect_equals_reference(recur::math::LSTM(), lstm, 3, 2, 1e-12);  // sets all of them
  // Also when the update ends in an exception: what was written by then counts.
  EXPECT_ANY_THROW(lstm.update_parameters([](LSTM::Parameters& p) {
    for (auto& cell : p.cells) {
      cell.weight_hr.setZero();
    }
    throw 1;
  }));
  EXPECT_TRUE(lstm.forward(random_tensor<double>(generator, 4, 2, 3)).output.rows().isZero(0));
}

TEST(Stack, ConstForwardAndBackwardFromSeveralThreads) {
  recur::Generator generator(2);
  const LSTM lstm =
      make_lstm({.input_size = 3, .hidden_size = 17, .num_layers = 2, .bidirectional = true});
  const auto x = random_tensor<double>(generator, 8, 5, 3);
  const auto expected = lstm.forward(x);
  LSTM::Tape tape;
  lstm.forward(x, {}, tape);
  const auto expected_gradients = lstm.backward(tape, expected.output, expected.state);
  std::vector<LSTM::Output> outputs(4);
  std::vector<LSTM::Gradients> gradients(4);
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    threads.emplace_back([&, k] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        LSTM::Tape own;
        outputs[k] = lstm.forward(x, {}, own);
        gradients[k] = lstm.backward(own, outputs[k].output, outputs[k].state);
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    expect_same(outputs[k].output, expected.output, "output");
    expect_same(gradients[k].input, expected_gradients.input, "d_input");
    expect_parameters_close(gradients[k].parameters, expected_gradients.parameters, 0);
  }
}

// ---- memory that is used again ----

TEST(Stack, ParameterGradientsAddUpAndTheOthersAreOverwritten) {
  recur::Generator generator(2);
  const LSTM lstm = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  LSTM::Tape tape;
  const auto out = lstm.forward(random_tensor<double>(generator, 4, 2, 3), {}, tape);
  const auto once = lstm.backward(tape, out.output, out.state);
  LSTM::Gradients twice;
  lstm.backward(tape, out.output, out.state, twice);
  lstm.backward(tape, out.output, out.state, twice);
  expect_same(twice.input, once.input, "d_input");
  expect_same(twice.state.h, once.state.h, "d_h_0");
  expect_same(twice.state.c, once.state.c, "d_c_0");
  auto doubled = once.parameters;
  recur::for_each_gradient([](auto& array) { array *= 2; }, doubled);
  expect_parameters_close(twice.parameters, doubled, 1e-14);
}

// The same objects for calls of different sizes, growing and shrinking.
TEST(Stack, ReusedMemoryGivesTheSame) {
  recur::Generator generator(2);
  const LSTM lstm = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 3, .bidirectional = true, .proj_size = 2});
  LSTM::Output out;
  LSTM::Tape tape;
  LSTM::Workspace work;
  LSTM::Gradients gradients;
  const Index sizes[][2] = {{4, 2}, {9, 3}, {1, 1}, {2, 7}, {4, 0}, {4, 2}};
  for (const auto& [steps, batch] : sizes) {
    const auto x = random_tensor<double>(generator, steps, batch, 3);
    LSTM::Tape new_tape;
    const auto expected = lstm.forward(x, {}, new_tape);
    const auto expected_gradients = lstm.backward(new_tape, expected.output, expected.state);
    lstm.forward(x, {}, out, work);
    expect_same(out.output, expected.output, "inference");
    lstm.forward(x, {}, out, tape);
    expect_same(out.output, expected.output, "training");
    if (!gradients.parameters.cells.empty()) {
      recur::set_zero(gradients.parameters);
    }
    lstm.backward(tape, out.output, out.state, gradients);
    expect_same(gradients.input, expected_gradients.input, "d_input");
    expect_same(gradients.state.h, expected_gradients.state.h, "d_h_0");
    expect_same(gradients.state.c, expected_gradients.state.c, "d_c_0");
    expect_parameters_close(gradients.parameters, expected_gradients.parameters, 0);
  }
}

// One tape for layers of different kinds, one after the other.
// Over several chunks of steps: what a direction gives must not be what the other has yet to read.
TEST(Stack, OutputMayTakeThePlaceOfTheInput) {
  recur::Generator generator(1);
  for (const bool bidirectional : {false, true}) {
    const Index hidden = 48;
    const Index width = bidirectional ? 2 * hidden : hidden;
    const LSTM lstm({.input_size = width, .hidden_size = hidden, .bidirectional = bidirectional},
                    generator);
    const auto x = random_tensor<double>(generator, 60, 16, width);
    const auto expected = lstm.forward(x);
    LSTM::Output out;
    out.output = x;
    LSTM::Workspace work;
    lstm.forward(out.output, {}, out, work);
    expect_same(out.output, expected.output, bidirectional ? "two directions" : "one direction");
  }
}

TEST(Stack, TapeOfAnotherLayerCanBeUsedAgain) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  const LSTM projected = make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 3, .dropout = 0.5, .proj_size = 2});
  const LSTM lstm =
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 3, .bidirectional = true});
  const GRU gru({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  LSTM::Tape tape;
  for (int round = 0; round < 2; ++round) {
    projected.forward(x, {}, tape);
    projected.backward(tape, {});
    {
      LSTM::Tape own;
      const auto expected = lstm.forward(x, {}, own);
      const auto actual = lstm.forward(x, {}, tape);
      expect_same(actual.output, expected.output, "LSTM");
      expect_same(lstm.backward(tape, actual.output).input, lstm.backward(own, actual.output).input,
                  "LSTM");
    }
    {
      GRU::Tape own;
      const auto expected = gru.forward(x, {}, own);
      const auto actual = gru.forward(x, {}, tape);
      expect_same(actual.output, expected.output, "GRU");
      expect_same(gru.backward(tape, actual.output).input, gru.backward(own, actual.output).input,
                  "GRU");
    }
  }
}

template <class Layer>
void expect_no_allocations(const Layer& layer) {
  const Tensor3<double> x(6, 3, layer.input_size());
  typename Layer::Output out;
  typename Layer::Workspace work;
  typename Layer::Tape tape;
  typename Layer::Gradients gradients;
  const auto infer = [&] { layer.forward(x, {}, out, work); };
  const auto train = [&] { layer.forward(x, {}, out, tape); };
  const auto back = [&] { layer.backward(tape, out.output, out.state, gradients); };
  infer();
  train();
  back();
  SCOPED_TRACE(layer.parameters().cells.size());
  EXPECT_EQ(recur::test::allocations_of(infer), 0U);
  EXPECT_EQ(recur::test::allocations_of(train), 0U);
  EXPECT_EQ(recur::test::allocations_of(back), 0U);
}

TEST(Stack, SecondCallAllocatesNothing) {
  if (!recur::test::can_count_allocations()) {
    GTEST_SKIP() << "malloc cannot be counted here";
  }
  expect_no_allocations(
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}));
  expect_no_allocations(
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .batch_first = true}));
  expect_no_allocations(make_lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 3, .dropout = 0.5, .proj_size = 2}));
  expect_no_allocations(GRU({.input_size = 3, .hidden_size = 5, .num_layers = 2}));
}

// ---- a cell of the user's own ----

using recur::test::MinimalGatedUnit;
using MGU = recur::Recurrent<MinimalGatedUnit, double>;

TEST(StackCustomCell, GradientsEqualFiniteDifferences) {
  for (const bool bias : {true, false}) {
    MGU mgu(
        {.input_size = 3, .hidden_size = 4, .num_layers = 2, .bias = bias, .bidirectional = true});
    recur::test::check_layer_gradients(mgu, 3, 2, true);
  }
}

TEST(StackCustomCell, EqualsReference) {
  for (const Index hidden : {1, 7, 16, 35}) {
    MGU mgu({.input_size = 3, .hidden_size = hidden, .num_layers = 2, .bidirectional = true});
    recur::test::expect_equals_reference(MinimalGatedUnit(), mgu, 4, 7, 1e-12);
    recur::Recurrent<MinimalGatedUnit, float> narrow({.input_size = 3, .hidden_size = hidden});
    recur::test::expect_equals_reference(MinimalGatedUnit(), narrow, 4, 7, 1e-5);
  }
}

TEST(StackCustomCell, NamesAndErrors) {
  const MGU mgu({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(mgu.parameters().cells[0].weight_ih.rows(), 8);
  MGU::Tape tape;
  EXPECT_ERROR(mgu.backward(tape, {}), "MGU::backward: expected a tape");
  EXPECT_ERROR(MGU({.input_size = 3, .hidden_size = 4, .proj_size = 2}),
               "proj_size argument is only supported for LSTM");
}

TEST(Stack, ParameterResizedByAnUpdateIsAnErrorAndRestored) {
  recur::Generator generator(2);
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  const auto output = [&](const auto& layer) {
    return recur::RowMatrix<double>(layer.forward(x).output.rows());
  };
  recur::test::expect_resizing_is_refused(
      make_lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true}),
      output);
  recur::test::expect_resizing_is_refused(
      make_lstm({.input_size = 3, .hidden_size = 5, .proj_size = 2}), output);
  recur::test::expect_resizing_is_refused(
      recur::GRU<double>({.input_size = 3, .hidden_size = 5}, generator), output);

  // What a layer does without must stay empty, and its cells must stay.
  LSTM lstm = make_lstm({.input_size = 3, .hidden_size = 5, .bias = false});
  const recur::RowMatrix<double> before = output(lstm);
  EXPECT_ERROR(lstm.update_parameters([](auto& p) { p.cells[0].bias_hh.setOnes(20); }),
               "parameter bias_hh_l0: update_parameters() must not resize: expected (0, 1), "
               "got (20, 1) (it is now zero)");
  EXPECT_ERROR(lstm.update_parameters([](auto& p) { p.directions = 2; }),
               "cells and directions of the parameters: update_parameters() must not resize: "
               "expected (1, 1), got (1, 2)");
  EXPECT_EQ(output(lstm), before);
  EXPECT_ERROR(lstm.update_parameters([](auto& p) { p.cells.clear(); }),
               "expected (1, 1), got (0, 1)");
  EXPECT_TRUE(output(lstm).isZero(0));
}

}  // namespace
}  // namespace stack_test
