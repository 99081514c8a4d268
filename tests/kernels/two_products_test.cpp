// SPDX-License-Identifier: MIT
//
// The step of two products forward and back, written out for one number at a time.
#include "recur/kernels/two_products.hpp"

#include <gtest/gtest.h>

#include "recur/math/gru_reset_before.hpp"

#include "support/random.hpp"

namespace two_products_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::StateRows;
using Equations = recur::math::GRUResetBefore;
using Matrix = RowMatrix<double>;
namespace math = recur::math;

TEST(TwoProducts, ForwardAndBackwardEqualPlainLoops) {
  constexpr Index gap = 3;  // between the rows; what is there must stay as it is
  for (const Index H : {1, 5, 8, 19}) {
    for (const Index rows : {1, 7}) {
      recur::Generator generator(5);
      const Matrix w = recur::test::random_matrix<double>(generator, 3 * H, H);
      const Matrix h = recur::test::random_matrix<double>(generator, rows, H + gap);
      const Matrix sums = recur::test::random_matrix<double>(generator, rows, 4 * H + gap);
      const Matrix d_next = recur::test::random_matrix<double>(generator, rows, H);
      recur::kernels::PackedGates<Equations, double> packed;
      packed.assign(w);
      recur::kernels::PackedMatrix<double> back;
      back.assign(w, 2 * H, H);

      Matrix slots = sums;
      Matrix next(rows, H);
      const StateRows<const double> prev{h.data(), h.cols(), nullptr, 0};
      recur::kernels::forward_step_of_two<Equations, double>(Equations(), rows, packed,
                                                             {slots.data(), slots.cols()}, prev,
                                                             {next.data(), H, nullptr, 0}, {});
      Matrix d_slots = slots;
      Matrix d_h = d_next;
      const StateRows<double> d{d_h.data(), H, nullptr, 0};
      const recur::kernels::SlotRows<double> d_rows{d_slots.data(), d_slots.cols()};
      recur::kernels::pointwise_backward<Equations, double>(
          Equations(), rows, H, {0, H}, {slots.data(), slots.cols()}, prev,
          {next.data(), H, nullptr, 0}, d_rows, d);
      recur::kernels::backward_operand<Equations, double>(
          Equations(), rows, H, back.operand(), {slots.data(), slots.cols()}, prev, d_rows, d, {});

      for (Index b = 0; b < rows; ++b) {
        const auto h_b = h.row(b).head(H);
        const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
        Eigen::RowVectorXd r(H), z(H), n(H), dn(H);
        for (Index j = 0; j < H; ++j) {
          r[j] = sigmoid(sums(b, j) + w.row(j).dot(h_b));
          z[j] = sigmoid(sums(b, H + j) + w.row(H + j).dot(h_b));
        }
        const Eigen::RowVectorXd rh = r.cwiseProduct(h_b);
        for (Index j = 0; j < H; ++j) {
          n[j] = std::tanh(sums(b, 2 * H + j) + w.row(2 * H + j).dot(rh));
          dn[j] = d_next(b, j) * (1 - z[j]) * (1 - n[j] * n[j]);
        }
        for (Index j = 0; j < H; ++j) {
          EXPECT_NEAR(slots(b, j), r[j], 1e-14);
          EXPECT_NEAR(slots(b, 3 * H + j), rh[j], 1e-14);
          EXPECT_NEAR(next(b, j), (1 - z[j]) * n[j] + z[j] * h_b[j], 1e-14);
          const double d_rh = dn.dot(w.bottomRows(H).col(j));
          EXPECT_NEAR(d_slots(b, j), d_rh * h_b[j] * r[j] * (1 - r[j]), 1e-13);
          EXPECT_NEAR(d_slots(b, H + j), d_next(b, j) * (h_b[j] - n[j]) * z[j] * (1 - z[j]), 1e-13);
          EXPECT_NEAR(d_slots(b, 2 * H + j), dn[j], 1e-13);
          EXPECT_NEAR(d_h(b, j), d_next(b, j) * z[j] + d_rh * r[j], 1e-13);
        }
        for (Index j = 4 * H; j < slots.cols(); ++j) {
          EXPECT_EQ(slots(b, j), sums(b, j));
        }
      }
    }
  }
}

}  // namespace
}  // namespace two_products_test
