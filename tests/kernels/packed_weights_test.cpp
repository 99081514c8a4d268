// SPDX-License-Identifier: MIT
#include "recur/kernels/packed_weights.hpp"

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/random.hpp"

namespace {

using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::kernels::GemmB;
using recur::kernels::PackedMatrix;
using recur::kernels::PackedWeights;
using recur::kernels::tile_columns;
using recur::test::random_matrix;
namespace math = recur::math;

// Element (k, n) where gemm looks for it.
template <class Scalar>
Scalar element(const GemmB<Scalar>& b, Index k, Index n) {
  const Index panel = tile_columns<Scalar>;
  return b.data[n / panel * b.panel_stride + k * b.row_stride + n % panel];
}

template <class Scalar>
void expect_packed(const GemmB<Scalar>& b, const RowMatrix<Scalar>& w, Index first, Index count) {
  for (Index n = 0; n < count; ++n) {
    for (Index k = 0; k < w.cols(); ++k) {
      ASSERT_EQ(element(b, k, n), w(first + n, k)) << "(" << k << ", " << n << ")";
    }
  }
}

TEST(PackedMatrix, HoldsTheTransposedRows) {
  recur::Generator generator(1);
  PackedMatrix<float> packed;
  for (Index count = 0; count <= 70; ++count) {
    const auto w = random_matrix<float>(generator, count + 5, 3);
    packed.assign(w, 2, count);  // again and again: growing and shrinking
    expect_packed(packed.operand(), w, 2, count);
  }
  const auto w = random_matrix<float>(generator, 4, 7);
  packed.assign(w, 1, 2);
  expect_packed(packed.operand(), w, 1, 2);
}

TEST(PackedMatrix, ProductsEqualThoseOfTheMatrix) {
  recur::Generator generator(1);
  for (const Index N : {1, 16, 33, 70}) {
    const auto w = random_matrix<double>(generator, N, 9);
    const auto x = random_matrix<double>(generator, 5, 9);
    PackedMatrix<double> packed;
    packed.assign(w, 0, N);
    RowMatrix<double> y(5, N);
    recur::kernels::gemm<double>(5, N, 9, {x.data(), 9, 1}, packed.operand(), {y.data(), N},
                                 recur::kernels::Start::zero);
    EXPECT_LT((y - x * w.transpose()).cwiseAbs().maxCoeff(), 1e-13);
  }
}

template <class E>
void check_weights(const CellSizes& sizes) {
  recur::Generator generator(1);
  CellParameters<double> p(sizes);
  CellParameters<double>::visit(
      [&](const auto&, auto& array) {
        for (Index k = 0; k < array.size(); ++k) {
          array.data()[k] = recur::test::random_number<double>(generator);
        }
      },
      p);
  PackedWeights<E, double> packed;
  packed.assign(sizes, p);

  const Index H = sizes.hidden;
  const Index all = E::gates * H;
  const Index shared = E::shared_gates * H;
  expect_packed(packed.ih.operand(), p.weight_ih, 0, all);
  expect_packed(packed.hh.operand(), p.weight_hh, 0, shared);
  expect_packed(packed.hh_apart.operand(), p.weight_hh, shared, all - shared);
  if (sizes.projected()) {
    expect_packed(packed.hr.operand(), p.weight_hr, 0, sizes.output);
  }
  ASSERT_EQ(packed.bias.size(), math::slot_count<E> * H);
  for (Index k = 0; k < packed.bias.size(); ++k) {
    double expected = 0;
    if (sizes.bias && k < shared) {
      expected = p.bias_ih[k] + p.bias_hh[k];
    } else if (sizes.bias) {
      expected = k < all ? p.bias_ih[k] : p.bias_hh[k - (all - shared)];
    }
    EXPECT_EQ(packed.bias[k], expected) << k;
  }
}

TEST(PackedWeights, OfEveryCell) {
  for (const bool bias : {true, false}) {
    check_weights<math::LSTM>({3, 5, 5, 4, bias});
    check_weights<math::LSTM>({3, 5, 2, 4, bias});
    check_weights<math::GRU>({3, 5, 5, 3, bias});
    check_weights<math::RNN>({3, 5, 5, 1, bias});
    check_weights<math::GRU>({40, 33, 33, 3, bias});
  }
}

}  // namespace
