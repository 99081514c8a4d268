// SPDX-License-Identifier: MIT
//
// Sequences in lanes give the bits of input sums and a scan with units in lanes, whose numbers
// gemm_test.cpp and forward_step_test.cpp check.
#include "recur/kernels/forward_lanes.hpp"

#include <string>

#include <gtest/gtest.h>

#include "recur/cells/step.hpp"
#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace forward_lanes_test {
namespace {

using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::kernels::native_width;
using recur::kernels::PackedWeights;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

constexpr Index gap = 3;  // between the rows of every array; what is there must stay as it is

template <class E, class Scalar>
PackedWeights<E, Scalar> random_weights(Index inputs, Index hidden) {
  const CellSizes sizes{inputs, hidden, hidden, E::gates, true};
  recur::Generator generator(static_cast<std::uint64_t>(100 * inputs + hidden));
  recur::CellParameters<Scalar> p(sizes);
  p.weight_ih = random_matrix<Scalar>(generator, E::gates * hidden, inputs);
  p.weight_hh = random_matrix<Scalar>(generator, E::gates * hidden, hidden);
  p.bias_ih = random_matrix<Scalar>(generator, E::gates * hidden, 1);
  p.bias_hh = random_matrix<Scalar>(generator, E::gates * hidden, 1);
  PackedWeights<E, Scalar> packed;
  packed.assign(sizes, p);
  return packed;
}

// Arrays of `steps` steps: row (step * rows + b); of h and c one step more.
template <class E, class Scalar>
struct Scan {
  Index rows;
  Index hidden;
  Index steps;
  bool reverse;     // the first step stands last
  bool c_in_place;  // one row of c a sequence
  RowMatrix<Scalar> x, slots, h, c;

  Scan(Index row_count, Index inputs, Index hidden_size, Index step_count, bool backwards,
       bool in_place)
      : rows(row_count),
        hidden(hidden_size),
        steps(step_count),
        reverse(backwards),
        c_in_place(in_place) {
    recur::Generator generator(static_cast<std::uint64_t>(rows));
    x = random_matrix<Scalar>(generator, steps * rows, inputs + gap);
    slots = random_matrix<Scalar>(generator, steps * rows, math::slot_count<E> * hidden + gap);
    h = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
    c = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
  }

  StateRows<Scalar> state_before(Index k) {
    const Index step = reverse ? steps - k : k;
    StateRows<Scalar> state{h.data() + step * rows * h.cols(), h.cols()};
    if constexpr (E::has_c) {
      state.c = c.data() + (c_in_place ? 0 : step * rows * c.cols());
      state.c_stride = c.cols();
    }
    return state;
  }

  recur::cells::ForwardSteps<Scalar> at() {
    const Index sign = reverse ? -1 : 1;
    const Index first = reverse ? steps - 1 : 0;
    return {{.rows = rows,
             .slots = {slots.data() + first * rows * slots.cols(), slots.cols()},
             .prev = state_before(0),
             .next = state_before(1),
             .slots_step = sign * rows * slots.cols(),
             .h_step = sign * rows * h.cols(),
             .c_step = E::has_c && !c_in_place ? sign * rows * c.cols() : 0}};
  }

  void in_lanes(const recur::cells::Weights<E, Scalar>& w, bool record) {
    const Index step = rows * x.cols();
    recur::kernels::forward_scan_in_lanes<E, Scalar>(
        w.equations, w.packed, steps, x.data() + (reverse ? (steps - 1) * step : 0), x.cols(),
        reverse ? -step : step, at(), record);
  }

