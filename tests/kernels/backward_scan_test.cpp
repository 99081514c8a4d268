// SPDX-License-Identifier: MIT
//
// A scan backward, by one thread or by several, is its steps, the equations and the product by
// W_hh, which have tests of their own. Not a bit differs.
#include "recur/kernels/backward_scan.hpp"

#include <string>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace backward_scan_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::gemm_by_columns;
using recur::kernels::native_width;
using recur::kernels::PackedMatrix;
using recur::kernels::Start;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

constexpr Index gap = 3;  // between the rows of every array; what is there must stay as it is

// Arrays of `steps` steps: row (step * rows + b); of h and c one step more.
template <class E, class Scalar>
struct Scan {
  static constexpr Index apart = E::gates - E::shared_gates;

  Index rows;
  Index hidden;
  Index steps;
  bool d_before = true;
  RowMatrix<Scalar> slots, h, c, d_slots, d_output, d_h, d_c;
  PackedMatrix<Scalar> by_shared, by_apart;

  Scan(Index row_count, Index hidden_size, Index step_count)
      : rows(row_count), hidden(hidden_size), steps(step_count) {
    recur::Generator generator(static_cast<std::uint64_t>(rows * 1000 + hidden));
    slots = random_matrix<Scalar>(generator, steps * rows, math::slot_count<E> * hidden + gap);
    h = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
    c = random_matrix<Scalar>(generator, (steps + 1) * rows, hidden + gap);
    d_slots = random_matrix<Scalar>(generator, steps * rows, math::slot_count<E> * hidden + gap);
    d_output = random_matrix<Scalar>(generator, steps * rows, hidden + gap);
    d_h = random_matrix<Scalar>(generator, rows, hidden + gap);
    d_c = random_matrix<Scalar>(generator, rows, hidden + gap);
    const auto w = random_matrix<Scalar>(generator, E::gates * hidden, hidden);
    by_shared.assign(w, 0, E::shared_gates * hidden);
    by_apart.assign(w, E::shared_gates * hidden, apart * hidden);
  }

  StateRows<Scalar> state(RowMatrix<Scalar>& of_h, RowMatrix<Scalar>& of_c, Index step) {
    StateRows<Scalar> rows_of{of_h.data() + step * rows * of_h.cols(), of_h.cols()};
    if constexpr (E::has_c) {
      rows_of.c = of_c.data() + step * rows * of_c.cols();
      rows_of.c_stride = of_c.cols();
    }
    return rows_of;
  }
  recur::kernels::SlotRows<Scalar> at(RowMatrix<Scalar>& array, Index step) {
    return {array.data() + step * rows * array.cols(), array.cols()};
  }
  StateRows<const Scalar> by_output(Index step, bool there) {
    StateRows<const Scalar> d;
    if (there) {
      d.h = d_output.data() + step * rows * d_output.cols();
      d.h_stride = d_output.cols();
    }
    return d;
  }

  // From the last step.
  recur::kernels::BackwardScan<Scalar> start(bool with_output) {
    const Index last = steps - 1;
    return {.rows = rows,
            .slots = at(slots, last),
            .prev = state(h, c, last),
            .next = state(h, c, last + 1),
            .d_slots = at(d_slots, last),
            .d_output = by_output(last, with_output),
            .slots_step = -rows * slots.cols(),
            .d_slots_step = -rows * d_slots.cols(),
            .h_step = -rows * h.cols(),
            .c_step = E::has_c ? -rows * c.cols() : 0,
            .d_output_step = with_output ? -rows * d_output.cols() : 0,
            .d_before = d_before};
  }

  void scan(const E& equations, bool with_output) {
    recur::kernels::backward_scan<E, Scalar>(equations, hidden, by_shared.operand(),
                                             by_apart.operand(), steps, start(with_output),
                                             state(d_h, d_c, 0));
  }

  void scan_by_units(int threads, const E& equations, bool with_output) {
    recur::kernels::backward_scan_by_units<E, Scalar>(
        threads, equations, hidden, by_shared.operand(), by_apart.operand(), steps,
        start(with_output), state(d_h, d_c, 0));
  }

