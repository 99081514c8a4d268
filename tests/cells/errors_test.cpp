// SPDX-License-Identifier: MIT
//
// What cells refuse: the whole text, word for word PyTorch's (2.14) where it has one, and not a
// byte written before.
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/cells/rnn_cell.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/states.hpp"

namespace errors_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::Vector;
using recur::test::bytes_of;
using recur::test::error_of;
using recur::test::has_c;
using recur::test::random_matrix;
using LSTMCell = recur::LSTMCell<float>;
using GRUCell = recur::GRUCell<float>;
using RNNCell = recur::RNNCell<float>;

template <class Cell>
class CellErrors : public testing::Test {};
using Cells = testing::Types<LSTMCell, GRUCell, RNNCell>;
template <class Cell>
inline constexpr const char* name_of = "RNN";
template <>
inline constexpr const char* name_of<LSTMCell> = "LSTM";
template <>
inline constexpr const char* name_of<GRUCell> = "GRU";
struct CellName {
  template <class Cell>
  static std::string GetName(int) {
    return name_of<Cell>;
  }
};
TYPED_TEST_SUITE(CellErrors, Cells, CellName);

// h and, for the LSTM, c.
template <class Cell, class Array>
typename Cell::template StateLike<Array> state_of(const Array& h, const Array& c) {
  if constexpr (has_c<Cell>) {
    return {h, c};
  } else {
    return {h};
  }
}

// A cell after one step and back; each refusal is checked to have left every byte.
template <class Cell>
struct Trained {
  Cell cell{{.input_size = 3, .hidden_size = 4}};
  RowMatrix<float> x;
  typename Cell::State next;
  typename Cell::Tape tape;
  typename Cell::Gradients gradients;

  Trained() {
    recur::Generator generator(2);
    x = random_matrix<float>(generator, 2, 3);
    next = cell.forward(x, {}, tape);
    cell.backward(tape, next, gradients);
  }

  std::string contents() const {
    return bytes_of(cell.parameters(), x, next, tape, gradients, recur::default_generator());
  }

  template <class Call>
  void refuses(const std::string& text, Call&& call) {
    const std::string before = contents();
    EXPECT_EQ(error_of(call), text);
    EXPECT_TRUE(contents() == before) << "written before: " << text;
  }
  template <class Array>
  void refuses_forward(const std::string& text, const Array& input,
                       const typename Cell::template StateLike<Array>& state = {}) {
    refuses(text, [&] { cell.forward(input, state); });
    refuses(text, [&] { cell.forward(input, state, tape); });
  }
};

TYPED_TEST(CellErrors, Options) {
  recur::Generator generator(1);
  for (const Index size : {0, -1}) {
    const std::string before = bytes_of(generator, recur::default_generator());
    EXPECT_EQ(error_of([&] { TypeParam({.input_size = 3, .hidden_size = size}, generator); }),
              "hidden_size must be greater than zero");
    EXPECT_EQ(error_of([&] { TypeParam({.input_size = size, .hidden_size = 4}); }),
              "input_size must be greater than zero");
    EXPECT_TRUE(bytes_of(generator, recur::default_generator()) == before);
  }
}

TYPED_TEST(CellErrors, InputSize) {
  Trained<TypeParam> t;
  const std::string text = "input has inconsistent input_size: got 5 expected 3";
  t.refuses_forward(text, RowMatrix<float>(2, 5));
  t.refuses_forward(text, Eigen::MatrixXf(5, 2));
  t.refuses_forward(text, Vector<float>(5));
  // The input is looked at before the state.
  const RowMatrix<float> wrong(9, 9);
  t.refuses_forward(text, RowMatrix<float>(2, 5), state_of<TypeParam>(wrong, wrong));
}

TYPED_TEST(CellErrors, HiddenSizes) {
  Trained<TypeParam> t;
  const RowMatrix<float> good(2, 4);
  const auto refuses = [&](const std::string& text, Index rows, Index units) {
    t.refuses_forward(text, t.x, state_of<TypeParam>(RowMatrix<float>(rows, units), good));
    const Eigen::MatrixXf columns = t.x.transpose();
    t.refuses_forward(text, columns,
                      state_of<TypeParam>(Eigen::MatrixXf(units, rows), Eigen::MatrixXf(4, 2)));
  };
  refuses("Input batch size 2 doesn't match hidden0 batch size 3", 3, 4);
  refuses("Input batch size 2 doesn't match hidden0 batch size 3", 3, 5);
  refuses("Input batch size 2 doesn't match hidden0 batch size 0", 0, 4);
  refuses("hidden0 has inconsistent hidden_size: got 5, expected 4", 2, 5);
  refuses("hidden0 has inconsistent hidden_size: got 0, expected 4", 2, 0);
  t.refuses_forward("hidden0 has inconsistent hidden_size: got 5, expected 4", Vector<float>(3),
                    state_of<TypeParam>(Vector<float>(5), Vector<float>(4)));
}

