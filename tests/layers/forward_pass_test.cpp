// SPDX-License-Identifier: MIT
//
// Forward through all layers on plain views; what users call is tested in stack_test.cpp.
#include "recur/layers/forward_pass.hpp"

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

}  // namespace
}  // namespace forward_pass_test
