// SPDX-License-Identifier: MIT
#include "recur/cells/cell.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/cells/rnn_cell.hpp"
#include "recur/math/step.hpp"

#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/minimal_gated_unit.hpp"
#include "support/resized_parameters.hpp"

namespace cell_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Vector;
using recur::test::expect_same;
using recur::test::GoldenCase;
using recur::test::random_matrix;

// ---- every output and gradient against PyTorch (tests/golden/export.py) ----

template <class Cell>
typename Cell::Options options_of(const GoldenCase& golden) {
  typename Cell::Options options;
  options.input_size = golden.number("input_size");
  options.hidden_size = golden.number("hidden_size");
  options.bias = golden.flag("bias");
  if constexpr (requires { options.nonlinearity; }) {
    options.nonlinearity =
        golden.is("nonlinearity", "relu") ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
  }
  return options;
}

template <class Cell, class Array>
typename Cell::template StateLike<Array> state_of(const Array& h, const Array& c) {
  if constexpr (requires(typename Cell::State state) { state.c; }) {
    return {h, c};
  } else {
    return {h};
  }
}

// get: key → array of the case, of the type that the call is made with.
template <class Cell, class Get>
void compare_arrays(const GoldenCase& golden, const Cell& cell, Get get) {
  using Scalar = typename Cell::Scalar;
  using Array = decltype(get("input"));
  const double forward_tolerance = std::is_same_v<Scalar, double> ? 1e-12 : 1e-6;
  const double gradient_tolerance = std::is_same_v<Scalar, double> ? 1e-12 : 1e-5;
  const Array x = get("input");
  const auto state = state_of<Cell, Array>(get("h_0"), get("c_0"));
  typename Cell::Tape tape;
  const auto next = cell.forward(x, state, tape);
  const auto gradients = cell.backward(tape, state_of<Cell, Array>(get("d_h_n"), get("d_c_n")));
  expect_same(cell.forward(x, state).h, next.h, "inference");

  golden.expect("h_n", next.h, forward_tolerance);
  golden.expect("grad.input", gradients.input, gradient_tolerance);
  golden.expect("grad.h_0", gradients.state.h, gradient_tolerance);
  if constexpr (requires { next.c; }) {
    golden.expect("c_n", next.c, forward_tolerance);
    golden.expect("grad.c_0", gradients.state.c, gradient_tolerance);
  }
  golden.expect_gradients(gradients.parameters, gradient_tolerance);
}

template <class Cell>
void compare(const GoldenCase& golden) {
  using Scalar = typename Cell::Scalar;
  Cell cell(options_of<Cell>(golden));
  recur::load_state_dict(cell, golden.file(), golden.path("parameter."));
  if (golden.batched()) {
    compare_arrays(golden, cell,
                   [&](const std::string& key) { return golden.matrix<Scalar>(key); });
  } else {
    compare_arrays(golden, cell,
                   [&](const std::string& key) { return golden.vector<Scalar>(key); });
  }
}

class CellGolden : public testing::TestWithParam<GoldenCase> {};

TEST_P(CellGolden, MatchesPyTorch) {
  const GoldenCase& golden = GetParam();
  const bool wide = golden.is("dtype", "float64");
  if (golden.is("module", "LSTMCell")) {
    wide ? compare<recur::LSTMCell<double>>(golden) : compare<recur::LSTMCell<float>>(golden);
  } else if (golden.is("module", "GRUCell")) {
    wide ? compare<recur::GRUCell<double>>(golden) : compare<recur::GRUCell<float>>(golden);
  } else {
    ASSERT_TRUE(golden.is("module", "RNNCell"));
    wide ? compare<recur::RNNCell<double>>(golden) : compare<recur::RNNCell<float>>(golden);
  }
}

INSTANTIATE_TEST_SUITE_P(Cells, CellGolden, testing::ValuesIn(recur::test::golden_cases("cells")),
                         recur::test::golden_name);

// ---- gradients against finite differences ----