TEST(LSTMCellErrors, SizesOfC) {
  Trained<LSTMCell> t;
  const RowMatrix<float> good(2, 4);
  const auto refuses = [&](const std::string& text, Index rows, Index units) {
    t.refuses_forward(text, t.x, {good, RowMatrix<float>(rows, units)});
    t.refuses_forward(text, t.x, {{}, RowMatrix<float>(rows, units)});
  };
  refuses("Input batch size 2 doesn't match hidden1 batch size 3", 3, 4);
  refuses("hidden1 has inconsistent hidden_size: got 5, expected 4", 2, 5);
  refuses("hidden1 has inconsistent hidden_size: got 0, expected 4", 2, 0);
  t.refuses_forward("hidden1 has inconsistent hidden_size: got 5, expected 4", Vector<float>(3),
                    {Vector<float>(4), Vector<float>(5)});
  // h is looked at first.
  t.refuses_forward("hidden0 has inconsistent hidden_size: got 5, expected 4", t.x,
                    {RowMatrix<float>(2, 5), RowMatrix<float>(3, 4)});
}

// PyTorch finds out at run time ("LSTMCell: Expected input to be 1D or 2D, got 3D instead"); here
// the types do not go together.
template <class Cell, class X, class State>
concept CanForward = requires(const Cell& cell, const X& x, const State& state) {
  cell.forward(x, state);
};

TYPED_TEST(CellErrors, OtherDimensionsDoNotCompile) {
  using Matrix = RowMatrix<float>;
  using VectorState = typename TypeParam::template StateLike<Vector<float>>;
  using MatrixState = typename TypeParam::State;
  static_assert(CanForward<TypeParam, Matrix, MatrixState>);
  static_assert(CanForward<TypeParam, Vector<float>, VectorState>);
  static_assert(!CanForward<TypeParam, Tensor3<float>, MatrixState>);
  static_assert(!CanForward<TypeParam, Matrix, recur::HiddenState<Tensor3<float>>>);
  static_assert(!CanForward<TypeParam, Matrix, recur::LSTMState<Tensor3<float>>>);
}

TYPED_TEST(CellErrors, Gradients) {
  Trained<TypeParam> t;
  const RowMatrix<float> good(2, 4);
  const auto refuses = [&](const std::string& text, const RowMatrix<float>& d_h) {
    t.refuses(text, [&] { t.cell.backward(t.tape, state_of<TypeParam>(d_h, good), t.gradients); });
  };
  refuses("Input batch size 2 doesn't match hidden0 batch size 3", RowMatrix<float>(3, 4));
  refuses("hidden0 has inconsistent hidden_size: got 5, expected 4", RowMatrix<float>(2, 5));
  if constexpr (has_c<TypeParam>) {
    t.refuses("hidden1 has inconsistent hidden_size: got 5, expected 4", [&] {
      t.cell.backward(t.tape, {good, RowMatrix<float>(2, 5)}, t.gradients);
    });
  }
}

TYPED_TEST(CellErrors, GradientsOfAnotherCell) {
  Trained<TypeParam> t;
  const std::string rows = std::to_string(t.cell.parameters().weight_ih.rows());
  const auto refuses = [&](const std::string& text, const typename TypeParam::Options& options) {
    t.gradients.parameters = TypeParam(options).parameters();
    t.refuses(text, [&] { t.cell.backward(t.tape, t.next, t.gradients); });
  };
  refuses("gradient of weight_ih: expected (" + rows + ", 3), got (" + rows + ", 7)",
          {.input_size = 7, .hidden_size = 4});
  refuses("gradient of bias_ih: expected (" + rows + ", 1), got (0, 1)",
          {.input_size = 3, .hidden_size = 4, .bias = false});
  t.gradients.parameters = t.cell.parameters();
  t.gradients.parameters.weight_hh.resize(1, 1);
  t.refuses("gradient of weight_hh: expected (" + rows + ", 4), got (1, 1)",
            [&] { t.cell.backward(t.tape, t.next, t.gradients); });
}

TYPED_TEST(CellErrors, TapeOfAnotherCell) {
  Trained<TypeParam> t;
  const std::string text = std::string(name_of<TypeParam>) +
                           "Cell::backward: expected a tape of input_size 3 and hidden_size 4, got "
                           "one of others (call forward with this tape first)";
  const auto refuses = [&] {
    t.refuses(text, [&] { t.cell.backward(t.tape, t.next, t.gradients); });
  };
  t.tape = {};
  refuses();
  TypeParam({.input_size = 7, .hidden_size = 4}).forward(RowMatrix<float>(2, 7), {}, t.tape);
  refuses();
  TypeParam({.input_size = 3, .hidden_size = 5}).forward(RowMatrix<float>(2, 3), {}, t.tape);
  refuses();
}

}  // namespace
}  // namespace errors_test
