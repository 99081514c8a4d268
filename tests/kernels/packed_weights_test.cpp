// SPDX-License-Identifier: MIT
#include "recur/kernels/packed_weights.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/random.hpp"

namespace packed_weights_test {
namespace {

using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::kernels::PackedB;
using recur::kernels::PackedMatrix;
using recur::kernels::PackedWeights;
using recur::test::random_matrix;
namespace math = recur::math;

// Element (k, n) of B (K × N) where gemm looks for it: in a panel, or in a column behind them.
template <class Scalar>
Scalar element(const PackedB<Scalar>& b, Index K, Index N, Index k, Index n) {
  const Index in_panels = N - b.dots;
  if (b.dots > 0 && n >= in_panels) {
    return n < N ? b.data[n * K + k] : Scalar(0);
  }
  const recur::kernels::Panels<Scalar> panels(in_panels);
  const Index panel = panels.at(std::min(n, in_panels - 1));  // behind them: padding
  const Index first = panels.begin(panel);
  return b.data[first * K + k * panels.width(panel) + n - first];
}

// The transposed rows [first, first + count) of w, the padding zero.
template <class Scalar>
void expect_transposed(const PackedB<Scalar>& b, const RowMatrix<Scalar>& w, Index first,
                       Index count) {
  const Index whole = recur::kernels::whole_registers<Scalar>(count);
  for (Index n = 0; n < whole; ++n) {
    for (Index k = 0; k < w.cols(); ++k) {
      ASSERT_EQ(element(b, w.cols(), count, k, n), n < count ? w(first + n, k) : Scalar(0))
          << "(" << k << ", " << n << ")";
    }
  }
}

template <class Scalar>
void expect_rows(const PackedB<Scalar>& b, const RowMatrix<Scalar>& w, Index first, Index count) {
  const Index whole = recur::kernels::whole_registers<Scalar>(w.cols());
  for (Index k = 0; k < count; ++k) {
    for (Index n = 0; n < whole; ++n) {
      ASSERT_EQ(element(b, count, w.cols(), k, n), n < w.cols() ? w(first + k, n) : Scalar(0))
          << "(" << k << ", " << n << ")";
    }
  }
}

TEST(PackedMatrix, HoldsRowsPlainAndTransposed) {
  recur::Generator generator(1);
  PackedMatrix<float> packed;
  PackedMatrix<float> back;
  for (Index count = 0; count <= 150; count += count < 70 ? 1 : 16) {
    const auto w = random_matrix<float>(generator, count + 5, 3);
    packed.assign_transposed(w, 2, count);  // again and again: growing and shrinking
    expect_transposed(packed.operand(), w, 2, count);
    back.assign(w, 2, count);
    expect_rows(back.operand(), w, 2, count);
    const auto wide = random_matrix<float>(generator, 4, count);
    back.assign(wide, 1, 2);
    expect_rows(back.operand(), wide, 1, 2);
    // So many terms that the last columns may stand apart.
    const auto deep = random_matrix<float>(generator, count + 5, 120);
    packed.assign_transposed(deep, 2, count);
    expect_transposed(packed.operand(), deep, 2, count);
    const auto high = random_matrix<float>(generator, 122, count);
    back.assign(high, 1, 120);
    expect_rows(back.operand(), high, 1, 120);
  }
  const auto w = random_matrix<float>(generator, 4, 7);
  packed.assign_transposed(w, 1, 2);
  expect_transposed(packed.operand(), w, 1, 2);
}

TEST(PackedMatrix, HoldsScatteredRows) {
  recur::Generator generator(1);
  const auto w = random_matrix<float>(generator, 9, 70);
  const Index places[] = {7, 0, 3, 3};
  RowMatrix<float> expected(4, 70);
  for (Index k = 0; k < 4; ++k) {
    expected.row(k) = w.row(places[k]);
  }
  PackedMatrix<float> packed;
  packed.assign(4, 70, recur::kernels::ScatteredRowsB<float>{{w.data(), 70}, places});
  expect_rows(packed.operand(), expected, 0, 4);
}

// Three rows, two of which nobody wants, three rows, …
TEST(PackedMatrix, TakesRowsInRuns) {
  recur::Generator generator(3);
  const auto rows = random_matrix<float>(generator, 16, 70);
  const recur::kernels::RunsB<float> runs{{rows.data(), 70}, 3, 5};
  for (const Index count : {1, 3, 4, 8, 9}) {
    RowMatrix<float> expected(count, 70);
    for (Index k = 0; k < count; ++k) {
      expected.row(k) = rows.row(k / 3 * 5 + k % 3);
      EXPECT_EQ(runs.row(k), rows.row(k / 3 * 5 + k % 3).data());
    }
    PackedMatrix<float> packed;
    packed.assign(count, 70, runs);
    expect_rows(packed.operand(), expected, 0, count);
    for (const Index columns : {70, 10}) {  // whole rows, and parts of them
      const auto b = packed.gather(count, columns, runs);
      for (Index k = 0; k < count; ++k) {
        for (Index n = 0; n < columns; ++n) {
          EXPECT_EQ(b.row(k)[n], expected(k, n));
        }
      }
    }
  }
}

TEST(PackedMatrix, GathersRowsThatStandInBlocks) {
  recur::Generator generator(2);
  for (const Index columns : {10, 7}) {  // of rows of ten: whole rows, and parts of them
    const RowMatrix<float> rows = random_matrix<float>(generator, 12, 10);
    const Index places[] = {1, 2, 3, 6, 7, 11, 0};
    PackedMatrix<float> gathered;
    const auto b = gathered.gather(
        7, columns, recur::kernels::ScatteredRowsB<float>{{rows.data(), 10}, places});
    for (Index k = 0; k < 7; ++k) {
      for (Index n = 0; n < columns; ++n) {
        EXPECT_EQ(b.row(k)[n], rows(places[k], n));
      }
    }
  }
}

TEST(PackedMatrix, ProductsEqualThoseOfTheMatrix) {
  recur::Generator generator(1);
  for (const Index N : {1, 16, 33, 70}) {
    const auto w = random_matrix<double>(generator, N, 9);
    const auto x = random_matrix<double>(generator, 5, 9);
    PackedMatrix<double> packed;
    packed.assign_transposed(w, 0, N);
    RowMatrix<double> y(5, N);
    recur::kernels::gemm<double>(5, N, 9, {x.data(), 9, 1}, packed.operand(), {y.data(), N},
                                 recur::kernels::Start::zero);
    EXPECT_LT((y - x * w.transpose()).cwiseAbs().maxCoeff(), 1e-13);
  }
}

// Every element of W_hh in its block, beside those of the unit's other gates.
template <class E, class Scalar>
void expect_gates(const recur::kernels::PackedGates<E, Scalar>& packed,
                  const RowMatrix<Scalar>& w) {
  using Gates = recur::kernels::PackedGates<E, Scalar>;
  const Index hidden = w.rows() / E::gates;
  ASSERT_EQ(packed.hidden(), hidden);
  ASSERT_EQ(packed.depth(), w.cols());
  for (Index first = 0; first < hidden; first += Gates::units_per_block) {
    const auto block = packed.block(first);
    ASSERT_EQ(block.units, std::min(hidden - first, Gates::units_per_block));
    for (Index k = 0; k < w.cols(); ++k) {
      for (Index column = 0; column < block.width; ++column) {
        const Index gate = column / block.units;
        ASSERT_EQ(block.data[k * block.width + column],
                  gate < E::gates ? w(gate * hidden + first + column % block.units, k) : Scalar(0));
      }
    }
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
  expect_transposed(packed.ih.operand(), p.weight_ih, 0, all);
  expect_gates(packed.hh, p.weight_hh);
  expect_rows(packed.ih_back.operand(), p.weight_ih, 0, all);
  expect_rows(packed.hh_back.operand(), p.weight_hh, 0, shared);
  expect_rows(packed.hh_apart_back.operand(), p.weight_hh, shared, all - shared);
  if (sizes.projected()) {
    expect_transposed(packed.hr.operand(), p.weight_hr, 0, sizes.output);
    expect_rows(packed.hr_back.operand(), p.weight_hr, 0, sizes.output);
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
    check_weights<math::LSTM>({4, 70, 70, 4, bias});
    check_weights<math::RNN>({4, 150, 150, 1, bias});
  }
}

}  // namespace
}  // namespace packed_weights_test
