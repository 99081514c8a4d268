// SPDX-License-Identifier: MIT
#include "recur/nn/loss.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "golden/nn.hpp"
#include "support/arrays.hpp"
#include "support/gradient_check.hpp"

namespace loss_test {
namespace {

namespace golden = recur::golden::nn;
using recur::CrossEntropyOptions;
using recur::Error;
using recur::Index;
using recur::Reduction;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::error_of;
using recur::test::expect_near;

template <std::size_t N>
std::vector<Index> indices(const std::int64_t (&values)[N]) {
  return {values, values + N};
}

template <std::size_t N>
void expect_cross_entropy(const RowMatrix<double>& logits, const std::vector<Index>& targets,
                          const CrossEntropyOptions& options, double value,
                          const double (&d_input)[N], const char* what) {
  const auto loss = recur::cross_entropy(logits, targets, options);
  EXPECT_NEAR(loss.value, value, 1e-12 * std::abs(value)) << what;
  expect_near(loss.d_input, d_input, 1e-12, what);
}

TEST(CrossEntropy, IsTorchs) {
  const auto logits = recur::test::matrix_of<double>(golden::logits, 6, 5);
  const auto large = recur::test::matrix_of<double>(golden::logits_large, 6, 5);
  const auto targets = indices(golden::targets);
  const auto ignored = indices(golden::targets_ignored);
  const auto sum = Reduction::sum;
  expect_cross_entropy(logits, targets, {}, golden::cross_entropy_mean,
                       golden::d_cross_entropy_mean, "mean");
  expect_cross_entropy(logits, targets, {.reduction = sum}, golden::cross_entropy_sum,
                       golden::d_cross_entropy_sum, "sum");
  expect_cross_entropy(large, targets, {}, golden::cross_entropy_large,
                       golden::d_cross_entropy_large, "large");
  expect_cross_entropy(logits, ignored, {}, golden::cross_entropy_ignored_mean,
                       golden::d_cross_entropy_ignored_mean, "ignored_mean");
  expect_cross_entropy(logits, ignored, {.reduction = sum}, golden::cross_entropy_ignored_sum,
                       golden::d_cross_entropy_ignored_sum, "ignored_sum");
  expect_cross_entropy(logits, targets, {.ignore_index = 4}, golden::cross_entropy_ignore_class,
                       golden::d_cross_entropy_ignore_class, "ignore_class");
  expect_cross_entropy(logits, targets, {.label_smoothing = 0.1}, golden::cross_entropy_smooth_mean,
                       golden::d_cross_entropy_smooth_mean, "smooth_mean");
  expect_cross_entropy(logits, targets, {.reduction = sum, .label_smoothing = 0.3},
                       golden::cross_entropy_smooth_sum, golden::d_cross_entropy_smooth_sum,
                       "smooth_sum");
  expect_cross_entropy(logits, ignored, {.label_smoothing = 0.2},
                       golden::cross_entropy_smooth_ignored, golden::d_cross_entropy_smooth_ignored,
                       "smooth_ignored");
  expect_cross_entropy(logits, targets, {.label_smoothing = 1}, golden::cross_entropy_smooth_all,
                       golden::d_cross_entropy_smooth_all, "smooth_all");
}

TEST(CrossEntropy, IsTorchsInFloat) {
  const auto logits = recur::test::matrix_of<float>(golden::logits, 6, 5);
  const auto loss =
      recur::cross_entropy(logits, indices(golden::targets), {.label_smoothing = 0.1});
  EXPECT_NEAR(loss.value, golden::cross_entropy_float, 1e-6);
  expect_near(loss.d_input, golden::d_cross_entropy_float, 1e-6);
}

TEST(CrossEntropy, GradientIsThatOfFiniteDifferences) {
  auto logits = recur::test::matrix_of<double>(golden::logits, 6, 5);
  const auto targets = indices(golden::targets_ignored);
  for (const auto reduction : {Reduction::mean, Reduction::sum}) {
    const CrossEntropyOptions options{.reduction = reduction, .label_smoothing = 0.1};
    const auto d = recur::cross_entropy(logits, targets, options).d_input;
    recur::test::expect_gradient(
        logits.data(), recur::test::elements(d).values,
        [&] { return recur::cross_entropy(logits, targets, options).value; }, 1e-3, 1e-9, "logits");
  }
}

TEST(CrossEntropy, TakesSlicesAndUsesMemoryAgain) {
  const auto all = recur::test::tensor_of<double>(golden::logits, 2, 3, 5);
  const auto targets = indices(golden::targets);
  const auto whole = recur::cross_entropy(all.rows(), targets);
  EXPECT_NEAR(whole.value, golden::cross_entropy_mean, 1e-12);

  const std::vector<Index> last(targets.begin() + 3, targets.end());
  recur::Loss<RowMatrix<double>> loss;
  loss.d_input.resize(3, 5);
  const double* memory = loss.d_input.data();
  recur::cross_entropy(all[1], last, {.reduction = Reduction::sum}, loss);
  EXPECT_EQ(loss.d_input.data(), memory);
  EXPECT_TRUE(loss.d_input.isApprox(6 * whole.d_input.bottomRows(3), 1e-13));
  const Eigen::MatrixXd column_major = all[1];
  EXPECT_EQ(recur::cross_entropy(column_major, last, {.reduction = Reduction::sum}).value,
            loss.value);
}

TEST(CrossEntropy, IsNaNWithNothingToAverage) {
  const RowMatrix<double> logits = RowMatrix<double>::Random(2, 3);
  const auto loss = recur::cross_entropy(logits, std::vector<Index>{-100, -100});
  EXPECT_TRUE(std::isnan(loss.value));
  EXPECT_TRUE(loss.d_input.isZero(0));
  EXPECT_EQ(
      recur::cross_entropy(logits, std::vector<Index>{-100, -100}, {.reduction = Reduction::sum})
          .value,
      0);
}

TEST(CrossEntropy, StaysFiniteForAnyLogits) {
  RowMatrix<float> logits(2, 3);
  logits << 1e38F, -1e38F, 0, -std::numeric_limits<float>::infinity(), 5, 4;
  const auto loss = recur::cross_entropy(logits, std::vector<Index>{0, 1});
  EXPECT_NEAR(loss.value, 0.5 * std::log1p(std::exp(-1.0)), 1e-6);
  EXPECT_TRUE(loss.d_input.allFinite());
}

TEST(CrossEntropy, ErrorsComeBeforeAnythingIsWritten) {
  const RowMatrix<double> logits = RowMatrix<double>::Zero(3, 5);
  recur::Loss<RowMatrix<double>> loss;
  const auto message = [&](std::vector<Index> targets, CrossEntropyOptions options = {}) {
    return error_of([&] { recur::cross_entropy(logits, targets, options, loss); });
  };
  EXPECT_EQ(message({0, 1}),
            "cross_entropy: Expected input batch_size (3) to match target batch_size (2).");
  EXPECT_EQ(
      message({0, 1, 5}),
      "cross_entropy: Target 5 is out of bounds: position 2, expected 0 to 4 or ignore_index -100");
  EXPECT_NE(message({0, -1, 2}), "");
  EXPECT_NO_THROW(recur::cross_entropy(logits, std::vector<Index>{0, -1, 2}, {.ignore_index = -1}));
  EXPECT_EQ(message({0, 1, 2}, {.label_smoothing = 2}),
            "cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: 2");
  loss = {};
  EXPECT_NE(message({0, 1, 5}), "");
  EXPECT_EQ(loss.d_input.size(), 0);
}

TEST(MSELoss, IsTorchs) {
  const auto prediction = recur::test::tensor_of<double>(golden::prediction, 2, 3, 4);
  const auto target = recur::test::tensor_of<double>(golden::target, 2, 3, 4);
  const auto mean = recur::mse_loss(prediction, target);
  EXPECT_NEAR(mean.value, golden::mse_mean, 1e-12);
  EXPECT_EQ(mean.d_input.shape(), "(2, 3, 4)");
  expect_near(mean.d_input, golden::d_mse_mean, 1e-12);
  const auto sum = recur::mse_loss(prediction, target, {.reduction = Reduction::sum});
  EXPECT_NEAR(sum.value, golden::mse_sum, 1e-12 * golden::mse_sum);
  expect_near(sum.d_input, golden::d_mse_sum, 1e-12);

  const auto of_rows = recur::mse_loss(prediction.rows(), target.rows());
  EXPECT_NEAR(of_rows.value, golden::mse_mean, 1e-12);
  expect_near(of_rows.d_input, golden::d_mse_mean, 1e-12);

  const auto in_float = recur::mse_loss(recur::test::tensor_of<float>(golden::prediction, 2, 3, 4),
                                        recur::test::tensor_of<float>(golden::target, 2, 3, 4));
  EXPECT_NEAR(in_float.value, golden::mse_mean, 1e-6);
  expect_near(in_float.d_input, golden::d_mse_mean, 1e-6);
}

TEST(MSELoss, GradientIsThatOfFiniteDifferences) {
  auto prediction = recur::test::matrix_of<double>(golden::prediction, 6, 4);
  const auto target = recur::test::matrix_of<double>(golden::target, 6, 4);
  const auto d = recur::mse_loss(prediction, target).d_input;
  recur::test::expect_gradient(
      prediction.data(), recur::test::elements(d).values,
      [&] { return recur::mse_loss(prediction, target).value; }, 1e-3, 1e-9, "prediction");
}

TEST(MSELoss, Errors) {
  EXPECT_EQ(error_of([] {
              recur::mse_loss(RowMatrix<double>::Zero(2, 3), RowMatrix<double>::Zero(3, 2));
            }),
            "mse_loss: target: expected the prediction's (2, 3), got (3, 2)");
  EXPECT_EQ(error_of([] { recur::mse_loss(Tensor3<double>(2, 3, 1), Tensor3<double>(2, 3, 2)); }),
            "mse_loss: target: expected the prediction's (2, 3, 1), got (2, 3, 2)");
}

TEST(Softmax, IsTorchs) {
  const auto logits = recur::test::matrix_of<double>(golden::logits_large, 6, 5);
  expect_near(recur::softmax(logits), golden::softmax, 1e-12);
  expect_near(recur::log_softmax(logits), golden::log_softmax, 1e-12);
  EXPECT_THROW(recur::softmax(RowMatrix<double>::Zero(3, 0)), Error);
}

TEST(Argmax, IsTheFirstOfTheLargest) {
  RowMatrix<float> scores(3, 3);
  scores << 1, 3, 2, 5, 4, 5, -3, -2, -1;
  EXPECT_EQ(recur::argmax(scores), (std::vector<Index>{1, 0, 2}));
  EXPECT_EQ(recur::argmax(Eigen::MatrixXf(scores)), (std::vector<Index>{1, 0, 2}));
  EXPECT_THROW(recur::argmax(RowMatrix<float>::Zero(3, 0)), Error);
}

}  // namespace
}  // namespace loss_test
