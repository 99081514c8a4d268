// SPDX-License-Identifier: MIT
#include "recur/optim/adam.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/nn/linear.hpp"

#include "golden/optim.hpp"
#include "support/allocations.hpp"
#include "support/optimizer_steps.hpp"

namespace adam_test {
namespace {

namespace golden = recur::golden::optim;
using recur::Adam;
using recur::AdamOptions;
using recur::AdamW;
using recur::AdamWOptions;
using recur::Linear;
using recur::test::error_of;
using recur::test::golden_gradients;
using recur::test::golden_linear;

template <std::size_t N>
void expect_torchs(const AdamOptions& options, const double (&expected)[N],
                   const float (&expected_float)[N], double lr_factor = 1) {
  recur::test::expect_steps(Adam<double>(options), expected, 1e-12, lr_factor);
  recur::test::expect_steps(Adam<float>(options), expected_float, 1e-6, lr_factor);
}

template <std::size_t N>
void expect_torchs_adamw(const AdamWOptions& options, const double (&expected)[N],
                         const float (&expected_float)[N]) {
  recur::test::expect_steps(AdamW<double>(options), expected, 1e-12);
  recur::test::expect_steps(AdamW<float>(options), expected_float, 1e-6);
}

TEST(Adam, IsTorchs) { expect_torchs({.lr = 0.05}, golden::adam, golden::adam_float); }

TEST(Adam, BetasAndEps) {
  expect_torchs({.lr = 0.05, .betas = {0.7, 0.9}, .eps = 1e-2}, golden::adam_betas,
                golden::adam_betas_float);
}

TEST(Adam, WeightDecay) {
  expect_torchs({.lr = 0.05, .weight_decay = 0.1}, golden::adam_decay, golden::adam_decay_float);
}

TEST(Adam, AMSGrad) {
  expect_torchs({.lr = 0.05, .betas = {0.9, 0.6}, .amsgrad = true}, golden::adam_amsgrad,
                golden::adam_amsgrad_float);
}

TEST(Adam, LearningRateChanges) {
  expect_torchs({.lr = 0.05}, golden::adam_schedule, golden::adam_schedule_float, 0.5);
}

TEST(AdamW, IsTorchs) {
  expect_torchs_adamw({.lr = 0.05}, golden::adamw, golden::adamw_float);
  expect_torchs_adamw({.lr = 0.05, .weight_decay = 0.3}, golden::adamw_decay,
                      golden::adamw_decay_float);
  expect_torchs_adamw({.lr = 0.05, .betas = {0.9, 0.6}, .weight_decay = 0.3, .amsgrad = true},
                      golden::adamw_amsgrad, golden::adamw_amsgrad_float);
}

TEST(Adam, StateHasTorchsNamesAndValues) {
  auto linear = golden_linear<double>();
  Adam<double> adam({.lr = 0.05, .betas = {0.9, 0.6}, .amsgrad = true});
  EXPECT_EQ(adam.step_count(), 0);
  recur::test::expect_state(adam, {});
  for (int step = 0; step < 5; ++step) {
    adam.step(linear, golden_gradients<double>(step));
  }
  EXPECT_EQ(adam.step_count(), 5);
  recur::test::expect_state(adam, {{"exp_avg", golden::adam_amsgrad_exp_avg},
                                   {"exp_avg_sq", golden::adam_amsgrad_exp_avg_sq},
                                   {"max_exp_avg_sq", golden::adam_amsgrad_max_exp_avg_sq}});
}

TEST(Adam, GoesOnFromACopiedState) {
  auto linear = golden_linear<double>();
  const AdamOptions options{.lr = 0.05, .weight_decay = 0.1};
  Adam<double> adam(options);
  for (int step = 0; step < 2; ++step) {
    adam.step(linear, golden_gradients<double>(step));
  }
  auto resumed = linear;
  Adam<double> other(options);
  other.prepare_state(resumed);
  other.set_step_count(adam.step_count());
  recur::test::copy_state(adam, other);
  adam.step(linear, golden_gradients<double>(2));
  other.step(resumed, golden_gradients<double>(2));
  EXPECT_EQ(resumed.parameters().weight, linear.parameters().weight);
  EXPECT_EQ(resumed.parameters().bias, linear.parameters().bias);
}

struct Encoder {
  recur::GRU<float> gru{{.input_size = 3, .hidden_size = 4, .bidirectional = true}};
  Linear<float> projection_without_bias{{.in_features = 8, .out_features = 3, .bias = false}};
  static auto members(auto& self) {
    return recur::members("gru", self.gru, "projection_without_bias", self.projection_without_bias);
  }
};
struct Model {
  Encoder encoder;
  Linear<float> head{{.in_features = 3, .out_features = 2}};
  static auto members(auto& self) {
    return recur::members("encoder", self.encoder, "head", self.head);
  }
};

TEST(Adam, TakesNestedGradientsWholeOrByMember) {
  Model model;
  Model other = model;
  auto gradients = recur::zero_gradients(model);
  static_assert(std::is_same_v<decltype(gradients), recur::GradientsOf<Model>>);
  recur::for_each_gradient([](auto& array) { array.setRandom(); }, gradients);
  Adam<float> adam;
  Adam<float> by_member;
  for (int step = 0; step < 2; ++step) {
    adam.step(model, gradients);
    by_member.step(other, std::get<0>(gradients), std::get<1>(gradients));
  }
  std::vector<float> sums;
  const auto add = [&](const std::string&, const auto& array) { sums.push_back(array.sum()); };
  recur::for_each_parameter(model, add);
  const std::size_t count = sums.size();
  EXPECT_EQ(count, 11U);
  recur::for_each_parameter(other, add);
  EXPECT_TRUE(std::equal(sums.begin(), sums.begin() + 11, sums.begin() + 11));
}

TEST(Adam, AllocatesAtTheFirstStepOnly) {
  Model model;
  const auto gradients = recur::zero_gradients(model);
  Adam<float> adam({.weight_decay = 0.1, .amsgrad = true});
  AdamW<float> adamw;
  adam.step(model, gradients);
  adamw.step(model, gradients);
  EXPECT_EQ(recur::test::allocations_of([&] {
              adam.step(model, gradients);
              adamw.step(model, gradients);
            }),
            0U);
}

TEST(Adam, AnotherModelIsAnError) {
  Linear<float> one({.in_features = 3, .out_features = 2});
  Linear<float> other({.in_features = 3, .out_features = 5});
  Adam<float> adam;
  adam.step(one, recur::zero_gradients(one));
  const auto before = other.parameters().weight;
  EXPECT_EQ(error_of([&] { adam.step(other, recur::zero_gradients(other)); }),
            "Adam::step: the optimiser's state belongs to another model: its parameter 0 has shape "
            "(2, 3), this model's (5, 3)");
  EXPECT_EQ(other.parameters().weight, before);
  EXPECT_EQ(adam.step_count(), 1);
}

TEST(Adam, WrongOptionsAreErrors) {
  EXPECT_EQ(error_of([] { Adam<float>({.lr = -1}); }), "Adam: Invalid learning rate: -1");
  EXPECT_EQ(error_of([] {
              Adam<float>({.betas = {1.0, 0.9}});
            }),
            "Adam: Invalid beta parameter at index 0: 1");
  EXPECT_EQ(error_of([] {
              Adam<float>({.betas = {0.9, -0.1}});
            }),
            "Adam: Invalid beta parameter at index 1: -0.1");
  EXPECT_EQ(error_of([] { Adam<float>({.eps = -1}); }), "Adam: Invalid epsilon value: -1");
  EXPECT_EQ(error_of([] { AdamW<float>({.weight_decay = -1}); }),
            "Adam: Invalid weight_decay value: -1");
  EXPECT_THROW(Adam<float>({.lr = std::nan("")}), recur::Error);
  Adam<float> adam;
  EXPECT_THROW(adam.set_step_count(-1), recur::Error);
}

}  // namespace
}  // namespace adam_test