  // Without a record the slots are as they were.
  void of_units(const recur::cells::Weights<E, Scalar>& w, bool record) {
    const RowMatrix<Scalar> before = slots;
    recur::cells::input_sums(w, steps * rows, x.data(), x.cols(), {slots.data(), slots.cols()});
    recur::cells::scan_forward(w, steps, record, at(), 1);
    if (!record) {
      slots = before;
    }
  }
};

template <class Scalar, class E>
void check(const E& equations, Index rows, Index inputs, Index hidden) {
  SCOPED_TRACE(std::string(E::name) + ", units " + std::to_string(hidden) + ", inputs " +
               std::to_string(inputs) + ", rows " + std::to_string(rows));
  const auto packed = random_weights<E, Scalar>(inputs, hidden);
  if (packed.ih.operand().dots > 0) {
    EXPECT_FALSE(recur::kernels::sequences_in_lanes(packed, 1000));
    return;
  }
  const recur::cells::Weights<E, Scalar> w{equations, packed};
  for (const Index steps : {1, 3}) {
    for (const bool reverse : {false, true}) {
      for (const bool record : {false, true}) {
        Scan<E, Scalar> expected(rows, inputs, hidden, steps, reverse, !record);
        Scan<E, Scalar> actual = expected;
        expected.of_units(w, record);
        actual.in_lanes(w, record);
        ASSERT_TRUE(actual.h == expected.h);
        ASSERT_TRUE(actual.c == expected.c);
        ASSERT_TRUE(actual.slots == expected.slots) << (record ? "recorded" : "only read");
      }
    }
  }
}

template <class Scalar>
void check_cells(Index rows, Index inputs, Index hidden) {
  check<Scalar>(math::LSTM(), rows, inputs, hidden);
  check<Scalar>(math::GRU(), rows, inputs, hidden);
  check<Scalar>(math::RNN{recur::Nonlinearity::tanh}, rows, inputs, hidden);
  check<Scalar>(recur::test::MinimalGatedUnit(), rows, inputs, hidden);
}

template <class Scalar>
class ForwardLanes : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ForwardLanes, Scalars);

TYPED_TEST(ForwardLanes, EveryNumberOfUnits) {
  for (Index hidden = 1; hidden < native_width<TypeParam>; ++hidden) {
    check_cells<TypeParam>(2 * native_width<TypeParam> + 1, 5, hidden);
    check_cells<TypeParam>(1, 17, hidden);
  }
}

TYPED_TEST(ForwardLanes, EveryNumberOfInputsAndSequences) {
  const Index hidden = native_width<TypeParam> / 2;
  if (hidden == 0) {
    GTEST_SKIP() << "no vectors";
  }
  for (Index inputs = 1; inputs <= recur::kernels::detail::most_inputs_in_lanes; ++inputs) {
    check_cells<TypeParam>(3, inputs, hidden);
  }
  for (Index rows = 1; rows <= 2 * recur::kernels::tile_columns<TypeParam> + 1; ++rows) {
    check_cells<TypeParam>(rows, 3, hidden);
  }
}

TEST(SequencesInLanes, WhereUnitsLeaveManyEmptyAndSequencesFew) {
  constexpr Index width = native_width<float>;
  if (width < 8) {
    GTEST_SKIP() << "registers of " << width;
  }
  const auto in_lanes = [](Index inputs, Index hidden, Index rows) {
    return recur::kernels::sequences_in_lanes(random_weights<math::LSTM, float>(inputs, hidden),
                                              rows);
  };
  const Index half = width / 2;
  EXPECT_TRUE(in_lanes(half, half, 2 * width));
  EXPECT_TRUE(in_lanes(half, half, 10 * width));
  EXPECT_TRUE(in_lanes(half, half, 3 * width / 2));
  EXPECT_FALSE(in_lanes(half, half, 3 * width / 2 - 1));
  EXPECT_FALSE(in_lanes(half, half, 2 * width + 1)) << "a third register for one sequence";
  EXPECT_TRUE(in_lanes(half, 2, width)) << "a single register, of very few units";
  EXPECT_FALSE(in_lanes(half, half, width));
  EXPECT_FALSE(in_lanes(half, width, 2 * width)) << "units fill the registers";
  EXPECT_FALSE(in_lanes(recur::kernels::detail::most_inputs_in_lanes + 1, half, 2 * width));
}

}  // namespace
}  // namespace forward_lanes_test
