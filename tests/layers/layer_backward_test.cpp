// SPDX-License-Identifier: MIT
//
// One layer backwards, a chunk at a time; against references it is tested with the layers above it,
// in layer_forward_test.cpp and backward_pass_test.cpp.
#include "recur/layers/layer_backward.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/math/rnn.hpp"

#include "support/compare.hpp"
#include "support/random.hpp"

namespace layer_backward_test {
namespace {

using recur::Index;
using recur::Tensor3;
using RNN = recur::math::RNN;

// Two groups task by task, and both at once with several threads: the same bits everywhere, and the
// sums of all sequences as one group.
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

  using Group = recur::layers::SequenceGroup<double>;
  using recur::kernels::Start;
  struct Result {
    Tensor3<double> d_x = Tensor3<double>(T, B, I);
    recur::CellParameters<double> gradients;
    recur::Workspace<double> work;

    explicit Result(const recur::CellSizes& sizes) : gradients(sizes) {
      work.d_h.resize(1, B, recur::kernels::whole_registers<double>(H));
      work.d_h.set_zero();
      recur::CellParameters<double>::visit([](const auto&, auto& array) { array.setConstant(7); },
                                           gradients);
    }
    Group group(Index first, Index last, const Tensor3<double>& by_output, Index k) {
      return {first, last, work.chunks[k], {by_output.view()}, {d_x.view()}};
    }
  };
  // The sums of the groups by half of the rows and in the order that LayerBackward::sums states.
  const auto in_tasks = [&](Start start) {
    Result result(sizes);
    const std::vector<Group> groups{result.group(0, 8, d_output, 0),
                                    result.group(8, B, d_output, 1)};
    const recur::layers::LayerBackward<RNN, double> layer({&weights, 1}, schedule, 1);
    for (const Index first : {5, 0}) {  // chunks of three steps and of five
      const recur::layers::Chunk chunk{first, first == 5 ? T : 5, 5 * B};
      layer.scan(chunk, 0, {&recorded, 1}, {&groups[1], 1}, result.work);
      layer.scan(chunk, 0, {&recorded, 1}, {&groups[0], 1}, result.work);
      const auto sums = [&](std::size_t g) {
        auto of_group = layer.sums(0, chunk, x.data(), I, recorded, groups[g], result.gradients);
        of_group.pack(1);
        return of_group;
      };
      const auto one = sums(0);
      const auto two = sums(1);
      const Start begin = first == 5 ? start : Start::accumulate;
      two.add(1, 2, begin);
      one.add(1, 2, Start::accumulate);
      one.add(0, 2, begin);
      two.add(0, 2, Start::accumulate);
    }
    return result;
  };
  const auto together = [&](Start start, int threads) {
    Result result(sizes);
    const std::vector<Group> groups{result.group(0, 8, d_output, 0),
                                    result.group(8, B, d_output, 1)};
    const recur::layers::LayerBackward<RNN, double> layer({&weights, 1}, schedule, threads);
    for (const Index first : {5, 0}) {
      layer.run({first, first == 5 ? T : 5, 5 * B}, 0, x.data(), I, {&recorded, 1}, groups,
                {&result.gradients, 1}, start, result.work);
    }
    return result;
  };
  const auto whole = [&](Start start) {
    Result result(sizes);
    const Group all = result.group(0, B, d_output, 0);
    recur::layers::LayerBackward<RNN, double>({&weights, 1}, schedule, 1)
        .run({0, T, T * B}, 0, x.data(), I, {&recorded, 1}, {&all, 1}, {&result.gradients, 1},
             start, result.work);
    return result;
  };
  for (const Start start : {Start::zero, Start::accumulate}) {
    SCOPED_TRACE(start == Start::zero ? "overwritten" : "added to");
    const Result alone = in_tasks(start);
    for (const int threads : {1, 2, 3, 4}) {
      SCOPED_TRACE(threads);
      const Result both = together(start, threads);
      recur::test::expect_same(both.d_x, alone.d_x, "d_x");
      recur::test::expect_same(both.work.d_h, alone.work.d_h, "d_h");
      recur::test::expect_same(both.gradients.weight_ih, alone.gradients.weight_ih, "weight_ih");
      recur::test::expect_same(both.gradients.weight_hh, alone.gradients.weight_hh, "weight_hh");
      recur::test::expect_same(both.gradients.bias_hh, alone.gradients.bias_hh, "bias_hh");
    }
    const Result all = whole(start);
    recur::test::expect_same(all.d_x, alone.d_x, "d_x of all");
    recur::CellParameters<double>::visit(
        [](const auto& name, const auto& array, const auto& expected) {
          EXPECT_TRUE(array.isApprox(expected, 1e-12)) << name.str();
        },
        all.gradients, alone.gradients);
  }
}

}  // namespace
}  // namespace layer_backward_test
