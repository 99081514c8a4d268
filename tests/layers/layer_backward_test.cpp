// SPDX-License-Identifier: MIT
//
// One layer backwards, a chunk at a time; against references it is tested with the layers above it,
// in layer_forward_test.cpp and backward_pass_test.cpp.
#include "recur/layers/layer_backward.hpp"

#include <tuple>  // std::tie
#include <vector>

#include <gtest/gtest.h>

#include "recur/math/rnn.hpp"

#include "support/compare.hpp"
#include "support/random.hpp"

namespace {

using recur::Index;
using recur::Tensor3;
using RNN = recur::math::RNN;

// Two groups one by one, and both at once with several threads: the same bits everywhere.
TEST(LayerBackward, GroupsAloneOrTogether) {
  constexpr Index T = 8;
  constexpr Index B = 17;
  constexpr Index I = 5;
  constexpr Index H = 33;
  const recur::CellSizes sizes{I, H, H, RNN::gates, true};
  recur::Generator generator(2);
  recur::CellParameters<double> parameters(sizes);
  recur::initialize_uniform(parameters, H, generator);
  recur::kernels::PackedWeights<RNN, double> packed;
  packed.assign(sizes, parameters);
  const RNN rnn;
  const recur::cells::Weights<RNN, double> weights{rnn, packed};
  recur::Schedule schedule;
  schedule.assign(T, B);
  const auto x = recur::test::random_tensor<double>(generator, T, B, I);
  const auto h = recur::test::random_tensor<double>(generator, T + 2, B, H);
  const auto d_output = recur::test::random_tensor<double>(generator, T, B, H);
  const recur::layers::DirectionBuffers<const double> recorded{
      .h = h.data(), .h_slot = B * H, .h_row = H};

  struct Result {
    Tensor3<double> d_x = Tensor3<double>(T, B, I);
    std::vector<recur::CellParameters<double>> first;
    std::vector<recur::CellParameters<double>> second;
    recur::Workspace<double> work;
  };
  const auto run = [&](bool together, int threads) {
    Result result;
    result.first.emplace_back(sizes);
    result.second.emplace_back(sizes);
    auto& work = result.work;
    work.d_h.resize(1, B, recur::kernels::whole_registers<double>(H));
    work.d_h.set_zero();
    using Group = recur::layers::SequenceGroup<double>;
    const std::vector<Group> groups = {{0,
                                        8,
                                        work.chunks[0],
                                        result.first,
                                        recur::kernels::Start::zero,
                                        {d_output.view()},
                                        {result.d_x.view()}},
                                       {8,
                                        B,
                                        work.chunks[1],
                                        result.second,
                                        recur::kernels::Start::zero,
                                        {d_output.view()},
                                        {result.d_x.view()}}};
    const recur::layers::LayerBackward<RNN, double> layer({&weights, 1}, schedule, threads);
    for (const Index first : {5, 0}) {  // chunks of three steps and of five
      const recur::layers::Chunk chunk{first, first == 5 ? T : 5, 5 * B};
      if (together) {
        layer.run(chunk, 0, x.data(), I, {&recorded, 1}, groups, work);
      } else {
        layer.run(chunk, 0, x.data(), I, {&recorded, 1}, {&groups[1], 1}, work);
        layer.run(chunk, 0, x.data(), I, {&recorded, 1}, {&groups[0], 1}, work);
      }
    }
    return result;
  };
  const Result alone = run(false, 1);
  for (const int threads : {1, 2, 3, 4}) {
    SCOPED_TRACE(threads);
    const Result both = run(true, threads);
    recur::test::expect_same(both.d_x, alone.d_x, "d_x");
    recur::test::expect_same(both.work.d_h, alone.work.d_h, "d_h");
    recur::test::expect_same(both.first[0].weight_ih, alone.first[0].weight_ih, "weight_ih");
    recur::test::expect_same(both.second[0].weight_hh, alone.second[0].weight_hh, "weight_hh");
  }
  // All sequences as one group: the sums.
  Result whole;
  whole.first.emplace_back(sizes);
  whole.work.d_h.resize(1, B, recur::kernels::whole_registers<double>(H));
  whole.work.d_h.set_zero();
  const recur::layers::SequenceGroup<double> all{0,
                                                 B,
                                                 whole.work.chunks[0],
                                                 whole.first,
                                                 recur::kernels::Start::zero,
                                                 {d_output.view()},
                                                 {whole.d_x.view()}};
  recur::layers::LayerBackward<RNN, double>({&weights, 1}, schedule, 1)
      .run({0, T, T * B}, 0, x.data(), I, {&recorded, 1}, {&all, 1}, whole.work);
  const auto& [first, second] = std::tie(alone.first[0], alone.second[0]);
  EXPECT_TRUE(whole.first[0].weight_ih.isApprox(first.weight_ih + second.weight_ih, 1e-12));
  EXPECT_TRUE(whole.first[0].weight_hh.isApprox(first.weight_hh + second.weight_hh, 1e-12));
  EXPECT_TRUE(whole.first[0].bias_hh.isApprox(first.bias_hh + second.bias_hh, 1e-12));
  recur::test::expect_same(whole.d_x, alone.d_x, "d_x of all");
}

}  // namespace
