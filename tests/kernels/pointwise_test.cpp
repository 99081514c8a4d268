// SPDX-License-Identifier: MIT
//
// The equations on whole rows against the same equations on single numbers.
#include "recur/kernels/pointwise.hpp"

#include <cmath>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace pointwise_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::SlotRows;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

constexpr Index rows = 3;
constexpr Index gap = 5;  // between the rows of every array

// One array of each kind, rows further apart than they are long.
template <class E, class Scalar>
struct Arrays {
  using Places = recur::kernels::SlotPlaces<E, Scalar>;
  using ConstPlaces = recur::kernels::SlotPlaces<E, const Scalar>;

  Index hidden;
  RowMatrix<Scalar> slots, d_slots, prev_h, prev_c, next_h, next_c, d_h, d_c;

  explicit Arrays(Index hidden_size) : hidden(hidden_size) {
    recur::Generator generator(static_cast<std::uint64_t>(hidden));
    const Index width = math::slot_count<E> * hidden + gap;
    for (RowMatrix<Scalar>* array : {&slots, &d_slots}) {
      *array = 3 * random_matrix<Scalar>(generator, rows, width);
    }
    for (RowMatrix<Scalar>* array : {&prev_h, &prev_c, &next_h, &next_c, &d_h, &d_c}) {
      *array = random_matrix<Scalar>(generator, rows, hidden + gap);
    }
  }

  // The slots of an array one after the other.
  Places places(RowMatrix<Scalar>& array) const {
    return Places::of({array.data(), array.cols()}, hidden, 0);
  }
  ConstPlaces const_places(const RowMatrix<Scalar>& array) const {
    return ConstPlaces::of({array.data(), array.cols()}, hidden, 0);
  }
  static SlotRows<Scalar> slot_rows(RowMatrix<Scalar>& array) {
    return {array.data(), array.cols()};
  }
  static StateRows<Scalar> state_rows(RowMatrix<Scalar>& h, RowMatrix<Scalar>& c) {
    return {h.data(), h.cols(), E::has_c ? c.data() : nullptr, E::has_c ? c.cols() : 0};
  }

  math::Slots<E, Scalar> unit_slots(const RowMatrix<Scalar>& array, Index b, Index j) const {
    math::Slots<E, Scalar> unit;
    for (std::size_t k = 0; k < unit.size(); ++k) {
      unit[k] = array(b, static_cast<Index>(k) * hidden + j);
    }
    return unit;
  }
  void set_slots(const math::Slots<E, Scalar>& unit, RowMatrix<Scalar>& array, Index b,
                 Index j) const {
    for (std::size_t k = 0; k < unit.size(); ++k) {
      array(b, static_cast<Index>(k) * hidden + j) = unit[k];
    }
  }
  static void set_state(const math::UnitState<Scalar>& unit, RowMatrix<Scalar>& h,
                        RowMatrix<Scalar>& c, Index b, Index j) {
    h(b, j) = unit.h;
    if constexpr (E::has_c) {
      c(b, j) = unit.c;
    }
  }
};

// Everything, the gaps included: what lies between the rows is as it was.
template <class Scalar>
void expect_equal(const RowMatrix<Scalar>& actual, const RowMatrix<Scalar>& expected,
                  const char* what) {
  const double tolerance = std::is_same_v<Scalar, float> ? 2e-6 : 1e-14;
  ASSERT_LE(static_cast<double>((actual - expected).cwiseAbs().maxCoeff()), tolerance) << what;
  ASSERT_TRUE(actual.rightCols(gap) == expected.rightCols(gap))
      << what << ": written between the rows";
}

template <class Scalar, class E>
void check_size(const E& equations, Index hidden, bool with_h) {
  SCOPED_TRACE(std::string(E::name) + " of " + std::to_string(hidden) + " units");
  Arrays<E, Scalar> actual(hidden);
  Arrays<E, Scalar> expected(hidden);
  StateRows<const Scalar> prev = actual.state_rows(actual.prev_h, actual.prev_c);
  if (!with_h) {  // cells with a projection: the equations see no h
    prev.h = nullptr;
    prev.h_stride = 0;
    expected.prev_h.setZero();
  }

  recur::kernels::pointwise_forward<E, Scalar>(
      equations, rows, hidden, actual.const_places(actual.slots),
      actual.const_places(actual.d_slots), actual.places(actual.slots), prev,
      actual.state_rows(actual.next_h, actual.next_c));
  const auto prev_of = [&](Index b, Index j) {
    return math::UnitState<Scalar>{expected.prev_h(b, j), expected.prev_c(b, j)};
  };
  for (Index b = 0; b < rows; ++b) {
    for (Index j = 0; j < hidden; ++j) {
      auto unit = expected.unit_slots(expected.slots, b, j);
      const auto added = expected.unit_slots(expected.d_slots, b, j);
      for (std::size_t k = 0; k < unit.size(); ++k) {
        unit[k] += math::stands_apart<E>(static_cast<Index>(k)) ? Scalar(0) : added[k];
      }
      math::UnitState<Scalar> next{};
      equations.forward(unit, prev_of(b, j), next);
      expected.set_slots(unit, expected.slots, b, j);
      expected.set_state(next, expected.next_h, expected.next_c, b, j);
    }
  }
  expect_equal(actual.slots, expected.slots, "slots");
  expect_equal(actual.next_h, expected.next_h, "h");
  expect_equal(actual.next_c, expected.next_c, "c");

  actual.slots = expected.slots;
  actual.next_h = expected.next_h;
  actual.next_c = expected.next_c;
  const RowMatrix<Scalar> slots_before = actual.slots;
  // Gradients by the output: any numbers will do, or none.
  const StateRows<const Scalar> d_output{prev.h, prev.h_stride, nullptr, 0};
  recur::kernels::pointwise_backward<E, Scalar>(
      equations, rows, hidden, {0, hidden}, actual.slot_rows(actual.slots), prev,
      actual.state_rows(actual.next_h, actual.next_c), actual.slot_rows(actual.d_slots),
      actual.state_rows(actual.d_h, actual.d_c), d_output);
  for (Index b = 0; b < rows; ++b) {
    for (Index j = 0; j < hidden; ++j) {
      auto unit = expected.unit_slots(expected.slots, b, j);
      math::UnitState<Scalar> d{expected.d_h(b, j), expected.d_c(b, j)};
      d.h += with_h ? expected.prev_h(b, j) : Scalar(0);
      equations.backward(unit, prev_of(b, j),
                         math::UnitState<Scalar>{expected.next_h(b, j), expected.next_c(b, j)}, d);
      expected.set_slots(unit, expected.d_slots, b, j);
      expected.set_state(d, expected.d_h, expected.d_c, b, j);
    }
  }
  EXPECT_TRUE(actual.slots == slots_before) << "the record is only read";
  expect_equal(actual.d_slots, expected.d_slots, "d_slots");
  expect_equal(actual.d_h, expected.d_h, "d_h");
  expect_equal(actual.d_c, expected.d_c, "d_c");
}

