// SPDX-License-Identifier: MIT
//
// Whole blocks of units of one sequence: the bits of a step of two sequences, which forward_step
// takes through memory, and whose numbers forward_step_test.cpp checks.
#include "recur/kernels/forward_row.hpp"

#include <string>

#include <gtest/gtest.h>

#include "recur/kernels/forward_step.hpp"
#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/random.hpp"

namespace forward_row_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::PackedGates;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace math = recur::math;

// What a step of `rows` sequences reads and writes.
template <class E, class Scalar>
struct Arrays {
  RowMatrix<Scalar> slots, h, c, next_h, next_c;

  Arrays(recur::Generator& generator, Index rows, Index hidden, Index depth)
      : slots(random_matrix<Scalar>(generator, rows, math::slot_count<E> * hidden)),
        h(random_matrix<Scalar>(generator, rows, depth)),
        c(random_matrix<Scalar>(generator, rows, hidden)),
        next_h(random_matrix<Scalar>(generator, rows, hidden)),
        next_c(random_matrix<Scalar>(generator, rows, hidden)) {}

  // A state of `depth` units that are not the hidden ones is that behind a projection.
  StateRows<const Scalar> prev() const {
    const bool same = h.cols() == c.cols();
    return {same ? h.data() : nullptr, same ? h.cols() : 0, E::has_c ? c.data() : nullptr,
            E::has_c ? c.cols() : 0};
  }
  StateRows<Scalar> next() {
    return {next_h.data(), next_h.cols(), E::has_c ? next_c.data() : nullptr,
            E::has_c ? next_c.cols() : 0};
  }
};

template <class Scalar, class E>
void check(const E& equations, Index blocks, Index begin_block, Index more_units, Index depth) {
  constexpr Index units = PackedGates<E, Scalar>::units_per_block;
  const Index hidden = blocks * units + more_units;
  SCOPED_TRACE(std::string(E::name) + ", units " + std::to_string(hidden) + ", from block " +
               std::to_string(begin_block));
  depth = depth > 0 ? depth : hidden;
  recur::Generator generator(static_cast<std::uint64_t>(hidden));
  const auto bias = random_matrix<Scalar>(generator, 1, E::gates * hidden);
  PackedGates<E, Scalar> packed;
  packed.assign(random_matrix<Scalar>(generator, E::gates * hidden, depth));
  const Arrays<E, Scalar> start(generator, 2, hidden, depth);
  const Index begin = begin_block * units;
  const Index end = blocks * units;

  Arrays<E, Scalar> expected = start;
  recur::kernels::forward_step<E, Scalar>(
      equations, 2, packed, bias.data(), begin, end, {start.h.data(), depth, 1},
      {expected.slots.data(), expected.slots.cols()}, true, start.prev(), expected.next());

  for (const bool back : {false, true}) {
    for (const bool record : {false, true}) {
      Arrays<E, Scalar> actual = start;
      recur::kernels::forward_row<E, Scalar>(
          equations, packed, begin, end,
          {start.h.data(), bias.data(), actual.slots.data(), record, start.prev(), actual.next()},
          back);
      EXPECT_TRUE(actual.slots.row(0) == (record ? expected : start).slots.row(0));
      EXPECT_TRUE(actual.next_h.row(0) == expected.next_h.row(0));
      EXPECT_TRUE(actual.next_c.row(0) == expected.next_c.row(0));
      // Units and rows that were not asked for.
      EXPECT_TRUE(actual.slots.row(1) == start.slots.row(1));
      EXPECT_TRUE(actual.next_h.row(1) == start.next_h.row(1));
      EXPECT_TRUE(actual.next_c.row(1) == start.next_c.row(1));
      EXPECT_TRUE(actual.next_h.row(0).head(begin) == start.next_h.row(0).head(begin));
      EXPECT_TRUE(actual.next_h.row(0).tail(more_units) == start.next_h.row(0).tail(more_units));
    }
  }
}

template <class Scalar>
void check_cells(Index blocks, Index begin, Index more_units, Index depth = 0) {
  check<Scalar>(math::LSTM(), blocks, begin, more_units, depth);
  check<Scalar>(math::GRU(), blocks, begin, more_units, 0);
  check<Scalar>(math::RNN{recur::Nonlinearity::tanh}, blocks, begin, more_units, 0);
}

// Groups of four blocks, of two and of one, and what is left of them.
TEST(ForwardRow, IsARowOfSeveral) {
  for (Index blocks = 2; blocks <= 11; ++blocks) {
    check_cells<float>(blocks, 0, 0);
    check_cells<double>(blocks, 0, 0);
  }
}

TEST(ForwardRow, OfSomeOfTheUnits) {
  for (Index begin = 1; begin <= 4; ++begin) {
    check_cells<float>(6, begin, 3);
    check_cells<double>(6, begin, 1);
  }
}

TEST(ForwardRow, BeyondTheBlocksOfAPanel) {
  check_cells<float>(3, 0, 2, 1030);
  check_cells<double>(2, 0, 0, 2050);
}

}  // namespace
}  // namespace forward_row_test
