// SPDX-License-Identifier: MIT
#include "recur/io/model_outputs.hpp"

#include <array>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"

namespace model_outputs_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::Vector;
using Names = std::vector<std::string>;
using Shape = std::vector<Index>;
using Values = std::vector<float>;

std::vector<recur::detail::ModelOutput<float>> outputs_of(const auto& result) {
  return recur::detail::ModelOutputs<float>(result).list();
}

Names names_of(const auto& result) {
  Names names;
  for (const auto& output : outputs_of(result)) {
    names.push_back(output.name);
  }
  return names;
}

// (d0, d1, d2) with 0, 1, 2, … in the order of the memory.
Tensor3<float> counted(Index d0, Index d1, Index d2) {
  Tensor3<float> tensor(d0, d1, d2);
  for (Index k = 0; k < tensor.size(); ++k) {
    tensor.data()[k] = static_cast<float>(k);
  }
  return tensor;
}

void expect_one(const auto& result, const Shape& shape, const Values& values) {
  const auto list = outputs_of(result);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].name, "output");
  EXPECT_EQ(list[0].shape, shape);
  EXPECT_EQ(list[0].values, values);
}

TEST(ModelOutputs, OneArray) {
  expect_one(counted(1, 2, 3), {1, 2, 3}, {0, 1, 2, 3, 4, 5});
  expect_one(RowMatrix<float>{{1, 2, 3}, {4, 5, 6}}, {2, 3}, {1, 2, 3, 4, 5, 6});
  const Vector<float> vector{{7, 8, 9}};
  expect_one(vector, {3}, {7, 8, 9});
  expect_one(counted(2, 0, 3), {2, 0, 3}, {});
}

// Row-major, whatever the memory is like.
TEST(ModelOutputs, ArraysOfAnotherOrder) {
  expect_one(Eigen::MatrixXf{{1, 2, 3}, {4, 5, 6}}, {2, 3}, {1, 2, 3, 4, 5, 6});
  const RowMatrix<float> matrix{{1, 2, 3}, {4, 5, 6}};
  expect_one(matrix.transpose(), {3, 2}, {1, 4, 2, 5, 3, 6});
  expect_one(matrix.rightCols(2), {2, 2}, {2, 3, 5, 6});
}

TEST(ModelOutputs, LayersAndCells) {
  const recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4, .num_layers = 2});
  const auto of_lstm = lstm.forward(counted(5, 2, 3));
  const auto list = outputs_of(of_lstm);
  ASSERT_EQ(names_of(of_lstm), (Names{"output", "h_n", "c_n"}));
  EXPECT_EQ(list[0].shape, (Shape{5, 2, 4}));
  EXPECT_EQ(list[1].shape, (Shape{2, 2, 4}));
  EXPECT_EQ(list[2].shape, (Shape{2, 2, 4}));
  for (std::size_t k = 0; k < 8; ++k) {  // of the last layer: the last step of the output
    EXPECT_EQ(list[1].values[8 + k], list[0].values[4 * 8 + k]);
    EXPECT_EQ(list[2].values[8 + k], of_lstm.state.c.data()[8 + k]);
  }

  const recur::GRU<float> gru({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(names_of(gru.forward(counted(5, 2, 3))), (Names{"output", "h_n"}));
  const RowMatrix<float> x = RowMatrix<float>::Ones(2, 3);
  const recur::LSTMCell<float> lstm_cell({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(names_of(lstm_cell.forward(x)), (Names{"h_n", "c_n"}));
  const recur::GRUCell<float> gru_cell({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(names_of(gru_cell.forward(x)), Names{"h_n"});
}

TEST(ModelOutputs, TuplesAreNumbered) {
  const Tensor3<float> a = counted(1, 1, 2);
  const Vector<float> b{{5, 6, 7}};
  EXPECT_EQ(names_of(std::pair(a, b)), (Names{"output.0", "output.1"}));
  EXPECT_EQ(names_of(std::tuple(a)), Names{"output.0"});
  EXPECT_EQ(names_of(std::array{b, b, b}), (Names{"output.0", "output.1", "output.2"}));
  EXPECT_EQ(names_of(std::tuple(a, std::pair(b, std::tuple(a)), b)),
            (Names{"output.0", "output.1.0", "output.1.1.0", "output.2"}));
  const auto list = outputs_of(std::tuple(a, b));
  EXPECT_EQ(list[0].values, (Values{0, 1}));
  EXPECT_EQ(list[1].shape, Shape{3});
  EXPECT_EQ(list[1].values, (Values{5, 6, 7}));
}

TEST(ModelOutputs, StatesAndLayersInTuples) {
  const Tensor3<float> a = counted(1, 1, 2);
  const recur::LSTM<float>::State state{counted(1, 2, 3), counted(1, 2, 3)};
  EXPECT_EQ(names_of(state), (Names{"h_n", "c_n"}));
  EXPECT_EQ(names_of(std::tuple(a, state)), (Names{"output.0", "output.1.h_n", "output.1.c_n"}));
  const recur::GRU<float> gru({.input_size = 3, .hidden_size = 4});
  EXPECT_EQ(names_of(std::tuple(gru.forward(counted(1, 1, 3)), a)),
            (Names{"output.0.output", "output.0.h_n", "output.1"}));
}

}  // namespace
}  // namespace model_outputs_test
