// SPDX-License-Identifier: MIT
//
// A scan is its steps: forward_step again and again, whose numbers forward_step_test.cpp checks.
// Not a bit differs.
#include "recur/kernels/forward_scan.hpp"

#include <string>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace forward_scan_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::native_width;
using recur::kernels::PackedGates;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

constexpr Index gap = 3;  // between the rows of every array; what is there must stay as it is

// Arrays of `steps` steps: row (step * rows + b); of h and c one step more.
template <class E, class Scalar>
struct Scan {
  Index rows;
  Index hidden;
  Index steps;
  bool reverse;  // the first step stands last
  RowMatrix<Scalar> slots, h, c, bias;
  PackedGates<E, Scalar> packed;

  Scan(Index row_count, Index hidden_size, Index step_count, bool backwards)
      : rows(row_count), hidden(hidden_size), steps(step_count), reverse(backwards) {
    recur::Generator generator(static_cast<std::uint64_t>(rows * 1000 + hidden));
    slots = random_matrix<Scalar>(generator, steps * rows, math::slot_count<E> * hidden + gap);
    h = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
    c = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
    bias = random_matrix<Scalar>(generator, 1, (E::gates - E::shared_gates) * hidden);
    packed.assign(random_matrix<Scalar>(generator, E::gates * hidden, hidden));
  }

  recur::kernels::SlotRows<Scalar> slots_of(Index k) {
    const Index step = reverse ? steps - 1 - k : k;
    return {slots.data() + step * rows * slots.cols(), slots.cols()};
  }
  // The state before step k; that after it is the one before the next.
  StateRows<Scalar> state_before(Index k) {
    const Index step = reverse ? steps - k : k;
    StateRows<Scalar> state{h.data() + step * rows * h.cols(), h.cols()};
    if constexpr (E::has_c) {
      state.c = c.data() + step * rows * c.cols();
      state.c_stride = c.cols();
    }
    return state;
  }

  void scan(const E& equations, bool record) {
    const Index sign = reverse ? -1 : 1;
    recur::kernels::forward_scan<E, Scalar>(equations, packed, bias.data(), steps,
                                            {.rows = rows,
                                             .slots = slots_of(0),
                                             .prev = state_before(0),
                                             .next = state_before(1),
                                             .slots_step = sign * rows * slots.cols(),
                                             .h_step = sign * rows * h.cols(),
                                             .c_step = E::has_c ? sign * rows * c.cols() : 0},
                                            record);
  }

  void step_by_step(const E& equations, bool record) {
    for (Index k = 0; k < steps; ++k) {
      const auto before = state_before(k);
      recur::kernels::forward_step<E, Scalar>(equations, rows, packed, bias.data(), 0, hidden,
                                              {before.h, before.h_stride, 1}, slots_of(k), record,
                                              before, state_before(k + 1));
    }
  }
};

template <class Scalar, class E>
void check(const E& equations) {
  constexpr Index width = native_width<Scalar>;
  for (const Index hidden : {Index(1), width - 1, width, width + 1, 2 * width, 3 * width, 4 * width,
                             4 * width + 2, 9 * width}) {
    if (hidden == 0) {
      continue;
    }
    for (const Index rows : {1, 2, 7}) {
      for (const Index steps : {1, 4, 11}) {
        for (const bool reverse : {false, true}) {
          for (const bool record : {false, true}) {
            SCOPED_TRACE(std::string(E::name) + ", units " + std::to_string(hidden) + ", rows " +
                         std::to_string(rows) + ", steps " + std::to_string(steps) +
                         (reverse ? ", reverse" : "") + (record ? ", record" : ""));
            Scan<E, Scalar> expected(rows, hidden, steps, reverse);
            Scan<E, Scalar> actual = expected;
            expected.step_by_step(equations, record);
            actual.scan(equations, record);
            ASSERT_TRUE(actual.slots == expected.slots);
            ASSERT_TRUE(actual.h == expected.h);
            ASSERT_TRUE(actual.c == expected.c);
          }
        }
      }
    }
  }
}

template <class Scalar>
class ForwardScan : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(ForwardScan, Scalars);

TYPED_TEST(ForwardScan, IsItsSteps) {
  check<TypeParam>(math::LSTM());
  check<TypeParam>(math::GRU());
  check<TypeParam>(math::RNN{recur::Nonlinearity::tanh});
  check<TypeParam>(recur::test::MinimalGatedUnit());
}

}  // namespace
}  // namespace forward_scan_test
