// SPDX-License-Identifier: MIT
//
// One step by the kernels against the readable one of math/step.hpp.
#include "recur/cells/step.hpp"

#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

#include "recur/cells/parameter_gradients.hpp"
#include "recur/math/gru.hpp"
#include "recur/math/gru_reset_before.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"
#include "recur/math/step.hpp"

#include "support/minimal_gated_unit.hpp"
#include "support/random.hpp"

namespace step_test {
namespace {

using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::kernels::SlotRows;
using recur::kernels::StateRows;
using recur::test::random_matrix;
namespace cells = recur::cells;
namespace math = recur::math;

using Matrix = RowMatrix<double>;

// One step forward and back, with everything that it writes.
struct Result {
  Matrix slots, h, c, unprojected, d_slots, d_h, d_c, d_x;
  CellParameters<double> d_parameters;
};

template <class E>
struct Case {
  E equations;
  CellSizes sizes;
  CellParameters<double> parameters;
  recur::kernels::PackedWeights<E, double> packed;
  Matrix x, h, c, d_h, d_c;
  Index batch;

  Case(const CellSizes& cell_sizes, Index batch_size)
      : sizes(cell_sizes), parameters(sizes), batch(batch_size) {
    recur::Generator generator(3);
    CellParameters<double>::visit(
        [&](const auto&, auto& array) {
          for (Index k = 0; k < array.size(); ++k) {
            array.data()[k] = recur::test::random_number<double>(generator) / 4;
          }
        },
        parameters);
    packed.assign(sizes, parameters);
    x = random_matrix<double>(generator, batch, sizes.input);
    h = random_matrix<double>(generator, batch, sizes.output);
    c = random_matrix<double>(generator, batch, E::has_c ? sizes.hidden : 0);
    d_h = random_matrix<double>(generator, batch, sizes.output);
    d_c = random_matrix<double>(generator, batch, E::has_c ? sizes.hidden : 0);
  }

  template <class M>
  static auto rows_of(M& state_h, M& state_c) {
    using Element = std::remove_pointer_t<decltype(state_h.data())>;
    return StateRows<Element>{state_h.data(), state_h.cols(), E::has_c ? state_c.data() : nullptr,
                              state_c.cols()};
  }