template <class Scalar>
void check_all() {
  for (Index hidden = 0; hidden <= 70; ++hidden) {
    check_size<Scalar>(math::LSTM(), hidden, true);
    check_size<Scalar>(math::LSTM(), hidden, false);
    check_size<Scalar>(math::GRU(), hidden, true);
    check_size<Scalar>(math::RNN{recur::Nonlinearity::tanh}, hidden, true);
    check_size<Scalar>(math::RNN{recur::Nonlinearity::relu}, hidden, true);
    check_size<Scalar>(recur::test::MinimalGatedUnit(), hidden, true);
  }
}

TEST(Pointwise, FloatOfEverySize) { check_all<float>(); }

TEST(Pointwise, DoubleOfEverySize) { check_all<double>(); }

// c may be updated in place.
TEST(Pointwise, NextCMayBePrevC) {
  Arrays<math::LSTM, double> apart(19);
  Arrays<math::LSTM, double> in_place(19);
  const RowMatrix<double> sums = in_place.slots;
  recur::kernels::pointwise_forward<math::LSTM, double>(
      math::LSTM(), rows, 19, apart.const_places(apart.slots), {}, apart.places(apart.slots),
      apart.state_rows(apart.prev_h, apart.prev_c), apart.state_rows(apart.next_h, apart.next_c));
  // Nothing is recorded where nobody asks for it.
  recur::kernels::pointwise_forward<math::LSTM, double>(
      math::LSTM(), rows, 19, in_place.const_places(in_place.slots), {}, {},
      in_place.state_rows(in_place.prev_h, in_place.prev_c),
      in_place.state_rows(in_place.next_h, in_place.prev_c));
  EXPECT_TRUE(in_place.slots == sums);
  EXPECT_TRUE(in_place.prev_c.leftCols(19) == apart.next_c.leftCols(19));
  EXPECT_TRUE(in_place.next_h == apart.next_h);
}

// A unit gives the same bits wherever it stands in a register, whole or part.
template <class Scalar>
void check_places() {
  const Index hidden = 70;
  Arrays<math::LSTM, Scalar> whole(hidden);
  Arrays<math::LSTM, Scalar> same(hidden);
  const math::LSTM lstm;
  recur::kernels::pointwise_forward<math::LSTM, Scalar>(
      lstm, 1, hidden, whole.const_places(whole.slots), {}, whole.places(whole.slots),
      whole.state_rows(whole.prev_h, whole.prev_c), whole.state_rows(whole.next_h, whole.next_c));
  for (Index j = 0; j < hidden; ++j) {  // as one unit of its own
    RowMatrix<Scalar> slots(1, 4);
    for (Index k = 0; k < 4; ++k) {
      slots(0, k) = same.slots(0, k * hidden + j);
    }
    RowMatrix<Scalar> h(1, 1);
    RowMatrix<Scalar> c(1, 1);
    h(0, 0) = same.prev_h(0, j);
    c(0, 0) = same.prev_c(0, j);
    recur::kernels::pointwise_forward<math::LSTM, Scalar>(
        lstm, 1, 1,
        recur::kernels::SlotPlaces<math::LSTM, const Scalar>::of({slots.data(), 4}, 1, 0), {}, {},
        {h.data(), 1, c.data(), 1}, {h.data(), 1, c.data(), 1});
    ASSERT_EQ(h(0, 0), whole.next_h(0, j)) << j;
    ASSERT_EQ(c(0, 0), whole.next_c(0, j)) << j;
  }
}

TEST(Pointwise, PlaceInARegisterChangesNoBit) {
  check_places<float>();
  check_places<double>();
}

}  // namespace
}  // namespace pointwise_test
