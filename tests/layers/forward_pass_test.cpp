// SPDX-License-Identifier: MIT
//
// Forward through all layers on plain views; what users call is tested in stack_test.cpp.
#include "recur/layers/forward_pass.hpp"

#include <algorithm>  // std::copy_n

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"

#include "support/network.hpp"

namespace forward_pass_test {
namespace {

using recur::Index;
using recur::Tensor3;
using GRU = recur::math::GRU;
using recur::test::random_tensor;

// Two layers of two directions, as loops of reference steps. The batch and the steps are so many
// that inference takes them in several chunks.
TEST(ForwardPass, EqualsLoopsOfReferenceSteps) {
  constexpr Index T = 40;
  constexpr Index B = 13;
  constexpr Index I = 3;
  constexpr Index H = 40;
  recur::Generator generator(5);
  const recur::test::NetworkOf<GRU> module({I, H, H, GRU::gates, true}, 2, 2, generator);
  recur::Schedule schedule;
  schedule.assign(T, B);
  ASSERT_LT(recur::layers::chunk_steps<double>(schedule, recur::math::slot_count<GRU> * H), T);

  const auto x = random_tensor<double>(generator, T, B, I);
  const auto h_0 = random_tensor<double>(generator, 4, B, H);
  const auto expected =
      recur::test::reference_pass(module.equations, module.parameters, x, h_0, {},
                                  Tensor3<double>(T, B, 2 * H), Tensor3<double>(4, B, H), {});

  Tensor3<double> output(T, B, 2 * H);
  Tensor3<double> h_n(4, B, H);
  recur::Workspace<double> work;
  const recur::layers::ForwardPass<GRU, double> pass(module.network, schedule);
  pass.run(x, {h_0}, output.view(), {h_n.view()}, work, nullptr);
  recur::test::expect_close(output, expected.output, 1e-12, "output");
  recur::test::expect_close(h_n, expected.h_n, 1e-12, "h_n");

  recur::Tape<double> tape;
  tape.schedule = schedule;
  Tensor3<double> recorded(T, B, 2 * H);
  pass.run(x, {h_0}, recorded.view(), {h_n.view()}, tape.workspace, &tape);
  recur::test::expect_same(recorded, output, "output in training");
}

// The states of the top layer stand in the output if its rows stand together, and the output may be
// where the initial state was; else they are copied there.
TEST(ForwardPass, HStandsInTheOutputOrBesideIt) {
  constexpr Index T = 7;
  constexpr Index B = 5;
  constexpr Index H = 9;
  for (const Index directions : {1, 2}) {
    recur::Generator generator(6);
    const Index width = directions * H;
    const recur::test::NetworkOf<GRU> module({4, H, H, GRU::gates, true}, 2, directions, generator);
    recur::Schedule schedule;
    schedule.assign(T, B);
    const auto x = random_tensor<double>(generator, T, B, 4);
    const auto h_0 = random_tensor<double>(generator, 2 * directions, B, H);
    const auto expected = recur::test::reference_pass(module.equations, module.parameters, x, h_0,
                                                      {}, Tensor3<double>(T, B, width),
                                                      Tensor3<double>(2 * directions, B, H), {});
    const recur::layers::ForwardPass<GRU, double> pass(module.network, schedule);
    const auto run = [&](const recur::Tensor3View<double>& output, Index slots_of_h) {
      recur::Workspace<double> work;
      Tensor3<double> h_n(2 * directions, B, H);
      std::copy_n(h_0.data(), h_0.size(), output.data());
      const recur::Tensor3View<const double> initial(output.data(), 2 * directions, B, H);
      pass.run(x, {initial}, output, {h_n.view()}, work, nullptr);
      EXPECT_EQ(work.h[1].size(0), slots_of_h);
      recur::test::expect_close(h_n, expected.h_n, 1e-12, "h_n");
      Tensor3<double> copy(T, B, width);
      for (Index t = 0; t < T; ++t) {
        for (Index b = 0; b < B; ++b) {
          std::copy_n(output.row(t, b), width, copy.view().row(t, b));
        }
      }
      recur::test::expect_close(copy, expected.output, 1e-12, "output");
    };
    Tensor3<double> memory(T + 1, B + 1, width + 1);
    run({memory.data(), T, B, width}, 1);
    run({memory.data(), T, B, width, (B + 1) * (width + 1), width + 1}, T + directions);
  }
}

}  // namespace
}  // namespace forward_pass_test