template <class Cell>
void check_gradients(Cell& cell, double step = 1e-3, double tolerance = 1e-9) {
  recur::Generator generator(3);
  recur::test::randomize_parameters(cell, generator);
  constexpr bool has_c = requires(typename Cell::State state) { state.c; };
  RowMatrix<double> x = random_matrix<double>(generator, 3, cell.input_size());
  typename Cell::State state;
  typename Cell::State d_next;
  state.h = random_matrix<double>(generator, 3, cell.hidden_size());
  d_next.h = random_matrix<double>(generator, 3, cell.hidden_size());
  if constexpr (has_c) {
    state.c = random_matrix<double>(generator, 3, cell.hidden_size());
    d_next.c = random_matrix<double>(generator, 3, cell.hidden_size());
  }
  const auto loss = [&] {
    const auto next = cell.forward(x, state);
    double sum = next.h.cwiseProduct(d_next.h).sum();
    if constexpr (has_c) {
      sum += next.c.cwiseProduct(d_next.c).sum();
    }
    return sum;
  };
  typename Cell::Tape tape;
  cell.forward(x, state, tape);
  const auto gradients = cell.backward(tape, d_next);
  using recur::test::elements;
  using recur::test::expect_gradient;
  expect_gradient(x.data(), elements(gradients.input).values, loss, step, tolerance, "x");
  expect_gradient(state.h.data(), elements(gradients.state.h).values, loss, step, tolerance, "h");
  if constexpr (has_c) {
    expect_gradient(state.c.data(), elements(gradients.state.c).values, loss, step, tolerance, "c");
  }
  recur::test::expect_parameter_gradients(cell, gradients.parameters, loss, step, tolerance);
}

TEST(Cells, GradientsEqualFiniteDifferences) {
  for (const bool bias : {true, false}) {
    recur::LSTMCell<double> lstm({.input_size = 3, .hidden_size = 4, .bias = bias});
    check_gradients(lstm);
    recur::GRUCell<double> gru({.input_size = 3, .hidden_size = 4, .bias = bias});
    check_gradients(gru);
    recur::RNNCell<double> tanh({.input_size = 3, .hidden_size = 4, .bias = bias});
    check_gradients(tanh);
    recur::RNNCell<double> relu({.input_size = 3,
                                 .hidden_size = 4,
                                 .bias = bias,
                                 .nonlinearity = recur::Nonlinearity::relu});
    check_gradients(relu, 1e-6, 1e-7);
    recur::Cell<recur::test::MinimalGatedUnit, double> custom(
        {.input_size = 3, .hidden_size = 4, .bias = bias});
    check_gradients(custom);
  }
}

// PyTorch's own check: six steps, then backward through all of them.
TEST(Cells, SixStepsAndBack) {
  recur::Generator generator(3);
  const recur::LSTMCell<double> cell({.input_size = 3, .hidden_size = 4});
  RowMatrix<double> x = random_matrix<double>(generator, 2, 3);
  std::vector<recur::LSTMCell<double>::Tape> tapes(6);
  const auto run = [&] {
    recur::LSTMCell<double>::State state;
    for (auto& tape : tapes) {
      state = cell.forward(x, state, tape);
    }
    return state.h.sum();
  };
  run();
  recur::LSTMCell<double>::Gradients gradients;
  recur::LSTMCell<double>::State d_state{RowMatrix<double>::Ones(2, 4), {}};
  RowMatrix<double> dx = RowMatrix<double>::Zero(2, 3);
  for (auto tape = tapes.rbegin(); tape != tapes.rend(); ++tape) {
    cell.backward(*tape, d_state, gradients);
    d_state = gradients.state;
    dx += gradients.input;
  }
  recur::test::expect_gradient(x.data(), recur::test::elements(dx).values, run, 1e-3, 1e-9, "x");
}

// ---- shapes and memory orders ----

