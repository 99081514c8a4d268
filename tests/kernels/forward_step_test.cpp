// SPDX-License-Identifier: MIT
//
// One step of whole batches against plain loops over the same equations on single numbers.
#include "recur/kernels/forward_step.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace forward_step_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Vector;
using recur::kernels::PackedGates;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

constexpr Index gap = 3;  // between the rows of every array; what is there must stay as it is

// Weights and the arrays of one step; `depth`: length of the h that W_hh is multiplied by.
template <class E, class Scalar>
struct Step {
  Index rows;
  Index hidden;
  Index depth;
  bool projected;
  RowMatrix<Scalar> w, bias, slots, h, c, next_h, next_c;
  PackedGates<E, Scalar> packed;

  Step(Index row_count, Index hidden_size, Index depth_size)
      : rows(row_count), hidden(hidden_size), depth(depth_size), projected(depth != hidden) {
    recur::Generator generator(static_cast<std::uint64_t>(rows * 1000 + hidden));
    w = random_matrix<Scalar>(generator, E::gates * hidden, depth);
    bias = random_matrix<Scalar>(generator, 1, (E::gates - E::shared_gates) * hidden);
    slots = random_matrix<Scalar>(generator, rows, math::slot_count<E> * hidden + gap);
    h = random_matrix<Scalar>(generator, rows, depth + gap);
    c = random_matrix<Scalar>(generator, rows, hidden + gap);
    next_h = random_matrix<Scalar>(generator, rows, hidden + gap);
    next_c = random_matrix<Scalar>(generator, rows, hidden + gap);
    packed.assign(w);
  }

  // Rows [first, last).
  void run(const E& equations, bool record, Index first, Index last, bool back = false) {
    Scalar* no = nullptr;
    const StateRows<Scalar> prev{
        projected ? no : h.data() + first * h.cols(), projected ? 0 : h.cols(),
        E::has_c ? c.data() + first * c.cols() : no, E::has_c ? c.cols() : 0};
    recur::kernels::forward_step<E, Scalar>(
        equations, last - first, packed, bias.data(), 0, hidden,
        {h.data() + first * h.cols(), h.cols(), 1},
        {slots.data() + first * slots.cols(), slots.cols()}, record, prev,
        {next_h.data() + first * next_h.cols(), next_h.cols(),
         E::has_c ? next_c.data() + first * next_c.cols() : no, E::has_c ? next_c.cols() : 0},
        back);
  }

  // The same, one number at a time.
  void expect(const E& equations) {
    for (Index b = 0; b < rows; ++b) {
      for (Index j = 0; j < hidden; ++j) {
        const auto product = [&](Index gate) {
          return w.row(gate * hidden + j).dot(h.row(b).head(depth));
        };
        math::Slots<E, Scalar> unit;
        for (Index k = 0; k < math::slot_count<E>; ++k) {
          Scalar& sum = unit[static_cast<std::size_t>(k)];
          if (k >= E::gates) {
            const Index gate = k - E::gates + E::shared_gates;
            sum = bias(0, (gate - E::shared_gates) * hidden + j) + product(gate);
          } else {
            sum = slots(b, k * hidden + j) + (k < E::shared_gates ? product(k) : Scalar(0));
          }
        }
        math::UnitState<Scalar> next{};
        equations.forward(unit, math::UnitState<Scalar>{projected ? Scalar(0) : h(b, j), c(b, j)},
                          next);
        for (Index k = 0; k < math::slot_count<E>; ++k) {
          slots(b, k * hidden + j) = unit[static_cast<std::size_t>(k)];
        }
        next_h(b, j) = next.h;
        if constexpr (E::has_c) {
          next_c(b, j) = next.c;
        }
      }
    }
  }
};

template <class Scalar>
void expect_close(const RowMatrix<Scalar>& actual, const RowMatrix<Scalar>& expected,
                  const char* what) {
  const double tolerance =
      std::is_same_v<Scalar, float> ? 2e-5 : 1e-12;  // of sums of many products
  for (Index k = 0; k < actual.size(); ++k) {
    ASSERT_NEAR(actual.data()[k], expected.data()[k], tolerance) << what << ", element " << k;
  }
  ASSERT_TRUE(actual.rightCols(gap) == expected.rightCols(gap)) << what << ": between the rows";
}

