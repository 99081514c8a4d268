// SPDX-License-Identifier: MIT
#include "recur/core/random.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/lstm.hpp"
#include "recur/nn/embedding.hpp"
#include "recur/nn/linear.hpp"

#include "golden/random.hpp"
#include "support/arrays.hpp"

namespace random_test {
namespace {

namespace golden = recur::golden::random;
using recur::Generator;
using recur::Index;
using recur::Vector;
using recur::test::expect_near;

template <std::size_t N>
void expect_equal(const std::vector<Index>& actual, const std::int64_t (&expected)[N]) {
  EXPECT_EQ(std::vector<Index>(actual.begin(), actual.begin() + N),
            std::vector<Index>(expected, expected + N));
}

TEST(Generator, DrawsWhatTorchDraws) {  // one stream, in the order of export_nn.py
  Generator generator(0);
  Vector<float> uniform_float(10);
  generator.fill_uniform(uniform_float, 0.5);
  expect_near(uniform_float, golden::uniform_float, 1e-7);
  Vector<double> uniform_double(10);
  generator.fill_uniform(uniform_double, 2);
  expect_near(uniform_double, golden::uniform_double, 1e-15);
  Vector<float> normal_float(40);
  generator.fill_normal(normal_float);
  expect_near(normal_float, golden::normal_float, 1e-6);
  Vector<double> normal_double(40);
  generator.fill_normal(normal_double);
  expect_near(normal_double, golden::normal_double, 1e-12);
  expect_equal(generator.permutation(10), golden::randperm_10);
  expect_equal(generator.permutation(1000), golden::randperm_1000_head);
}

TEST(Generator, TakesTheLower32BitsOfASeedAsTorchDoes) {
  Generator generator((std::uint64_t{1} << 40) + 5);
  Vector<float> uniform(4);
  for (float& u : uniform) {
    u = generator.uniform(0.0F, 1.0F);
  }
  expect_near(uniform, golden::large_seed_uniform, 1e-7);
}

TEST(Generator, ModulesStartAsTorchs) {
  recur::manual_seed(0);
  const recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
  const recur::Linear<float> linear({.in_features = 4, .out_features = 2});
  const recur::Embedding<float> embedding(
      {.num_embeddings = 6, .embedding_dim = 4, .padding_idx = 1});
  const auto& p = lstm.parameters().cell(0);
  expect_near(p.weight_ih, golden::lstm_weight_ih_l0, 1e-7);
  expect_near(p.weight_hh, golden::lstm_weight_hh_l0, 1e-7);
  expect_near(p.bias_ih, golden::lstm_bias_ih_l0, 1e-7);
  expect_near(p.bias_hh, golden::lstm_bias_hh_l0, 1e-7);
  expect_near(linear.parameters().weight, golden::linear_weight, 1e-7);
  expect_near(linear.parameters().bias, golden::linear_bias, 1e-7);
  expect_near(embedding.parameters().weight, golden::embedding_weight, 1e-6);
}

TEST(Generator, UniformStaysInItsRange) {
  Generator generator(3);
  for (int k = 0; k < 10000; ++k) {
    const float f = generator.uniform(-1.0F, 2.0F);
    EXPECT_TRUE(f >= -1 && f < 2);
    const double d = generator.uniform(5.0, 6.0);
    EXPECT_TRUE(d >= 5 && d < 6);
  }
}

TEST(Generator, NormalHasItsMoments) {
  Generator generator(3);
  for (const Index size : {5, 1000003}) {  // below 16 elements and, with a remainder, above
    Vector<double> x(size);
    double sum = 0;
    double squares = 0;
    const int repeats = size < 16 ? 20000 : 1;
    for (int k = 0; k < repeats; ++k) {
      generator.fill_normal(x);
      sum += x.sum();
      squares += x.squaredNorm();
    }
    const double count = static_cast<double>(repeats * size);
    EXPECT_NEAR(sum / count, 0, 0.02);
    EXPECT_NEAR(squares / count, 1, 0.02);
  }
}

TEST(Generator, PermutationsHoldEveryIndexOnce) {
  Generator generator(3);
  for (const Index count : {0, 1, 2, 100}) {
    auto order = generator.permutation(count);
    std::sort(order.begin(), order.end());
    for (Index k = 0; k < count; ++k) {
      EXPECT_EQ(order[static_cast<std::size_t>(k)], k);
    }
    EXPECT_EQ(static_cast<Index>(order.size()), count);
  }
}

TEST(Generator, GoesOnFromAState) {
  Generator generator(3);
  generator.next64();
  Generator other(4);
  other.normal();  // has one waiting
  other.set_state(generator.state());
  EXPECT_TRUE(other.state() == generator.state());
  EXPECT_EQ(other.normal(), generator.normal());
  EXPECT_TRUE(generator.state().has_waiting);
  Generator third(5);
  third.set_state(generator.state());
  const double waiting = generator.normal();
  EXPECT_EQ(third.normal(), waiting);
  EXPECT_EQ(third.normal(), generator.normal());
}

TEST(Generator, DefaultIsSeededAnewAndOneForEachThread) {
  recur::manual_seed(7);
  const auto first = recur::default_generator().next32();
  std::uint32_t elsewhere = 0;
  std::thread([&] {
    recur::manual_seed(7);
    elsewhere = recur::default_generator().next32();
  }).join();
  const auto second = recur::default_generator().next32();
  EXPECT_EQ(elsewhere, first);
  recur::manual_seed(7);
  EXPECT_EQ(recur::default_generator().next32(), first);
  EXPECT_EQ(recur::default_generator().next32(), second);
}

}  // namespace
}  // namespace random_test
