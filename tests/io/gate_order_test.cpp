// SPDX-License-Identifier: MIT
//
// The orders are those that the frameworks document:
//
//            LSTM       GRU
//   ours     i f g o    r z n      as PyTorch: torch.nn.LSTM, torch.nn.GRU
//   Keras    i f c o    z r h      keras.layers.LSTM, keras.layers.GRU
//   ONNX     i o f c    z r h      onnx/docs/Operators.md
//
// where c is g and h is n.
#include "recur/io/gate_order.hpp"

#include <algorithm>  // std::next_permutation
#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "recur/layers/lstm.hpp"

#include "support/compare.hpp"

namespace gate_order_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Vector;
using recur::detail::check_converted_shape;
using recur::detail::check_convertible;
using recur::detail::GateOrder;
using recur::detail::gates_to_ours;
using recur::detail::gates_to_theirs;
using recur::detail::sum_of_biases;

// Where the gates of `ours` stand in `theirs`, both with our letters.
template <std::size_t Gates>
GateOrder<Gates> order_of(const std::string& ours, const std::string& theirs) {
  GateOrder<Gates> place{};
  for (std::size_t k = 0; k < Gates; ++k) {
    place[k] = static_cast<Index>(theirs.find(ours[k]));
  }
  return place;
}

// H rows for each gate; every element says its gate, its row there and its column.
RowMatrix<int> rows_of(const std::string& gates, Index hidden, Index columns) {
  RowMatrix<int> matrix(static_cast<Index>(gates.size()) * hidden, columns);
  for (Index i = 0; i < matrix.rows(); ++i) {
    for (Index j = 0; j < columns; ++j) {
      const int letter = gates[static_cast<std::size_t>(i / hidden)];
      matrix(i, j) = letter * 100 + static_cast<int>(i % hidden * 10 + j);
    }
  }
  return matrix;
}

template <std::size_t Gates>
void expect_both_ways(const std::string& ours, const std::string& theirs) {
  const GateOrder<Gates> place = order_of<Gates>(ours, theirs);
  for (const Index hidden : {1, 2, 5}) {
    for (const Index columns : {1, 3}) {
      const RowMatrix<int> our_rows = rows_of(ours, hidden, columns);
      const RowMatrix<int> their_rows = rows_of(theirs, hidden, columns);
      EXPECT_EQ(gates_to_ours(place, their_rows), our_rows) << theirs << ", " << hidden;
      EXPECT_EQ(gates_to_theirs(place, our_rows), their_rows) << theirs << ", " << hidden;
    }
  }
}

TEST(GateOrder, KerasAndOnnx) {
  expect_both_ways<4>("ifgo", "ifgo");  // Keras: i f c o
  expect_both_ways<4>("ifgo", "iofg");  // ONNX: i o f c
  expect_both_ways<3>("rzn", "zrn");    // both: z r h
  expect_both_ways<1>("h", "h");
}

// Among them those that are not their own inverse, as ONNX's is not either.
TEST(GateOrder, EveryOrderOfThreeAndFour) {
  std::string three = "nrz";
  do {
    expect_both_ways<3>("rzn", three);
  } while (std::next_permutation(three.begin(), three.end()));
  std::string four = "fgio";
  do {
    expect_both_ways<4>("ifgo", four);
  } while (std::next_permutation(four.begin(), four.end()));
}

TEST(GateOrder, VectorsAndExpressions) {
  const GateOrder<3> place{1, 0, 2};  // z r n -> r z n
  const Vector<float> theirs{{1, 2, 3, 4, 5, 6}};
  const Vector<float> ours{{3, 4, 1, 2, 5, 6}};
  EXPECT_EQ(gates_to_ours(place, theirs), ours);
  EXPECT_EQ(gates_to_theirs(place, ours), theirs);
  const RowMatrix<float> kernel{{1, 2, 3}};  // Keras: gates in the columns
  const Vector<double> column{{2, 1, 3}};
  EXPECT_EQ(gates_to_ours(place, kernel.transpose().cast<double>()), column);
  EXPECT_EQ(gates_to_ours(place, Vector<float>()).size(), 0);
}

TEST(SumOfBiases, AddsThem) {
  const Vector<double> b_ih{{1, -2, 0.5}};
  const Vector<double> b_hh{{0.25, 2, -3}};
  EXPECT_EQ(sum_of_biases<double>(b_ih, b_hh), (Vector<double>{{1.25, 0, -2.5}}));
  EXPECT_EQ(sum_of_biases<double>(Vector<double>(), Vector<double>()).size(), 0);
}

// The other one bit by bit: -0 + 0 would be 0, and a model would not go back as it came.
TEST(SumOfBiases, ZeroLeavesTheOtherAsItIs) {
  const Vector<double> values{{-0.0, 0.0, 0.1, std::numeric_limits<double>::denorm_min()}};
  const Vector<double> zeros = Vector<double>::Zero(4);
  for (const Vector<double>& sum :
       {sum_of_biases<double>(values, zeros), sum_of_biases<double>(values, -zeros)}) {
    EXPECT_EQ(sum, values);
    EXPECT_TRUE(std::signbit(sum[0]));
    EXPECT_FALSE(std::signbit(sum[1]));
  }
  EXPECT_EQ(sum_of_biases<double>(zeros, values), values);
}

TEST(ConvertedShape, MustBeTheLayers) {
  EXPECT_NO_THROW(check_converted_shape("Keras LSTM", "kernel", 3, 20, 3, 20));
  EXPECT_EQ(recur::test::error_of(
                [] { check_converted_shape("Keras LSTM, layer 1", "kernel", 4, 20, 3, 20); }),
            "Keras LSTM, layer 1: kernel: expected (3, 20), got (4, 20)");
  EXPECT_ERROR(check_converted_shape("x", "W", 3, 20, 3, 21),
               "x: W: expected (3, 21), got (3, 20)");
}

TEST(Convertible, LayersWithoutAProjection) {
  const recur::LSTM<float> projected({.input_size = 3, .hidden_size = 5, .proj_size = 2});
  EXPECT_EQ(recur::test::error_of([&] { check_convertible(projected, "ONNX", 0, 0); }),
            "ONNX has no projection: expected a layer with proj_size = 0, got 2");
}

TEST(Convertible, CellsThatTheLayerHas) {
  const recur::LSTM<float> lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 3, .bidirectional = true});
  for (Index layer = 0; layer < 3; ++layer) {
    for (Index direction = 0; direction < 2; ++direction) {
      EXPECT_NO_THROW(check_convertible(lstm, "Keras", layer, direction));
    }
  }
  const std::string expected = "Keras: expected a layer below 3 and a direction below 2, got ";
  EXPECT_ERROR(check_convertible(lstm, "Keras", 3, 0), expected + "3 and 0");
  EXPECT_ERROR(check_convertible(lstm, "Keras", -1, 1), expected + "-1 and 1");
  EXPECT_ERROR(check_convertible(lstm, "Keras", 0, 2), expected + "0 and 2");
  EXPECT_ERROR(check_convertible(lstm, "Keras", 1, -1), expected + "1 and -1");
}

}  // namespace
}  // namespace gate_order_test