template <class Scalar, class E>
void check(const E& equations, Index rows, Index hidden, Index depth) {
  SCOPED_TRACE(std::string(E::name) + ", rows " + std::to_string(rows) + ", units " +
               std::to_string(hidden) + ", depth " + std::to_string(depth));
  const Step<E, Scalar> start(rows, hidden, depth);
  Step<E, Scalar> expected = start;
  expected.expect(equations);
  Step<E, Scalar> actual = start;
  actual.run(equations, true, 0, rows);
  expect_close(actual.slots, expected.slots, "slots");
  expect_close(actual.next_h, expected.next_h, "h");
  expect_close(actual.next_c, expected.next_c, "c");

  // Without a record the slots are only read. Row by row, the same bits.
  Step<E, Scalar> unrecorded = start;
  for (Index b = 0; b < rows; ++b) {
    unrecorded.run(equations, false, b, b + 1);
  }
  EXPECT_TRUE(unrecorded.slots == start.slots);
  EXPECT_TRUE(unrecorded.next_h == actual.next_h);
  EXPECT_TRUE(unrecorded.next_c == actual.next_c);

  // From the last unit to the first, the same bits: all rows, and one.
  Step<E, Scalar> back = start;
  const Index alone = std::min<Index>(rows, 1);
  back.run(equations, true, 0, rows - alone, true);
  back.run(equations, true, rows - alone, rows, true);
  EXPECT_TRUE(back.slots == actual.slots);
  EXPECT_TRUE(back.next_h == actual.next_h);
  EXPECT_TRUE(back.next_c == actual.next_c);
}

template <class Scalar>
void check_cells(Index rows, Index hidden, Index depth) {
  check<Scalar>(math::LSTM(), rows, hidden, depth);
  check<Scalar>(math::GRU(), rows, hidden, hidden);
  check<Scalar>(math::RNN{recur::Nonlinearity::tanh}, rows, hidden, hidden);
  check<Scalar>(math::RNN{recur::Nonlinearity::relu}, rows, hidden, hidden);
  check<Scalar>(recur::test::MinimalGatedUnit(), rows, hidden, hidden);
}

template <class Scalar>
void check_sizes() {
  for (Index hidden = 1; hidden <= 150; hidden += hidden < 70 ? 1 : 7) {
    check_cells<Scalar>(1 + hidden % 8, hidden, hidden);
  }
  for (const Index rows : {1, 2, 6, 7, 13, 95, 96, 97, 200}) {
    check_cells<Scalar>(rows, 20, 20);
    check_cells<Scalar>(rows, 64, 64);
  }
  check_cells<Scalar>(3, 20, 7);  // a projection
  check_cells<Scalar>(0, 5, 5);
}

TEST(ForwardStep, FloatOfEverySize) { check_sizes<float>(); }

TEST(ForwardStep, DoubleOfEverySize) { check_sizes<double>(); }

TEST(ForwardStep, BeyondTheBlocksOfAPanel) {
  check<double>(math::LSTM(), 2, 5, 1030);
  check<double>(math::LSTM(), 97, 5, 2050);
  check<float>(math::LSTM(), 2, 150, 1100);
}

// c may be updated in place.
TEST(ForwardStep, NextCMayBePrevC) {
  Step<math::LSTM, float> apart(9, 21, 21);
  Step<math::LSTM, float> in_place = apart;
  apart.run(math::LSTM(), false, 0, 9);
  recur::kernels::forward_step<math::LSTM, float>(
      math::LSTM(), 9, in_place.packed, in_place.bias.data(), 0, 21,
      {in_place.h.data(), in_place.h.cols(), 1}, {in_place.slots.data(), in_place.slots.cols()},
      false, {in_place.h.data(), in_place.h.cols(), in_place.c.data(), in_place.c.cols()},
      {in_place.next_h.data(), in_place.next_h.cols(), in_place.c.data(), in_place.c.cols()});
  EXPECT_TRUE(in_place.c.leftCols(21) == apart.next_c.leftCols(21));
  EXPECT_TRUE(in_place.next_h == apart.next_h);
}

}  // namespace
}  // namespace forward_step_test