  Result by_kernels(recur::kernels::Walk walk) const {
    const cells::Weights<E, double> w{equations, packed};
    Result r;
    r.slots.resize(batch, w.slots());
    r.h.resize(batch, sizes.output);
    r.c.resize(batch, c.cols());
    r.unprojected.resize(batch, sizes.projected() ? sizes.hidden : 0);
    const SlotRows<double> slots{r.slots.data(), w.slots()};
    cells::input_sums(w, batch, x.data(), sizes.input, slots);
    cells::forward_step<E, double>(w, batch, slots, true, rows_of(h, c), rows_of(r.h, r.c),
                                   {r.unprojected.data(), sizes.hidden, nullptr, 0}, walk);

    r.d_slots.resize(batch, w.slots());
    r.d_h = d_h;
    r.d_c = d_c;
    r.d_x.resize(batch, sizes.input);
    Matrix d_unprojected(batch, sizes.hidden);
    const Matrix& made_h = sizes.projected() ? r.unprojected : r.h;
    cells::backward_step<E, double>(
        w, batch, slots, rows_of(h, c), rows_of(made_h, std::as_const(r.c)),
        {r.d_slots.data(), w.slots()}, rows_of(r.d_h, r.d_c), {}, d_unprojected.data(), walk);
    const SlotRows<const double> d_slots{r.d_slots.data(), w.slots()};
    cells::input_gradient(w, batch, d_slots, r.d_x.data(), sizes.input);
    r.d_parameters = CellParameters<double>(sizes);
    cells::PackedFactors<double> factors;
    cells::parameter_gradients(w,
                               cells::GradientRows<double>{.rows = batch,
                                                           .d_slots = d_slots,
                                                           .x = x.data(),
                                                           .x_stride = sizes.input,
                                                           .h_prev = h.data(),
                                                           .h_stride = sizes.output,
                                                           .unprojected = r.unprojected.data(),
                                                           .unprojected_stride = sizes.hidden,
                                                           .d_h = d_h.data(),
                                                           .d_h_stride = sizes.output},
                               recur::kernels::Start::accumulate, walk.threads, factors,
                               r.d_parameters);
    return r;
  }
};

void expect_close(const Matrix& actual, const Matrix& expected, const char* what) {
  ASSERT_EQ(actual.rows(), expected.rows()) << what;
  ASSERT_EQ(actual.cols(), expected.cols()) << what;
  for (Index k = 0; k < actual.size(); ++k) {
    ASSERT_NEAR(actual.data()[k], expected.data()[k], 1e-12) << what << ", element " << k;
  }
}

template <class E>
void check(const CellSizes& sizes, Index batch) {
  SCOPED_TRACE(testing::Message() << E::name << " of " << sizes.hidden << " units, batch "
                                  << batch);
  const Case<E> step(sizes, batch);
  const Result actual = step.by_kernels({});

  const auto record = math::forward_step(step.equations, step.parameters, step.x,
                                         math::BatchState<double>{step.h, step.c});
  expect_close(actual.slots, record.slots, "slots");
  expect_close(actual.h, record.next.h, "h");
  CellParameters<double> d_parameters(sizes);
  const auto gradients =
      math::backward_step(step.equations, step.parameters, record,
                          math::BatchState<double>{step.d_h, step.d_c}, d_parameters);
  expect_close(actual.d_x, gradients.x, "d_x");
  expect_close(actual.d_h, gradients.prev.h, "d_h");
  if constexpr (E::has_c) {
    expect_close(actual.c, record.next.c, "c");
    expect_close(actual.d_c, gradients.prev.c, "d_c");
  }
  CellParameters<double>::visit(
      [](const auto& name, const auto& got, const auto& expected) {
        expect_close(got, expected, name.str().c_str());
      },
      actual.d_parameters, d_parameters);

  // Threads that share the units change no bit, nor does the order of the units.
  for (const recur::kernels::Walk walk : {recur::kernels::Walk{1, true}, {2, false}, {3, true}}) {
    const Result shared = step.by_kernels(walk);
    EXPECT_TRUE(shared.h == actual.h);
    EXPECT_TRUE(shared.c == actual.c);
    EXPECT_TRUE(shared.d_h == actual.d_h);
    EXPECT_TRUE(shared.d_parameters.weight_hh == actual.d_parameters.weight_hh);
  }
}

TEST(Step, EqualsTheReadableOne) {
  for (const Index batch : {1, 5, 14}) {
    for (const Index hidden : {1, 7, 70}) {
      for (const bool bias : {true, false}) {
        check<math::LSTM>({3, hidden, hidden, 4, bias}, batch);
        check<math::GRU>({3, hidden, hidden, 3, bias}, batch);
        check<math::RNN>({3, hidden, hidden, 1, bias}, batch);
        check<math::GRUResetBefore>({3, hidden, hidden, 3, bias}, batch);
        check<recur::test::MinimalGatedUnit>({3, hidden, hidden, 2, bias}, batch);
      }
    }
    check<math::LSTM>({3, 70, 33, 4, true}, batch);  // a projection
  }
}

// The sums of all columns, and of those before and behind every panel of the weights.
template <class E>
void check_columns(Index hidden, Index batch) {
  SCOPED_TRACE(testing::Message() << E::name << " of " << hidden << " units, batch " << batch);
  const Case<E> step({5, hidden, hidden, E::gates, true}, batch);
  const cells::Weights<E, double> w{step.equations, step.packed};
  Matrix whole = Matrix::Zero(batch, w.slots());
  cells::input_sums(w, batch, step.x.data(), 5, {whole.data(), w.slots()});
  const recur::kernels::Panels<double> panels(w.gates() - step.packed.ih.operand().dots);
  ASSERT_GT(panels.count(), 1);
  for (Index p = 1; p < panels.count(); ++p) {
    const Index border = panels.begin(p);
    Matrix parts = Matrix::Zero(batch, w.slots());
    const SlotRows<double> sums{parts.data(), w.slots()};
    cells::input_sums(w, batch, step.x.data(), 5, sums, {}, {0, border});
    EXPECT_EQ(parts.rightCols(w.slots() - border).cwiseAbs().maxCoeff(), 0);
    cells::input_sums(w, batch, step.x.data(), 5, sums, {}, {border, w.gates()});
    EXPECT_TRUE(parts == whole) << "in two at " << border;
  }
}

TEST(Step, InputSumsOfSomeColumnsAreThoseOfAll) {
  for (const Index batch : {1, 5, 14}) {
    for (const Index hidden : {33, 65, 70, 130}) {
      check_columns<math::LSTM>(hidden, batch);
      check_columns<math::GRU>(hidden, batch);
      check_columns<math::RNN>(hidden, batch);
      check_columns<math::GRUResetBefore>(hidden, batch);
    }
  }
}

}  // namespace
}  // namespace step_test
