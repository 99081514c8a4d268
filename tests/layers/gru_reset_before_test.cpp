// SPDX-License-Identifier: MIT
//
// The whole module over two products a step: against loops of reference steps and finite
// differences. Against Keras's and ONNX's equations: io/keras_test.cpp, io/onnx_test.cpp.
#include "recur/layers/gru_reset_before.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/cell.hpp"
#include "recur/layers/gru.hpp"

#include "support/compare_with_reference.hpp"
#include "support/gradient_check.hpp"

namespace gru_reset_before_test {
namespace {

using recur::Index;
using recur::test::expect_equals_reference;
namespace math = recur::math;

TEST(GRUResetBefore, EqualsReference) {
  for (const Index hidden : {1, 2, 7, 8, 17, 33, 70}) {
    SCOPED_TRACE(hidden);
    recur::GRUResetBefore<double> gru(
        {.input_size = 3, .hidden_size = hidden, .num_layers = 2, .bidirectional = true});
    expect_equals_reference(math::GRUResetBefore(), gru, 4, 7, 1e-12);
    recur::GRUResetBefore<double> single({.input_size = 3, .hidden_size = hidden, .bias = false});
    expect_equals_reference(math::GRUResetBefore(), single, 3, 1, 1e-12);
    recur::GRUResetBefore<float> narrow({.input_size = 3, .hidden_size = hidden});
    expect_equals_reference(math::GRUResetBefore(), narrow, 4, 7, 1e-5);
  }
}

TEST(GRUResetBefore, GradientsByFiniteDifferences) {
  for (const bool bias : {true, false}) {
    recur::GRUResetBefore<double> gru({.input_size = 3,
                                       .hidden_size = 4,
                                       .num_layers = 2,
                                       .bias = bias,
                                       .batch_first = bias,
                                       .bidirectional = true});
    recur::test::check_layer_gradients(gru, 5, 2, true);
  }
}

// The reset gate's place makes a difference, even without biases.
TEST(GRUResetBefore, IsNotPyTorchsGRU) {
  recur::Generator generator(1);
  recur::GRUResetBefore<double> before({.input_size = 2, .hidden_size = 3, .bias = false});
  recur::test::randomize_parameters(before, generator);
  recur::GRU<double> after({.input_size = 2, .hidden_size = 3, .bias = false});
  after.update_parameters([&](auto& parameters) { parameters = before.parameters(); });
  const auto x = recur::test::random_tensor<double>(generator, 9, 1, 2);
  const auto a = before.forward(x).output;
  const auto b = after.forward(x).output;
  EXPECT_DOUBLE_EQ(a(0, 0, 0), b(0, 0, 0));  // h is zero
  EXPECT_GT((a.rows() - b.rows()).cwiseAbs().maxCoeff(), 1e-3);
}

TEST(GRUResetBefore, SequencesOfDifferentLengthsAndThreadsChangeNoBit) {
  recur::Generator generator(2);
  const recur::GRUResetBefore<float> gru(
      {.input_size = 5, .hidden_size = 90, .num_layers = 2, .bidirectional = true}, generator);
  const auto x = recur::test::random_tensor<float>(generator, 6, 3, 5);
  const std::vector<Index> lengths{4, 6, 0};
  const auto all = gru.forward(x, lengths);
  const auto alone = gru.forward(x.view().narrow(1, 0, 1).narrow(0, 0, 4));
  for (Index t = 0; t < 4; ++t) {
    EXPECT_TRUE(all.output[t].row(0) == alone.output[t].row(0)) << t;
  }
  const int before = recur::max_threads();
  for (const int threads : {1, 3}) {
    recur::set_num_threads(threads);
    recur::test::expect_same(gru.forward(x, lengths).output, all.output, "output");
  }
  recur::set_num_threads(before);
}

TEST(GRUResetBefore, ObservesItsGates) {
  recur::Generator generator(3);
  const recur::GRUResetBefore<double> gru({.input_size = 2, .hidden_size = 3}, generator);
  recur::GRUResetBefore<double>::Tape tape;
  const auto x = recur::test::random_tensor<double>(generator, 4, 1, 2);
  const auto [output, state] = gru.forward(x, {}, tape);
  const auto r = gru.observe(tape, "r");
  const auto rh = gru.observe(tape, "rh");
  for (Index j = 0; j < 3; ++j) {
    EXPECT_DOUBLE_EQ(rh(3, 0, j), r(3, 0, j) * output(2, 0, j));
  }
}

// One step as a module.
TEST(GRUResetBefore, CellEqualsLayer) {
  recur::Generator generator(4);
  const recur::Cell<math::GRUResetBefore, double> cell({.input_size = 2, .hidden_size = 5},
                                                       generator);
  recur::GRUResetBefore<double> gru({.input_size = 2, .hidden_size = 5});
  gru.update_parameters([&](auto& parameters) { parameters.cell(0) = cell.parameters(); });
  const auto x = recur::test::random_tensor<double>(generator, 1, 3, 2);
  recur::GRUResetBefore<double>::State state;
  state.h = recur::test::random_tensor<double>(generator, 1, 3, 5);
  const recur::RowMatrix<double> h = state.h[0];
  const recur::RowMatrix<double> x_0 = x[0];
  const recur::RowMatrix<double> expected = gru.forward(x, state).output[0];
  recur::test::expect_close(cell.forward(x_0, {h}).h, expected, 1e-14, "h");
}

}  // namespace
}  // namespace gru_reset_before_test
