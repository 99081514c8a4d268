// SPDX-License-Identifier: MIT
#include "recur/nn/linear.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "recur/nn/loss.hpp"

#include "golden/nn.hpp"
#include "support/allocations.hpp"
#include "support/arrays.hpp"
#include "support/gradient_check.hpp"
#include "support/resized_parameters.hpp"

namespace linear_test {
namespace {

namespace golden = recur::golden::nn;
using recur::Error;
using recur::Index;
using recur::Linear;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::error_of;
using recur::test::expect_near;

template <class Scalar>
Linear<Scalar> golden_linear() {
  Linear<Scalar> linear({.in_features = 3, .out_features = 4});
  linear.update_parameters([](auto& p) {
    recur::test::fill(p.weight, golden::linear_weight);
    recur::test::fill(p.bias, golden::linear_bias);
  });
  return linear;
}

template <class Scalar>
void compare_with_torch(double tolerance) {
  const auto linear = golden_linear<Scalar>();
  const auto x = recur::test::tensor_of<Scalar>(golden::linear_x, 2, 5, 3);
  const auto dy = recur::test::tensor_of<Scalar>(golden::linear_d_output, 2, 5, 4);

  const Tensor3<Scalar> y = linear.forward(x);
  EXPECT_EQ(y.shape(), "(2, 5, 4)");
  expect_near(y, golden::linear_y, tolerance);
  const auto gradients = linear.backward(x, dy);
  expect_near(gradients.input, golden::linear_d_input, tolerance);
  expect_near(gradients.parameters.weight, golden::linear_d_weight, tolerance);
  expect_near(gradients.parameters.bias, golden::linear_d_bias, tolerance);

  const RowMatrix<Scalar> y_rows = linear.forward(x.rows());
  expect_near(y_rows, golden::linear_y, tolerance);
  const auto of_rows = linear.backward(x.rows(), dy.rows());
  expect_near(of_rows.input, golden::linear_d_input, tolerance);
  expect_near(of_rows.parameters.weight, golden::linear_d_weight, tolerance);
  expect_near(of_rows.parameters.bias, golden::linear_d_bias, tolerance);
}

TEST(Linear, IsTorchsInDouble) { compare_with_torch<double>(1e-12); }
TEST(Linear, IsTorchsInFloat) { compare_with_torch<float>(1e-6); }

TEST(Linear, TakesSlicesBlocksAndBothStorageOrders) {
  const auto linear = golden_linear<double>();
  const auto x = recur::test::tensor_of<double>(golden::linear_x, 2, 5, 3);
  const Tensor3<double> y = linear.forward(x);

  EXPECT_EQ(linear.forward(x[1]), RowMatrix<double>(y[1]));
  EXPECT_EQ(linear.forward(x[1].middleRows(2, 2)), RowMatrix<double>(y[1].middleRows(2, 2)));
  const Eigen::MatrixXd column_major = x[1];
  EXPECT_EQ(linear.forward(column_major), RowMatrix<double>(y[1]));
  EXPECT_EQ(linear.forward(2 * x[1] - x[1]), RowMatrix<double>(y[1]));
}

TEST(Linear, TakesViewsWhoseRowsStandApart) {
  const auto linear = golden_linear<double>();
  const auto x = recur::test::tensor_of<double>(golden::linear_x, 2, 5, 3);
  const auto dy = recur::test::tensor_of<double>(golden::linear_d_output, 2, 5, 4);
  Tensor3<double> swapped(5, 2, 3);  // (B, T, I)
  Tensor3<double> d_swapped(5, 2, 4);
  for (Index i = 0; i < 2; ++i) {
    for (Index j = 0; j < 5; ++j) {
      swapped[j].row(i) = x[i].row(j);
      d_swapped[j].row(i) = dy[i].row(j);
    }
  }
  const auto y = linear.forward(swapped.view().transposed());
  expect_near(y, golden::linear_y, 1e-12);
  const auto both = linear.backward(swapped.view().transposed(), d_swapped.view().transposed());
  expect_near(both.input, golden::linear_d_input, 1e-12);
  expect_near(both.parameters.weight, golden::linear_d_weight, 1e-12);
  expect_near(both.parameters.bias, golden::linear_d_bias, 1e-12);
  const auto one = linear.backward(x, d_swapped.view().transposed());
  expect_near(one.parameters.weight, golden::linear_d_weight, 1e-12);

  // Columns 1 to 3 of wider rows.
  Tensor3<double> wide(2, 5, 7);
  for (Index i = 0; i < 2; ++i) {
    wide[i].middleCols(1, 3) = x[i];
  }
  expect_near(linear.forward(wide.view().narrow(2, 1, 3)), golden::linear_y, 1e-12);
}

TEST(Linear, EverySizeAgreesWithEigen) {
  recur::Generator generator(3);
  for (const Index rows : {0, 1, 2, 6, 7, 13, 64}) {
    for (const Index in : {1, 3, 16, 33, 130}) {
      for (const Index out : {1, 2, 15, 16, 17, 65}) {
        const Linear<double> linear({.in_features = in, .out_features = out}, generator);
        const auto& p = linear.parameters();
        RowMatrix<double> x(rows, in);
        RowMatrix<double> dy(rows, out);
        generator.fill_uniform(x, 1);
        generator.fill_uniform(dy, 1);
        const RowMatrix<double> y = (x * p.weight.transpose()).rowwise() + p.bias.transpose();
        EXPECT_TRUE(linear.forward(x).isApprox(y, 1e-13)) << rows << ' ' << in << ' ' << out;
        const auto gradients = linear.backward(x, dy);
        EXPECT_TRUE(gradients.input.isApprox(dy * p.weight, 1e-13));
        EXPECT_TRUE(gradients.parameters.weight.isApprox(dy.transpose() * x, 1e-13));
        EXPECT_TRUE(gradients.parameters.bias.isApprox(dy.colwise().sum().transpose(), 1e-13));
      }
    }
  }
}

TEST(Linear, ManyRowsAgreeWithEigen) {  // enough work for threads, where there are some
  recur::Generator generator(4);
  const Linear<float> linear({.in_features = 64, .out_features = 100}, generator);
  const auto& p = linear.parameters();
  RowMatrix<float> x(1000, 64);
  RowMatrix<float> dy(1000, 100);
  generator.fill_uniform(x, 1);
  generator.fill_uniform(dy, 1);
  const RowMatrix<float> y = (x * p.weight.transpose()).rowwise() + p.bias.transpose();
  EXPECT_TRUE(linear.forward(x).isApprox(y, 1e-5F));
  const auto gradients = linear.backward(x, dy);
  EXPECT_TRUE(gradients.input.isApprox(dy * p.weight, 1e-5F));
  EXPECT_TRUE(gradients.parameters.weight.isApprox(dy.transpose() * x, 1e-5F));
}

TEST(Linear, GradientsAreThoseOfFiniteDifferences) {
  auto linear = golden_linear<double>();
  auto x = recur::test::matrix_of<double>(golden::linear_x, 10, 3);
  RowMatrix<double> target(10, 4);
  target.setConstant(0.25);
  const auto loss = [&] { return recur::mse_loss(linear.forward(x), target).value; };
  const auto gradients = linear.backward(x, recur::mse_loss(linear.forward(x), target).d_input);

  const auto d_x = recur::test::elements(gradients.input).values;
  recur::test::expect_gradient(x.data(), d_x, loss, 1e-3, 1e-9, "input");
  recur::test::expect_parameter_gradients(linear, gradients.parameters, loss, 1e-3, 1e-9);
}

TEST(Linear, WithoutBias) {
  Linear<double> linear({.in_features = 3, .out_features = 4, .bias = false});
  linear.update_parameters([](auto& p) { recur::test::fill(p.weight, golden::linear_weight); });
  const auto x = recur::test::matrix_of<double>(golden::linear_x, 10, 3);
  const RowMatrix<double> y = x * linear.parameters().weight.transpose();
  EXPECT_TRUE(linear.forward(x).isApprox(y, 1e-14));
  EXPECT_EQ(linear.backward(x, y).parameters.bias.size(), 0);
  std::vector<std::string> names;
  recur::for_each_parameter(linear,
                            [&](const std::string& name, const auto&) { names.push_back(name); });
  EXPECT_EQ(names, std::vector<std::string>{"weight"});
}

TEST(Linear, BackwardAddsToParametersAndOverwritesInput) {
  const auto linear = golden_linear<double>();
  const auto x = recur::test::tensor_of<double>(golden::linear_x, 2, 5, 3);
  const auto dy = recur::test::tensor_of<double>(golden::linear_d_output, 2, 5, 4);
  Linear<double>::TensorGradients gradients;
  linear.backward(x, dy, gradients);
  const auto once = gradients.parameters;
  linear.backward(x, dy, gradients);
  EXPECT_TRUE(gradients.parameters.weight.isApprox(2 * once.weight, 1e-14));
  EXPECT_TRUE(gradients.parameters.bias.isApprox(2 * once.bias, 1e-14));
  expect_near(gradients.input, golden::linear_d_input, 1e-12);
}

TEST(Linear, AllocatesNothingInMemoryUsedAgain) {
  const auto linear = golden_linear<double>();
  const auto x = recur::test::matrix_of<double>(golden::linear_x, 10, 3);
  const auto x3 = recur::test::tensor_of<double>(golden::linear_x, 2, 5, 3);
  RowMatrix<double> y;
  Tensor3<double> y3;
  Linear<double>::Gradients gradients;
  Linear<double>::TensorGradients gradients3;
  const auto all = [&] {
    linear.forward(x, y);
    linear.backward(x, y, gradients);
    linear.forward(x3, y3);
    linear.backward(x3, y3, gradients3);
  };
  all();
  EXPECT_EQ(recur::test::allocations_of(all), 0U);
  expect_near(y, golden::linear_y, 1e-12);
}

TEST(Linear, ErrorsSayWhatWasExpected) {
  const auto linear = golden_linear<double>();
  const RowMatrix<double> x = RowMatrix<double>::Zero(5, 3);
  EXPECT_EQ(error_of([&] { linear.forward(RowMatrix<double>::Zero(5, 2)); }),
            "Linear::forward: input.size(-1) must be equal to in_features. Expected 3, got 2");
  EXPECT_EQ(error_of([&] { linear.forward(Tensor3<double>(1, 5, 4)); }),
            "Linear::forward: input.size(-1) must be equal to in_features. Expected 3, got 4");
  EXPECT_EQ(error_of([&] { linear.backward(x, RowMatrix<double>::Zero(4, 4)); }),
            "Linear::backward: d_output: expected (5, 4), got (4, 4)");
  EXPECT_EQ(error_of([&] { linear.backward(Tensor3<double>(2, 5, 3), Tensor3<double>(2, 5, 3)); }),
            "Linear::backward: d_output: expected (2, 5, 4), got (2, 5, 3)");
  Linear<double>::Gradients wrong;
  wrong.parameters.weight.setZero(4, 3);
  EXPECT_EQ(error_of([&] { linear.backward(x, RowMatrix<double>::Zero(5, 4), wrong); }),
            "gradient of bias: expected (4, 1), got (0, 1)");
  EXPECT_EQ(error_of([] { Linear<double>({.in_features = 0, .out_features = 1}); }),
            "Linear: in_features must be greater than zero, got 0");
  EXPECT_THROW(Linear<double>({.in_features = 1, .out_features = -1}), Error);
}

TEST(Linear, ParameterResizedByAnUpdateIsAnErrorAndRestored) {
  recur::Generator generator(2);
  const recur::RowMatrix<double> x = recur::RowMatrix<double>::Random(2, 3);
  recur::test::expect_resizing_is_refused(
      recur::Linear<double>({.in_features = 3, .out_features = 4}, generator),
      [&](const auto& linear) { return linear.forward(x); });
}

TEST(Linear, FlushesDenormals) {
  recur::Linear<float> linear({.in_features = 1, .out_features = 1, .bias = false});
  linear.update_parameters([](auto& p) { p.weight.setConstant(0.5F); });
  const recur::RowMatrix<float> x =
      recur::RowMatrix<float>::Constant(1, 1, std::numeric_limits<float>::min());
  const bool flushes = recur::set_flush_denormal(true);
  EXPECT_EQ(linear.forward(x)(0, 0), flushes ? 0.0F : x(0, 0) / 2);
  recur::set_flush_denormal(false);
  EXPECT_EQ(linear.forward(x)(0, 0), x(0, 0) / 2);
  recur::set_flush_denormal(true);
}

}  // namespace
}  // namespace linear_test
