// SPDX-License-Identifier: MIT
//
// Gradients by the parameters against sums of outer products, row by row: rows that stand together
// and apart, few and many columns, written and added to, on several threads. Against the readable
// step: step_test.cpp.
#include "recur/cells/parameter_gradients.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/math/gru.hpp"
#include "recur/math/lstm.hpp"
#include "recur/math/rnn.hpp"

#include "support/random.hpp"

namespace parameter_gradients_test {
namespace {

using recur::CellParameters;
using recur::CellSizes;
using recur::Index;
using recur::RowMatrix;
using recur::kernels::Start;
using recur::test::random_matrix;
namespace cells = recur::cells;
namespace math = recur::math;

enum class Rows { together, in_runs, apart };

template <class E>
void check(Index input, Index hidden, Index rows, Rows kind) {
  SCOPED_TRACE(testing::Message() << E::name << " (" << input << ", " << hidden << "), " << rows
                                  << " rows, " << static_cast<int>(kind));
  const CellSizes sizes{input, hidden, hidden, E::gates, true};
  const CellParameters<double> parameters(sizes);
  recur::kernels::PackedWeights<E, double> packed;
  packed.assign(sizes, parameters);
  const E equations;
  const cells::Weights<E, double> w{equations, packed};

  recur::Generator generator(static_cast<std::uint64_t>(rows));
  const auto d_slots = random_matrix<double>(generator, rows, w.slots());
  const auto x = random_matrix<double>(generator, 2 * rows, input);
  const auto h = random_matrix<double>(generator, 2 * rows, hidden);
  const Index run = rows > 100 ? 60 : 4;
  std::vector<Index> places;
  for (Index k = 0; k < rows; ++k) {
    places.push_back(kind == Rows::apart     ? 2 * k
                     : kind == Rows::in_runs ? k / run * (run + 3) + k % run
                                             : k);
  }

  const Index recurrent = w.slots() - w.apart();  // slots of gates, then of recurrent halves
  CellParameters<double> expected(sizes);
  for (Index k = 0; k < rows; ++k) {
    const Index place = places[static_cast<std::size_t>(k)];
    const auto d = d_slots.row(k);
    expected.weight_ih += d.leftCols(w.gates()).transpose() * x.row(place);
    expected.weight_hh.topRows(w.shared()) += d.leftCols(w.shared()).transpose() * h.row(place);
    expected.weight_hh.bottomRows(w.apart()) +=
        d.segment(recurrent, w.apart()).transpose() * h.row(place);
    expected.bias_ih += d.leftCols(w.gates()).transpose();
    expected.bias_hh.head(w.shared()) += d.leftCols(w.shared()).transpose();
    expected.bias_hh.tail(w.apart()) += d.segment(recurrent, w.apart()).transpose();
  }

  const cells::GradientRows<double> those{.rows = rows,
                                          .d_slots = {d_slots.data(), w.slots()},
                                          .run = kind == Rows::in_runs ? run : rows,
                                          .run_step = run + 3,
                                          .places = kind == Rows::apart ? places.data() : nullptr,
                                          .x = x.data(),
                                          .x_stride = input,
                                          .h_prev = h.data(),
                                          .h_stride = hidden};
  const auto check_twice = [&](int count, const char* what, auto&& add) {
    CellParameters<double> actual(sizes);
    CellParameters<double>::visit([](const auto&, auto& array) { array.setConstant(7); }, actual);
    add(Start::zero, actual);
    add(Start::accumulate, actual);
    CellParameters<double>::visit(
        [&](const auto& name, const auto& got, const auto& once) {
          EXPECT_LT((got - 2 * once).cwiseAbs().maxCoeff(), 1e-12 * static_cast<double>(rows))
              << name.str() << ", " << what << ": " << count;
        },
        actual, expected);
  };
  for (const int count : {1, 2, 3, 4}) {
    cells::PackedFactors<double> factors;
    check_twice(count, "threads", [&](Start start, CellParameters<double>& gradients) {
      cells::parameter_gradients(w, those, start, count, factors, gradients);
    });
    check_twice(count, "parts", [&](Start start, CellParameters<double>& gradients) {
      cells::ParameterGradients<E, double> sums(w, those, factors, gradients);
      sums.pack(1);
      for (Index part = count - 1; part >= 0; --part) {
        sums.add(part, count, start);
      }
    });
  }
}

TEST(ParameterGradients, AreSumsOfOuterProducts) {
  for (const Rows kind : {Rows::together, Rows::in_runs, Rows::apart}) {
    for (const Index rows : {1, 2, 9, 130}) {
      for (const Index hidden : {3, 8, 37}) {
        for (const Index input : {1, 8, 20}) {
          check<math::LSTM>(input, hidden, rows, kind);
          check<math::GRU>(input, hidden, rows, kind);
          check<math::RNN>(input, hidden, rows, kind);
        }
      }
    }
  }
}

// Factors of so many rows and columns are packed some columns at a time.
TEST(ParameterGradients, TakeSomeColumnsOfManyAtATime) {
  check<math::LSTM>(300, 13, 700, Rows::together);
  check<math::GRU>(300, 17, 700, Rows::apart);
  check<math::RNN>(5, 270, 700, Rows::in_runs);
}

}  // namespace
}  // namespace parameter_gradients_test
