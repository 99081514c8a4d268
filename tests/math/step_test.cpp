// SPDX-License-Identifier: MIT
//
// The reference step: its values in a small case computed by hand, its gradients against finite
// differences in long double. It is the oracle of the kernels.
#include "recur/math/step.hpp"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/gradient_check.hpp"

namespace step_test {
namespace {

using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::test::expect_gradient;
using recur::test::random_matrix;
namespace math = recur::math;

using Real = long double;

// Sum of the elements of a times those of b.
template <class Matrix>
Real dot(const Matrix& a, const Matrix& b) {
  return a.size() == 0 ? Real(0) : a.cwiseProduct(b).sum();
}

template <class E>
void check_step(const E& equations, bool bias, Index projection) {
  const Index B = 3;
  const Index I = 2;
  const Index H = 4;
  const CellSizes sizes{I, H, projection > 0 ? projection : H, E::gates, bias};
  recur::Generator generator(5);
  CellParameters<Real> p(sizes);
  CellParameters<Real>::visit(
      [&](const auto&, auto& array) {
        for (Index k = 0; k < array.size(); ++k) {
          array.data()[k] = recur::test::random_number<Real>(generator);
        }
      },
      p);
  RowMatrix<Real> x = random_matrix<Real>(generator, B, I);
  math::BatchState<Real> prev{random_matrix<Real>(generator, B, sizes.output),
                              random_matrix<Real>(generator, B, E::has_c ? H : 0)};
  const math::BatchState<Real> d{random_matrix<Real>(generator, B, sizes.output),
                                 random_matrix<Real>(generator, B, E::has_c ? H : 0)};

  const auto loss = [&] {
    const auto record = math::forward_step(equations, p, x, prev);
    return dot(record.next.h, d.h) + dot(record.next.c, d.c);
  };
  const auto record = math::forward_step(equations, p, x, prev);
  CellParameters<Real> by_parameters(sizes);
  const auto gradients = math::backward_step(equations, p, record, d, by_parameters);

  const Real step = 1e-3L;
  const double tolerance = 1e-10;
  using recur::test::elements;
  expect_gradient(x.data(), elements(gradients.x).values, loss, step, tolerance, "x");
  expect_gradient(prev.h.data(), elements(gradients.prev.h).values, loss, step, tolerance, "h");
  expect_gradient(prev.c.data(), elements(gradients.prev.c).values, loss, step, tolerance, "c");
  int visited = 0;
  CellParameters<Real>::visit(
      [&](const auto& name, auto& array, auto& gradient) {
        expect_gradient(array.data(), elements(gradient).values, loss, step, tolerance, name.str());
        ++visited;
      },
      p, by_parameters);
  EXPECT_EQ(visited, 2 + (bias ? 2 : 0) + (projection > 0 ? 1 : 0));

  // Parameter gradients are added to.
  CellParameters<Real> twice = by_parameters;
  math::backward_step(equations, p, record, d, twice);
  EXPECT_LT(
      static_cast<double>((twice.weight_ih - 2 * by_parameters.weight_ih).cwiseAbs().maxCoeff()),
      1e-15);
}

TEST(Step, GradientsEqualFiniteDifferences) {
  for (const bool bias : {true, false}) {
    SCOPED_TRACE(bias);
    check_step(math::LSTM(), bias, 0);
    check_step(math::LSTM(), bias, 2);
    check_step(math::GRU(), bias, 0);
    check_step(math::RNN{recur::Nonlinearity::tanh}, bias, 0);
    check_step(math::RNN{recur::Nonlinearity::relu}, bias, 0);
  }
}

// One unit, one input: h' = tanh(w_x x + b_x + w_h h + b_h).
TEST(Step, HandComputedRNN) {
  CellParameters<double> p(CellSizes{1, 1, 1, 1, true});
  p.weight_ih << 0.5;
  p.weight_hh << -2.0;
  p.bias_ih << 0.25;
  p.bias_hh << 0.125;
  RowMatrix<double> x(1, 1);
  x << 3.0;
  math::BatchState<double> prev{RowMatrix<double>(1, 1), {}};
  prev.h << 0.75;
  const auto record = math::forward_step(math::RNN(), p, x, prev);
  EXPECT_DOUBLE_EQ(record.next.h(0, 0), std::tanh(0.5 * 3 + 0.25 - 2.0 * 0.75 + 0.125));
}

// b_hn is inside the product with r.
TEST(Step, HandComputedGRU) {
  CellParameters<double> p(CellSizes{1, 1, 1, 3, true});
  p.weight_ih << 0.5, -0.5, 1.0;
  p.weight_hh << 1.0, 2.0, -1.0;
  p.bias_ih << 0.1, 0.2, 0.3;
  p.bias_hh << -0.1, 0.4, 0.7;
  RowMatrix<double> x(1, 1);
  x << 2.0;
  math::BatchState<double> prev{RowMatrix<double>(1, 1), {}};
  prev.h << 0.5;
  const double r = 1 / (1 + std::exp(-(1.0 + 0.1 + 0.5 - 0.1)));
  const double z = 1 / (1 + std::exp(-(-1.0 + 0.2 + 1.0 + 0.4)));
  const double n = std::tanh(2.0 + 0.3 + r * (-0.5 + 0.7));
  const auto record = math::forward_step(math::GRU(), p, x, prev);
  EXPECT_DOUBLE_EQ(record.next.h(0, 0), (1 - z) * n + z * 0.5);
}

// Two units projected to one: h' = W_hr (o tanh(c')); the recurrent weights see the projected h.
TEST(Step, HandComputedProjectedLSTM) {
  CellParameters<double> p(CellSizes{1, 2, 1, 4, false});
  p.weight_ih << 0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8;
  p.weight_hh << 1.0, 0.9, -0.8, 0.7, 0.6, -0.5, 0.4, 0.3;
  p.weight_hr << 2.0, -3.0;
  RowMatrix<double> x(1, 1);
  x << 1.5;
  math::BatchState<double> prev{RowMatrix<double>(1, 1), RowMatrix<double>(1, 2)};
  prev.h << -0.5;
  prev.c << 0.25, -0.75;
  double h = 0;
  double c[2];
  for (Index j = 0; j < 2; ++j) {
    const auto sum = [&](Index gate) {
      return p.weight_ih(gate * 2 + j, 0) * 1.5 + p.weight_hh(gate * 2 + j, 0) * -0.5;
    };
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    c[j] = sigmoid(sum(1)) * prev.c(0, j) + sigmoid(sum(0)) * std::tanh(sum(2));
    h += p.weight_hr(0, j) * sigmoid(sum(3)) * std::tanh(c[j]);
  }
  const auto record = math::forward_step(math::LSTM(), p, x, prev);
  EXPECT_DOUBLE_EQ(record.next.h(0, 0), h);
  EXPECT_DOUBLE_EQ(record.next.c(0, 0), c[0]);
  EXPECT_DOUBLE_EQ(record.next.c(0, 1), c[1]);
}

}  // namespace
}  // namespace step_test
