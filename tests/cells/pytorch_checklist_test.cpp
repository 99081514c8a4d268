// SPDX-License-Identifier: MIT
//
// PyTorch's own checks of its cells, against someone else's numbers: point 1 of the list in
// layers/pytorch_checklist_test.cpp.
#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/cells/rnn_cell.hpp"

#include "support/gradient_check.hpp"
#include "support/states.hpp"

namespace pytorch_checklist_test {
namespace {

using recur::Index;
using recur::Nonlinearity;
using recur::RowMatrix;
using recur::test::elements;
using recur::test::error_of;
using recur::test::expect_gradient;
using recur::test::has_c;
using recur::test::make_state;
using recur::test::random_matrix;
using LSTMCell = recur::LSTMCell<double>;
using GRUCell = recur::GRUCell<double>;
using RNNCell = recur::RNNCell<double>;

template <class Cell>
void expect_cell_refuses() {
  const Cell cell({.input_size = 3, .hidden_size = 4});
  const RowMatrix<double> x(2, 3);
  const RowMatrix<double> good(2, 4);
  const auto error = [&](const RowMatrix<double>& input, const RowMatrix<double>& h,
                         const RowMatrix<double>& c) {
    return error_of([&] { cell.forward(input, make_state<typename Cell::State>(h, c)); });
  };
  EXPECT_EQ(error(RowMatrix<double>(2, 5), good, good),
            "input has inconsistent input_size: got 5 expected 3");
  EXPECT_EQ(error(x, RowMatrix<double>(3, 4), good),
            "Input batch size 2 doesn't match hidden0 batch size 3");
  EXPECT_EQ(error(x, RowMatrix<double>(2, 5), good),
            "hidden0 has inconsistent hidden_size: got 5, expected 4");
  if constexpr (has_c<Cell>) {
    EXPECT_EQ(error(x, good, RowMatrix<double>(3, 4)),
              "Input batch size 2 doesn't match hidden1 batch size 3");
    EXPECT_EQ(error(x, good, RowMatrix<double>(2, 5)),
              "hidden1 has inconsistent hidden_size: got 5, expected 4");
  }
}

TEST(PyTorchChecklist, P01_CellsRefuseWrongSizes) {
  expect_cell_refuses<LSTMCell>();
  expect_cell_refuses<GRUCell>();
  expect_cell_refuses<RNNCell>();
}

// Several steps on the same input and back, from a gradient by h', by c' or by both.
template <class Cell>
void check_steps(Cell cell, std::size_t steps, bool from_h, bool from_c, double step = 1e-3,
                 double tolerance = 1e-9) {
  using State = typename Cell::State;
  recur::Generator generator(3);
  recur::test::randomize_parameters(cell, generator);
  auto x = random_matrix<double>(generator, 2, 3);
  const auto random_state = [&] {
    const auto h = random_matrix<double>(generator, 2, 4);
    return make_state<State>(h, random_matrix<double>(generator, 2, 4));
  };
  State first = random_state();
  State d_last = random_state();
  if (!from_h) {
    d_last.h.resize(0, 0);
  }
  if constexpr (has_c<Cell>) {
    if (!from_c) {
      d_last.c.resize(0, 0);
    }
  }
  std::vector<typename Cell::Tape> tapes(steps);
  const auto loss = [&] {
    State state = first;
    for (auto& tape : tapes) {
      state = cell.forward(x, state, tape);
    }
    double sum = from_h ? state.h.cwiseProduct(d_last.h).sum() : 0;
    if constexpr (has_c<Cell>) {
      sum += from_c ? state.c.cwiseProduct(d_last.c).sum() : 0;
    }
    return sum;
  };
  loss();
  typename Cell::Gradients gradients;
  State d_state = d_last;
  RowMatrix<double> d_x = RowMatrix<double>::Zero(2, 3);
  for (std::size_t k = steps; k-- > 0;) {
    cell.backward(tapes[k], d_state, gradients);
    d_state = gradients.state;
    d_x += gradients.input;
  }
  expect_gradient(x.data(), elements(d_x).values, loss, step, tolerance, "x");
  expect_gradient(first.h.data(), elements(d_state.h).values, loss, step, tolerance, "h");
  if constexpr (has_c<Cell>) {
    expect_gradient(first.c.data(), elements(d_state.c).values, loss, step, tolerance, "c");
  }
  recur::test::expect_parameter_gradients(cell, gradients.parameters, loss, step, tolerance);
}

TEST(PyTorchChecklist, P01_CellsSixStepsThenBackward) {
  for (const bool bias : {true, false}) {
    SCOPED_TRACE(bias);
    check_steps(LSTMCell({.input_size = 3, .hidden_size = 4, .bias = bias}), 6, true, true);
    check_steps(GRUCell({.input_size = 3, .hidden_size = 4, .bias = bias}), 6, true, false);
    check_steps(RNNCell({.input_size = 3, .hidden_size = 4, .bias = bias}), 6, true, false);
    // relu: steps so small that none crosses its kink, at the cost of digits.
    check_steps(
        RNNCell(
            {.input_size = 3, .hidden_size = 4, .bias = bias, .nonlinearity = Nonlinearity::relu}),
        6, true, false, 1e-6, 1e-7);
  }
}

TEST(PyTorchChecklist, P01_CellBackwardFromOnlyHOrOnlyC) {
  for (const std::size_t steps : {1U, 2U}) {
    check_steps(LSTMCell({.input_size = 3, .hidden_size = 4}), steps, true, false);
    check_steps(LSTMCell({.input_size = 3, .hidden_size = 4}), steps, false, true);
  }
}

template <class Cell>
void expect_unbatched_cell_equals_batched() {
  using Vector = recur::Vector<double>;
  using VectorState = typename Cell::template StateLike<Vector>;
  recur::Generator generator(3);
  const Cell cell({.input_size = 3, .hidden_size = 4}, generator);
  const auto x = random_matrix<double>(generator, 2, 3);
  const auto h = random_matrix<double>(generator, 2, 4);
  const auto c = random_matrix<double>(generator, 2, 4);
  const auto batched = cell.forward(x, make_state<typename Cell::State>(h, c));
  const auto without_state = cell.forward(x);
  for (Index b = 0; b < 2; ++b) {
    const auto row = [b](const RowMatrix<double>& m) { return Vector(m.row(b).transpose()); };
    const auto one = cell.forward(row(x), make_state<VectorState>(row(h), row(c)));
    EXPECT_EQ(one.h, row(batched.h));
    EXPECT_EQ(cell.forward(row(x)).h, row(without_state.h));
    if constexpr (has_c<Cell>) {
      EXPECT_EQ(one.c, row(batched.c));
    }
  }
}

TEST(PyTorchChecklist, P01_CellsBatchedAndUnbatched) {
  expect_unbatched_cell_equals_batched<LSTMCell>();
  expect_unbatched_cell_equals_batched<GRUCell>();
  expect_unbatched_cell_equals_batched<RNNCell>();
}

}  // namespace
}  // namespace pytorch_checklist_test
