// SPDX-License-Identifier: MIT
//
// Backward through all layers on plain views; what users call is tested in stack_test.cpp.
#include "recur/layers/backward_pass.hpp"

#include <gtest/gtest.h>

#include "recur/layers/forward_pass.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/compare_with_reference.hpp"
#include "support/network.hpp"

namespace backward_pass_test {
namespace {

using recur::Index;
using recur::Tensor3;
using GRU = recur::math::GRU;
using recur::test::random_tensor;
namespace math = recur::math;

// Layers as loops of reference steps; the gradients are added to what is there.
void expect_equals_reference(Index T, Index B, Index H, Index layers, Index directions,
                             Index groups) {
  constexpr Index I = 3;
  recur::Generator generator(5);
  const recur::test::NetworkOf<GRU> module({I, H, H, GRU::gates, true}, layers, directions,
                                           generator);
  recur::Schedule schedule;
  schedule.assign(T, B);
  ASSERT_EQ(recur::layers::sequence_groups(module.network, schedule), groups);

  const Index states = layers * directions;
  const auto x = random_tensor<double>(generator, T, B, I);
  const auto h_0 = random_tensor<double>(generator, states, B, H);
  const auto d_output = random_tensor<double>(generator, T, B, directions * H);
  const auto d_h_n = random_tensor<double>(generator, states, B, H);
  auto expected = recur::test::reference_pass(module.equations, module.parameters, x, h_0, {},
                                              d_output, d_h_n, {});

  recur::Tape<double> tape;
  tape.schedule = schedule;
  Tensor3<double> output(T, B, directions * H);
  Tensor3<double> h_n(states, B, H);
  recur::layers::ForwardPass<GRU, double>(module.network, schedule)
      .run(x, {h_0}, output.view(), {h_n.view()}, tape.workspace, &tape);
  Tensor3<double> d_input(T, B, I);
  Tensor3<double> d_h_0(states, B, H);
  recur::StackParameters<double> gradients = module.parameters;
  recur::layers::BackwardPass<GRU, double>(module.network, schedule)
      .run(tape, d_output, {d_h_n}, d_input.view(), {d_h_0.view()},
           recur::kernels::Start::accumulate, gradients.cells);
  recur::test::expect_close(d_input, expected.d_input, 1e-12, "d_input");
  recur::test::expect_close(d_h_0, expected.d_h_0, 1e-12, "d_h_0");
  for (std::size_t k = 0; k < gradients.cells.size(); ++k) {
    recur::CellParameters<double>::visit(
        [](const recur::ParameterName&, auto& sum, const auto& before) { sum += before; },
        expected.d_parameters.cells[k], module.parameters.cells[k]);
  }
  recur::test::expect_parameters_close(gradients, expected.d_parameters, 1e-12);
}

TEST(BackwardPass, EqualsLoopsOfReferenceSteps) { expect_equals_reference(40, 13, 40, 2, 2, 1); }

// In several chunks of steps.
TEST(BackwardPass, OfTwoGroupsEqualsLoopsOfReferenceSteps) {
  expect_equals_reference(70, 23, 40, 2, 1, 2);
}

// Groups of so many sequences that a chunk has few steps, and of cells of every kind.
TEST(BackwardPass, OfTwoGroupsEqualsReferenceForEveryCell) {
  const Index steps = 10;
  const Index batch = 151;
  recur::LSTM<double> lstm({.input_size = 4, .hidden_size = 21, .num_layers = 2});
  recur::test::expect_equals_reference(math::LSTM(), lstm, steps, batch, 1e-11);
  recur::LSTM<double> projected(
      {.input_size = 4, .hidden_size = 21, .num_layers = 2, .proj_size = 9});
  recur::test::expect_equals_reference(math::LSTM(), projected, steps, batch, 1e-11);
  recur::GRU<double> gru({.input_size = 4, .hidden_size = 21, .num_layers = 2});
  recur::test::expect_equals_reference(math::GRU(), gru, steps, batch, 1e-11);
  recur::GRUResetBefore<double> before({.input_size = 4, .hidden_size = 21, .num_layers = 2});
  recur::test::expect_equals_reference(math::GRUResetBefore(), before, steps, batch, 1e-11);
  recur::RNN<double> rnn({.input_size = 4, .hidden_size = 21, .num_layers = 2});
  recur::test::expect_equals_reference(math::RNN(), rnn, steps, batch, 1e-11);
  recur::RNN<float> narrow({.input_size = 4, .hidden_size = 10, .num_layers = 2});
  recur::test::expect_equals_reference(math::RNN(), narrow, steps, batch, 1e-4);
}

Index groups_of(Index T, Index B, Index I, Index H, Index directions = 1) {
  recur::Generator generator(1);
  const recur::test::NetworkOf<GRU> module({I, H, H, GRU::gates, true}, 1, directions, generator);
  recur::Schedule schedule;
  schedule.assign(T, B);
  return recur::layers::sequence_groups(module.network, schedule);
}

TEST(BackwardPass, GroupsManySequencesOfFewUnits) {
  EXPECT_EQ(groups_of(100, 16, 10, 20), 2);
  EXPECT_EQ(groups_of(100, 15, 10, 20), 1);     // too few to share
  EXPECT_EQ(groups_of(4, 16, 10, 20), 2);       // 32 rows each, 30 columns of gradients
  EXPECT_EQ(groups_of(3, 16, 10, 20), 1);       // 24
  EXPECT_EQ(groups_of(100, 64, 10, 147), 2);    // 506 KB of W_hh
  EXPECT_EQ(groups_of(100, 64, 10, 148), 1);    // 513
  EXPECT_EQ(groups_of(100, 16, 10, 20, 2), 1);  // the directions are shared

  recur::Generator generator(1);
  const recur::test::NetworkOf<GRU> module({10, 20, 20, GRU::gates, true}, 1, 1, generator);
  recur::Schedule schedule;
  schedule.assign(100, 16, std::vector<Index>(16, 100));
  EXPECT_EQ(recur::layers::sequence_groups(module.network, schedule), 1);  // may have other lengths
}

}  // namespace
}  // namespace backward_pass_test
