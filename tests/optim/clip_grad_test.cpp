// SPDX-License-Identifier: MIT
#include "recur/optim/clip_grad.hpp"

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "recur/nn/linear.hpp"

#include "golden/optim.hpp"
#include "support/optimizer_steps.hpp"

namespace clip_grad_test {
namespace {

namespace golden = recur::golden::optim;
using recur::NormType;
using recur::test::golden_gradients;

template <class Scalar>
void expect_gradients(const typename recur::Linear<Scalar>::Parameters& actual,
                      const double (&expected)[8], double tolerance) {
  recur::test::expect_parameters_close(actual, recur::test::linear_parameters<Scalar>(expected),
                                       tolerance);
}

template <class Scalar>
void compare_with_torch(double tolerance) {
  auto l2 = golden_gradients<Scalar>(0);
  EXPECT_NEAR(recur::clip_grad_norm(0.7, l2), golden::clip_l2_norm, tolerance);
  expect_gradients<Scalar>(l2, golden::clip_l2, tolerance);
  auto wide = golden_gradients<Scalar>(0);
  EXPECT_NEAR(recur::clip_grad_norm(70, wide), golden::clip_l2_wide_norm, tolerance);
  expect_gradients<Scalar>(wide, golden::clip_l2_wide, tolerance);
  auto inf = golden_gradients<Scalar>(0);
  EXPECT_NEAR(recur::clip_grad_norm<NormType::inf>(0.7, inf), golden::clip_inf_norm, tolerance);
  expect_gradients<Scalar>(inf, golden::clip_inf, tolerance);
  auto value = golden_gradients<Scalar>(0);
  recur::clip_grad_value(0.5, value);
  expect_gradients<Scalar>(value, golden::clip_value, tolerance);
}

TEST(ClipGrad, IsTorchsInDouble) { compare_with_torch<double>(1e-12); }
TEST(ClipGrad, IsTorchsInFloat) { compare_with_torch<float>(1e-6); }

TEST(ClipGrad, TakesTheNormOfAllGradientsTogether) {
  auto one = golden_gradients<double>(0);
  auto two = std::make_tuple(golden_gradients<double>(1), golden_gradients<double>(2));
  const double total = std::hypot(recur::grad_norm(one), recur::grad_norm(two));
  const double largest =
      std::max(recur::grad_norm<NormType::inf>(one), recur::grad_norm<NormType::inf>(two));
  EXPECT_NEAR(recur::grad_norm<NormType::inf>(one, two), largest, 1e-14);
  EXPECT_NEAR(recur::clip_grad_norm(1, one, two), total, 1e-12);
  EXPECT_NEAR(recur::grad_norm(one, two), total / (total + 1e-6), 1e-12);
}

TEST(ClipGrad, NotANumberIsSeen) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    auto gradients = golden_gradients<double>(0);
    gradients.weight(1, 1) = bad;
    EXPECT_FALSE(std::isfinite(recur::grad_norm(gradients)));
    EXPECT_FALSE(std::isfinite(recur::grad_norm<NormType::inf>(gradients)));
    auto clamped = gradients;
    recur::clip_grad_value(0.25, clamped);
    EXPECT_EQ(std::isnan(clamped.weight(1, 1)), std::isnan(bad));
    recur::clip_grad_norm(1, gradients);
    EXPECT_FALSE(std::isfinite(gradients.weight(1, 1)));
  }
}

TEST(ClipGrad, WithoutBiasAndWithoutGradients) {
  recur::Linear<float>::Parameters gradients;
  EXPECT_EQ(recur::clip_grad_norm(1, gradients), 0);
  gradients.weight.setConstant(1, 4, 3);
  EXPECT_NEAR(recur::clip_grad_norm(3, gradients), 6, 1e-6);
  EXPECT_NEAR(gradients.weight(0, 0), 1.5, 1e-6);
}

TEST(ClipGrad, Errors) {
  auto gradients = golden_gradients<double>(0);
  EXPECT_EQ(recur::test::error_of([&] { recur::clip_grad_norm(-1, gradients); }),
            "clip_grad_norm: max_norm must not be negative, got -1");
  EXPECT_EQ(recur::test::error_of([&] { recur::clip_grad_value(-1, gradients); }),
            "clip_grad_value: clip_value must not be negative, got -1");
}

}  // namespace
}  // namespace clip_grad_test
