// SPDX-License-Identifier: MIT
#include "recur/optim/sgd.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/lstm.hpp"
#include "recur/nn/linear.hpp"

#include "golden/optim.hpp"
#include "support/allocations.hpp"
#include "support/arrays.hpp"
#include "support/optimizer_steps.hpp"

namespace sgd_test {
namespace {

namespace golden = recur::golden::optim;
using recur::Linear;
using recur::LSTM;
using recur::SGD;
using recur::SGDOptions;
using recur::test::error_of;
using recur::test::golden_gradients;
using recur::test::golden_linear;

template <std::size_t N>
void expect_torchs(const SGDOptions& options, const double (&expected)[N],
                   const float (&expected_float)[N], double lr_factor = 1) {
  recur::test::expect_steps(SGD<double>(options), expected, 1e-12, lr_factor);
  recur::test::expect_steps(SGD<float>(options), expected_float, 1e-6, lr_factor);
}

TEST(SGD, IsTorchs) { expect_torchs({.lr = 0.1}, golden::sgd, golden::sgd_float); }

TEST(SGD, WeightDecay) {
  expect_torchs({.lr = 0.1, .weight_decay = 0.05}, golden::sgd_decay, golden::sgd_decay_float);
}

TEST(SGD, Momentum) {
  expect_torchs({.lr = 0.1, .momentum = 0.9}, golden::sgd_momentum, golden::sgd_momentum_float);
}

TEST(SGD, Dampening) {
  expect_torchs({.lr = 0.1, .momentum = 0.8, .dampening = 0.3}, golden::sgd_dampening,
                golden::sgd_dampening_float);
  expect_torchs({.lr = 0.1, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.05},
                golden::sgd_dampening_decay, golden::sgd_dampening_decay_float);
}

TEST(SGD, Nesterov) {
  expect_torchs({.lr = 0.1, .momentum = 0.9, .nesterov = true}, golden::sgd_nesterov,
                golden::sgd_nesterov_float);
  expect_torchs({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
                golden::sgd_nesterov_decay, golden::sgd_nesterov_decay_float);
}

TEST(SGD, LearningRateChanges) {
  expect_torchs({.lr = 0.1, .momentum = 0.9}, golden::sgd_schedule, golden::sgd_schedule_float,
                0.5);
}

TEST(SGD, StateHasTorchsNamesAndValues) {
  auto linear = golden_linear<double>();
  SGD<double> sgd({.lr = 0.1, .momentum = 0.9});
  recur::test::expect_state(sgd, {});
  for (int step = 0; step < 5; ++step) {
    sgd.step(linear, golden_gradients<double>(step));
  }
  recur::test::expect_state(sgd, {{"momentum_buffer", golden::sgd_momentum_momentum_buffer}});
}

TEST(SGD, GoesOnFromACopiedState) {
  auto linear = golden_linear<double>();
  const SGDOptions options{.lr = 0.1, .momentum = 0.9, .dampening = 0.2};
  SGD<double> sgd(options);
  for (int step = 0; step < 2; ++step) {
    sgd.step(linear, golden_gradients<double>(step));
  }
  auto resumed = linear;
  SGD<double> other(options);
  other.prepare_state(resumed);
  recur::test::copy_state(sgd, other);
  sgd.step(linear, golden_gradients<double>(2));
  other.step(resumed, golden_gradients<double>(2));
  EXPECT_EQ(resumed.parameters().weight, linear.parameters().weight);
  EXPECT_EQ(resumed.parameters().bias, linear.parameters().bias);
}

struct Model {
  LSTM<float> lstm{{.input_size = 3, .hidden_size = 5, .num_layers = 2}};
  Linear<float> a_classifier_with_a_long_name{{.in_features = 5, .out_features = 2}};
  static auto members(auto& self) {
    return recur::members("lstm", self.lstm, "a_classifier_with_a_long_name",
                          self.a_classifier_with_a_long_name);
  }
};

TEST(SGD, StepsACompositeAndItsDerivedCopies) {
  Model model;
  Model separate = model;
  auto gradients = recur::zero_gradients(model);
  recur::for_each_gradient([](auto& array) { array.setRandom(); }, gradients);
  const auto& [d_lstm, d_head] = gradients;

  SGD<float> whole({.lr = 0.1, .momentum = 0.5});
  SGD<float> of_lstm(whole.options());
  SGD<float> of_head(whole.options());
  for (int step = 0; step < 3; ++step) {
    step == 1 ? whole.step(model, gradients) : whole.step(model, d_lstm, d_head);
    of_lstm.step(separate.lstm, d_lstm);
    of_head.step(separate.a_classifier_with_a_long_name, d_head);
  }
  recur::Tensor3<float> x(4, 2, 3);
  x.rows().setRandom();
  const auto h = model.lstm.forward(x).output;
  recur::test::expect_same(h, separate.lstm.forward(x).output, "LSTM");
  recur::test::expect_same(model.a_classifier_with_a_long_name.forward(h),
                           separate.a_classifier_with_a_long_name.forward(h), "Linear");
}

TEST(SGD, AllocatesAtTheFirstStepOnly) {
  Model model;
  const auto gradients = recur::zero_gradients(model);
  SGD<float> sgd({.momentum = 0.9, .weight_decay = 0.1, .nesterov = true});
  sgd.step(model, gradients);
  EXPECT_EQ(recur::test::allocations_of([&] { sgd.step(model, gradients); }), 0U);
}

TEST(SGD, AnotherModelIsAnError) {
  Linear<float> one({.in_features = 3, .out_features = 2});
  Linear<float> other({.in_features = 4, .out_features = 2});
  Linear<float> unbiased({.in_features = 3, .out_features = 2, .bias = false});
  SGD<float> sgd({.momentum = 0.9});
  sgd.step(one, recur::zero_gradients(one));
  EXPECT_EQ(error_of([&] { sgd.step(other, recur::zero_gradients(other)); }),
            "SGD::step: the optimiser's state belongs to another model: its parameter 0 has shape "
            "(2, 3), this model's (2, 4)");
  EXPECT_EQ(error_of([&] { sgd.step(unbiased, recur::zero_gradients(unbiased)); }),
            "SGD::step: the optimiser's state belongs to another model: it has 2 parameters, this "
            "model 1");
}

TEST(SGD, WrongGradientsLeaveEverythingAsItWas) {
  Model model;
  const auto before = model.lstm.parameters().cell(0).weight_ih;
  auto gradients = recur::zero_gradients(model);
  recur::for_each_gradient([](auto& array) { array.setOnes(); }, gradients);
  std::get<1>(gradients).bias.setZero(3);  // of the last parameter
  SGD<float> sgd({.momentum = 0.9});
  EXPECT_EQ(error_of([&] { sgd.step(model, gradients); }),
            "gradient of bias: expected (2, 1), got (3, 1)");
  EXPECT_EQ(model.lstm.parameters().cell(0).weight_ih, before);
  recur::test::expect_state(sgd, {});
}

TEST(SGD, WrongOptionsAreErrors) {
  EXPECT_EQ(error_of([] { SGD<float>({.lr = -1}); }), "SGD: Invalid learning rate: -1");
  EXPECT_EQ(error_of([] { SGD<float>({.momentum = -0.5}); }), "SGD: Invalid momentum value: -0.5");
  EXPECT_EQ(error_of([] { SGD<float>({.weight_decay = -2}); }),
            "SGD: Invalid weight_decay value: -2");
  const std::string nesterov = "SGD: Nesterov momentum requires a momentum and zero dampening";
  EXPECT_EQ(error_of([] { SGD<float>({.nesterov = true}); }), nesterov);
  EXPECT_EQ(error_of([] { SGD<float>({.momentum = 0.9, .dampening = 0.1, .nesterov = true}); }),
            nesterov);
  auto linear = golden_linear<double>();
  SGD<double> sgd;
  sgd.options().lr = -1;
  EXPECT_THROW(sgd.step(linear, golden_gradients<double>(0)), recur::Error);
}

}  // namespace
}  // namespace sgd_test
