// SPDX-License-Identifier: MIT
#include "recur/layers/caller_arrays.hpp"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "support/random.hpp"

namespace caller_arrays_test {
namespace {

using recur::Index;
using recur::Schedule;
using recur::Tensor3;
using View = recur::Tensor3View<double>;
using ConstView = recur::Tensor3View<const double>;
using Indices = std::vector<Index>;
namespace layers = recur::layers;

Tensor3<double> numbers(Index a, Index b, Index c) {
  Tensor3<double> tensor(a, b, c);
  for (Index k = 0; k < tensor.size(); ++k) {
    tensor.data()[k] = static_cast<double>(k + 1);
  }
  return tensor;
}

TEST(CallerArrays, TimeMajorOrNot) {
  Schedule schedule;
  schedule.assign(4, 3);
  const auto x = numbers(4, 3, 2);
  EXPECT_TRUE(layers::is_time_major<double>(schedule, x));
  const auto by_batch = numbers(3, 4, 2);
  EXPECT_FALSE(layers::is_time_major<double>(schedule, by_batch.view().transposed()));
  const auto wide = numbers(4, 3, 5);
  EXPECT_FALSE(layers::is_time_major<double>(schedule, wide.view().narrow(2, 1, 2)));
}

// Forth and back, and the padding comes back as zeros.
TEST(CallerArrays, InOrderOfFallingLength) {
  Schedule schedule;
  const Indices lengths{1, 3, 0, 2};
  schedule.assign(3, 4, lengths);
  const auto x = numbers(3, 4, 2);
  Tensor3<double> ours(3, 4, 2);
  std::fill_n(ours.data(), ours.size(), -1.0);
  layers::take_running<double>(schedule, x, ours);
  const Index order[] = {1, 3, 0};
  const Index running[] = {3, 2, 1};
  for (Index t = 0; t < 3; ++t) {
    for (Index row = 0; row < 4; ++row) {
      for (Index k = 0; k < 2; ++k) {
        EXPECT_EQ(ours(t, row, k), row < running[t] ? x(t, order[row], k) : -1.0);
      }
    }
  }

  Tensor3<double> back = numbers(3, 4, 2);
  layers::give_running<double>(schedule, ours, back);
  for (Index t = 0; t < 3; ++t) {
    for (Index b = 0; b < 4; ++b) {
      const bool runs = t < lengths[static_cast<std::size_t>(b)];
      EXPECT_EQ(back(t, b, 1), runs ? x(t, b, 1) : 0.0) << t << ", " << b;
    }
  }
}

TEST(CallerArrays, Packed) {
  Schedule schedule;
  const Indices batch_sizes{3, 1};
  schedule.assign_packed(batch_sizes, {});
  const auto data = numbers(1, 4, 2);
  Tensor3<double> ours(2, 3, 2);
  layers::take_running<double>(schedule, data, ours);
  EXPECT_EQ(ours(0, 2, 0), data(0, 2, 0));
  EXPECT_EQ(ours(1, 0, 1), data(0, 3, 1));
  Tensor3<double> back(1, 4, 2);
  layers::give_running<double>(schedule, ours, back);
  for (Index k = 0; k < data.size(); ++k) {
    EXPECT_EQ(back.data()[k], data.data()[k]);
  }
}

// All steps of all sequences: into rows that stand apart, and from them.
TEST(CallerArrays, StridesOfTheCaller) {
  Schedule schedule;
  schedule.assign(3, 2);
  auto by_batch = numbers(2, 3, 4);
  Tensor3<double> ours(3, 2, 4);
  layers::take_running<double>(schedule, by_batch.view().transposed(), ours);
  Tensor3<double> back(2, 3, 4);
  layers::give_running<double>(schedule, ours, back.view().transposed());
  for (Index t = 0; t < 3; ++t) {
    for (Index b = 0; b < 2; ++b) {
      EXPECT_EQ(ours(t, b, 3), by_batch(b, t, 3));
      EXPECT_EQ(back(b, t, 3), by_batch(b, t, 3));
    }
  }
}

}  // namespace
}  // namespace caller_arrays_test
