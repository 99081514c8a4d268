// SPDX-License-Identifier: MIT
#include "recur/nn/dropout.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "support/arrays.hpp"

namespace dropout_test {
namespace {

using recur::Dropout;
using recur::Error;
using recur::Generator;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::error_of;

TEST(Dropout, ScalesWhatItKeeps) {
  RowMatrix<double> x(100, 100);
  Generator(2).fill_uniform(x, 1);
  for (const double p : {0.276, 0.5, 0.731}) {
    const Dropout<double> dropout(p);
    Generator generator(5);
    RowMatrix<double> mask;
    const RowMatrix<double> y = dropout.forward(x, generator, mask);
    const double zeros = static_cast<double>((mask.array() == 0).count()) / 10000;
    EXPECT_NEAR(zeros, p, 0.02);
    EXPECT_TRUE((mask.array() == 0 || mask.array() == 1 / (1 - p)).all());
    EXPECT_EQ(y, RowMatrix<double>(x.cwiseProduct(mask)));
    EXPECT_EQ(dropout.backward(x, mask), y);
  }
}

TEST(Dropout, NoneAndAll) {
  RowMatrix<float> x(3, 4);
  x.setConstant(2);
  RowMatrix<float> mask;
  EXPECT_EQ(Dropout<float>(0).forward(x, recur::default_generator(), mask), x);
  EXPECT_TRUE(mask.isOnes(0));
  EXPECT_TRUE(Dropout<float>(1).forward(x, recur::default_generator(), mask).isZero(0));
  EXPECT_TRUE(Dropout<float>(1).backward(x, mask).isZero(0));
}

TEST(Dropout, ThreeDimensionsDrawTheSameMask) {
  const Dropout<double> dropout(0.4);
  Tensor3<double> x(4, 5, 6);
  x.rows().setRandom();
  Generator one(9);
  Generator other(9);
  Tensor3<double> mask;
  RowMatrix<double> mask_rows;
  const Tensor3<double> y = dropout.forward(x, one, mask);
  const RowMatrix<double> y_rows = dropout.forward(x.rows(), other, mask_rows);
  EXPECT_EQ(RowMatrix<double>(mask.rows()), mask_rows);
  EXPECT_EQ(RowMatrix<double>(y.rows()), y_rows);
  const Tensor3<double> d = dropout.backward(x, mask);
  EXPECT_EQ(RowMatrix<double>(d.rows()), y_rows);
  // Every call draws a fresh mask.
  EXPECT_NE(dropout.forward(x.rows(), one, mask_rows), y_rows);
}

TEST(Dropout, WorksInPlace) {
  const Dropout<double> dropout(0.4);
  RowMatrix<double> x(4, 5);
  x.setRandom();
  Generator one(9);
  Generator other(9);
  RowMatrix<double> mask;
  const RowMatrix<double> y = dropout.forward(x, one, mask);
  dropout.forward(x, other, mask, x);
  EXPECT_EQ(x, y);
}

TEST(Dropout, EvaluationIsTheIdentity) {
  const Dropout<double> dropout(0.9);
  Tensor3<double> x(2, 3, 4);
  x.rows().setRandom();
  EXPECT_EQ(RowMatrix<double>(dropout.forward(x).rows()), RowMatrix<double>(x.rows()));
  EXPECT_EQ(dropout.forward(x[1]), RowMatrix<double>(x[1]));
}

TEST(Dropout, Errors) {
  EXPECT_EQ(error_of([] { Dropout<float>(2); }),
            "dropout probability has to be between 0 and 1, but got 2");
  EXPECT_THROW(Dropout<float>(-0.1), Error);
  EXPECT_THROW(Dropout<float>(std::nan("")), Error);
  const Dropout<double> dropout;
  EXPECT_EQ(dropout.p(), 0.5);
  EXPECT_EQ(error_of([&] {
              dropout.backward(RowMatrix<double>::Zero(2, 3), RowMatrix<double>::Zero(2, 4));
            }),
            "Dropout::backward: d_output: expected the mask's (2, 4), got (2, 3)");
  EXPECT_EQ(error_of([&] { dropout.backward(Tensor3<double>(1, 2, 3), Tensor3<double>(1, 2, 2)); }),
            "Dropout::backward: d_output: expected the mask's (1, 2, 2), got (1, 2, 3)");
}

}  // namespace
}  // namespace dropout_test