TEST(Cells, ColumnMajorAndVectorsEqualRowMajor) {
  recur::Generator generator(3);
  const recur::LSTMCell<double> cell({.input_size = 3, .hidden_size = 4}, generator);
  const RowMatrix<double> x = random_matrix<double>(generator, 2, 3);
  const RowMatrix<double> h = random_matrix<double>(generator, 2, 4);
  const RowMatrix<double> c = random_matrix<double>(generator, 2, 4);
  recur::LSTMCell<double>::Tape tape;
  const auto next = cell.forward(x, {h, c}, tape);
  const auto gradients = cell.backward(tape, {h, c});

  const Eigen::MatrixXd columns = x.transpose();
  const Eigen::MatrixXd h_columns = h.transpose();
  const Eigen::MatrixXd c_columns = c.transpose();
  recur::LSTMCell<double>::Tape column_tape;
  const auto next_columns = cell.forward(columns, {h_columns, c_columns}, column_tape);
  expect_same(RowMatrix<double>(next_columns.h.transpose()), next.h, "h");
  const auto column_gradients =
      cell.backward(column_tape, recur::LSTMState<Eigen::MatrixXd>{h_columns, c_columns});
  expect_same(RowMatrix<double>(column_gradients.input.transpose()), gradients.input, "d_x");

  const Vector<double> vector = x.row(1).transpose();
  const auto next_vector = cell.forward(
      vector, {Vector<double>(h.row(1).transpose()), Vector<double>(c.row(1).transpose())});
  expect_same(next_vector.c, Vector<double>(next.c.row(1).transpose()), "c");
}

TEST(Cells, StateLeftOutIsZeros) {
  const recur::GRUCell<double> cell({.input_size = 3, .hidden_size = 4});
  recur::Generator generator(3);
  const RowMatrix<double> x = random_matrix<double>(generator, 2, 3);
  expect_same(cell.forward(x).h, cell.forward(x, {RowMatrix<double>::Zero(2, 4)}).h, "h");
}

TEST(Cells, EmptyBatch) {
  const recur::LSTMCell<double> cell({.input_size = 3, .hidden_size = 4});
  recur::LSTMCell<double>::Tape tape;
  const auto next = cell.forward(RowMatrix<double>(0, 3), {}, tape);
  EXPECT_EQ(next.h.rows(), 0);
  EXPECT_EQ(next.c.cols(), 4);
  const auto gradients = cell.backward(tape, next);
  EXPECT_EQ(gradients.input.cols(), 3);
  EXPECT_TRUE(gradients.parameters.weight_ih.isZero(0));
}

TEST(Cells, SizesAsTemplateArguments) {
  recur::Generator generator(3);
  recur::Generator same(3);
  const recur::GRUCell<float, 3, 4> fixed({}, generator);
  const recur::GRUCell<float> dynamic({.input_size = 3, .hidden_size = 4}, same);
  const RowMatrix<float> x = random_matrix<float>(generator, 2, 3);
  expect_same(fixed.forward(x).h, dynamic.forward(x).h, "h");
}

TEST(Cells, NamesWithoutSuffix) {
  std::vector<std::string> names;
  recur::for_each_parameter(recur::GRUCell<float>({.input_size = 3, .hidden_size = 4}),
                            [&](const std::string& name, const auto&) { names.push_back(name); });
  EXPECT_EQ(names, (std::vector<std::string>{"weight_ih", "weight_hh", "bias_ih", "bias_hh"}));
}

TEST(Cells, ParameterGradientsAddUp) {
  recur::Generator generator(3);
  const recur::GRUCell<double> cell({.input_size = 3, .hidden_size = 4}, generator);
  recur::GRUCell<double>::Tape tape;
  const auto next = cell.forward(random_matrix<double>(generator, 2, 3), {}, tape);
  recur::GRUCell<double>::Gradients gradients;
  cell.backward(tape, next, gradients);
  auto doubled = gradients.parameters;
  recur::for_each_gradient([](auto& array) { array *= 2; }, doubled);
  const auto input = gradients.input;
  cell.backward(tape, next, gradients);
  recur::test::expect_parameters_close(gradients.parameters, doubled, 1e-14);
  expect_same(gradients.input, input, "d_x");
}

TEST(Cells, ParameterResizedByAnUpdateIsAnErrorAndRestored) {
  recur::Generator generator(2);
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Random(2, 3);
  const recur::RowMatrix<double> h = recur::RowMatrix<double>::Random(2, 4);
  recur::test::expect_resizing_is_refused(
      recur::LSTMCell<double>({.input_size = 3, .hidden_size = 4}, generator),
      [&](const auto& cell) {
        return cell.forward(x, {h, h}).h;
      });
  recur::test::expect_resizing_is_refused(
      recur::GRUCell<double>({.input_size = 3, .hidden_size = 4}, generator),
      [&](const auto& cell) { return cell.forward(x, {h}).h; });
}

}  // namespace
}  // namespace cell_test