  void step_by_step(const E& equations, bool with_output) {
    const auto d = state(d_h, d_c, 0);
    for (Index step = steps - 1; step >= 0; --step) {
      const auto gradients = at(d_slots, step);
      recur::kernels::pointwise_backward<E, Scalar>(
          equations, rows, hidden, {0, hidden}, at(slots, step), state(h, c, step),
          state(h, c, step + 1), gradients, d, by_output(step, with_output));
      gemm_by_columns<Scalar>({}, rows, hidden, E::shared_gates * hidden,
                              {gradients.data, gradients.stride, 1}, by_shared.operand(),
                              {d.h, d.h_stride}, Start::accumulate);
      if (apart > 0) {
        gemm_by_columns<Scalar>({}, rows, hidden, apart * hidden,
                                {gradients.data + E::gates * hidden, gradients.stride, 1},
                                by_apart.operand(), {d.h, d.h_stride}, Start::accumulate);
      }
    }
  }
};

template <class Scalar, class E>
void check(const E& equations) {
  constexpr Index width = native_width<Scalar>;
  for (const Index hidden :
       {Index(1), width, width + 1, 2 * width, 3 * width, 4 * width, 4 * width + 2, 9 * width}) {
    for (const Index rows : {1, 2, 7}) {
      for (const Index steps : {1, 4, 11}) {
        for (const bool with_output : {false, true}) {
          SCOPED_TRACE(std::string(E::name) + ", units " + std::to_string(hidden) + ", rows " +
                       std::to_string(rows) + ", steps " + std::to_string(steps));
          Scan<E, Scalar> expected(rows, hidden, steps);
          const Scan<E, Scalar> before = expected;
          expected.step_by_step(equations, with_output);
          for (const int threads : {1, 2, 3}) {
            Scan<E, Scalar> actual = before;
            if (threads == 1) {
              actual.scan(equations, with_output);
            } else {
              actual.scan_by_units(threads, equations, with_output);
            }
            ASSERT_TRUE(actual.d_slots == expected.d_slots) << threads << " threads";
            ASSERT_TRUE(actual.d_h == expected.d_h) << threads << " threads";
            ASSERT_TRUE(actual.d_c == expected.d_c) << threads << " threads";
          }
        }
      }
    }
  }
}

template <class Scalar>
class BackwardScan : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(BackwardScan, Scalars);

// Without the gradients by the state before the first step: the same bits of all others.
template <class Scalar, class E>
void check_without_first_product(const E& equations) {
  constexpr Index width = native_width<Scalar>;
  for (const Index hidden : {Index(1), width, 2 * width, 9 * width}) {
    for (const Index rows : {1, 7}) {
      for (const Index steps : {1, 2, 11}) {
        for (const int threads : {1, 2}) {
          SCOPED_TRACE(std::string(E::name) + ", units " + std::to_string(hidden) + ", rows " +
                       std::to_string(rows) + ", steps " + std::to_string(steps));
          Scan<E, Scalar> expected(rows, hidden, steps);
          Scan<E, Scalar> actual = expected;
          expected.step_by_step(equations, true);
          actual.d_before = false;
          if (threads == 1) {
            actual.scan(equations, true);
          } else {
            actual.scan_by_units(threads, equations, true);
          }
          ASSERT_TRUE(actual.d_slots == expected.d_slots) << threads << " threads";
          ASSERT_FALSE(actual.d_h == expected.d_h) << threads << " threads";
        }
      }
    }
  }
}

TYPED_TEST(BackwardScan, ItsLastProductMayBeLeftOut) {
  check_without_first_product<TypeParam>(math::LSTM());
  check_without_first_product<TypeParam>(math::GRU());
  check_without_first_product<TypeParam>(math::RNN{recur::Nonlinearity::tanh});
}

TYPED_TEST(BackwardScan, IsItsSteps) {
  check<TypeParam>(math::LSTM());
  check<TypeParam>(math::GRU());
  check<TypeParam>(math::RNN{recur::Nonlinearity::tanh});
  check<TypeParam>(recur::test::MinimalGatedUnit());
}

}  // namespace
}  // namespace backward_scan_test
