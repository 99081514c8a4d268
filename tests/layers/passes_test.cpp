// SPDX-License-Identifier: MIT
//
// The passes through all layers on plain views; what users call is tested in stack_test.cpp.
#include "recur/layers/passes.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"

#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/reference.hpp"

namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::random_tensor;
namespace layers = recur::layers;
using GRU = recur::math::GRU;

// Two layers of two directions, as loops of reference steps. The batch and the steps are so many
// that inference takes them in several chunks, training in one.
TEST(Passes, EqualLoopsOfReferenceSteps) {
  constexpr Index T = 40;
  constexpr Index B = 13;
  constexpr Index I = 3;
  constexpr Index H = 40;
  recur::Generator generator(5);
  recur::StackParameters<double> parameters;
  parameters.directions = 2;
  std::vector<recur::kernels::PackedWeights<GRU, double>> packed(4);
  for (std::size_t k = 0; k < packed.size(); ++k) {
    const recur::CellSizes sizes{k < 2 ? I : 2 * H, H, H, GRU::gates, true};
    parameters.cells.emplace_back(sizes);
    recur::initialize_uniform(parameters.cells.back(), H, generator);
    packed[k].assign(sizes, parameters.cells.back());
  }
  const GRU gru;
  const layers::Network<GRU, double> network{gru, parameters, packed, 2, 2, 0.0};
  recur::Schedule schedule;
  schedule.assign(T, B);
  ASSERT_LT(layers::chunk_steps<double>(schedule, recur::math::slot_count<GRU> * H), T);
  const layers::Passes<GRU, double> passes(network, schedule);

  const auto x = random_tensor<double>(generator, T, B, I);
  const auto h_0 = random_tensor<double>(generator, 4, B, H);
  const auto d_output = random_tensor<double>(generator, T, B, 2 * H);
  const auto d_h_n = random_tensor<double>(generator, 4, B, H);
  const auto expected =
      recur::test::reference_pass(gru, parameters, x, h_0, {}, d_output, d_h_n, {});

  Tensor3<double> output(T, B, 2 * H);
  Tensor3<double> h_n(4, B, H);
  recur::Workspace<double> work;
  passes.forward(x, {h_0}, output.view(), {h_n.view()}, work, nullptr);
  recur::test::expect_close(output, expected.output, 1e-12, "output");
  recur::test::expect_close(h_n, expected.h_n, 1e-12, "h_n");

  recur::Tape<double> tape;
  tape.schedule = schedule;
  Tensor3<double> recorded(T, B, 2 * H);
  passes.forward(x, {h_0}, recorded.view(), {h_n.view()}, tape.workspace, &tape);
  recur::test::expect_same(recorded, output, "output in training");
  Tensor3<double> d_input(T, B, I);
  Tensor3<double> d_h_0(4, B, H);
  recur::StackParameters<double> gradients = parameters;
  recur::set_zero(gradients);
  passes.backward(tape, d_output, {d_h_n}, d_input.view(), {d_h_0.view()},
                  recur::kernels::Start::accumulate, gradients.cells);
  recur::test::expect_close(d_input, expected.d_input, 1e-12, "d_input");
  recur::test::expect_close(d_h_0, expected.d_h_0, 1e-12, "d_h_0");
  recur::test::expect_parameters_close(gradients, expected.d_parameters, 1e-12);
}

}  // namespace
