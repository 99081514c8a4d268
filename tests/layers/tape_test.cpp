// SPDX-License-Identifier: MIT
//
// What a tape shows to its reader.
#include "recur/layers/tape.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/allocations.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/reference.hpp"

namespace tape_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using LSTM = recur::LSTM<double>;
namespace math = recur::math;

TEST(Tape, HoldsWhatItsFieldsSay) {
  recur::Generator generator(2);
  LSTM lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  recur::test::randomize_parameters(lstm, generator);
  const Index T = 4;
  const Index B = 3;
  const auto x = recur::test::random_tensor<double>(generator, T, B, 3);
  const auto h_0 = recur::test::random_tensor<double>(generator, 4, B, 2);
  const auto c_0 = recur::test::random_tensor<double>(generator, 4, B, 5);
  LSTM::Tape tape;
  const auto out = lstm.forward(x, {h_0, c_0}, tape);

  EXPECT_EQ(tape.schedule.steps, T);
  EXPECT_EQ(tape.schedule.batch, B);
  ASSERT_EQ(tape.layers.size(), 2U);
  const auto& first = tape.layers[0];
  recur::test::expect_same(first.input, x, "input");
  EXPECT_EQ(first.h.shape(), "(6, 3, 4)");
  EXPECT_EQ(first.c.shape(), "(6, 3, 10)");
  ASSERT_EQ(first.slots.size(), 2U);
  EXPECT_EQ(first.slots[0].shape(), "(4, 3, 20)");
  EXPECT_EQ(first.unprojected[1].shape(), "(4, 3, 5)");
  EXPECT_EQ(tape.layers[1].input.size(), 0);
  EXPECT_EQ(tape.layers[1].dropout_mask.size(), 0);

  // Slot 0 of h and c is the initial state of the forward direction, slot T + 1 of the reverse one.
  recur::test::expect_same(RowMatrix<double>(first.h[0].leftCols(2)), RowMatrix<double>(h_0[0]),
                           "h_0");
  recur::test::expect_same(RowMatrix<double>(first.c[0].leftCols(5)), RowMatrix<double>(c_0[0]),
                           "c_0");
  recur::test::expect_same(RowMatrix<double>(first.h[T + 1].rightCols(2)),
                           RowMatrix<double>(h_0[1]), "h_0 reverse");
  recur::test::expect_same(RowMatrix<double>(first.c[T + 1].rightCols(5)),
                           RowMatrix<double>(c_0[1]), "c_0 reverse");

  // The gates, c and both h of every step are those of the reference.
  for (Index d = 0; d < 2; ++d) {
    math::BatchState<double> state{h_0[d], c_0[d]};
    for (Index k = 0; k < T; ++k) {
      const Index t = d == 0 ? k : T - 1 - k;
      const auto step = math::forward_step(math::LSTM(), lstm.parameters().cell(0, d),
                                           RowMatrix<double>(x[t]), state);
      state = step.next;
      const auto at = static_cast<std::size_t>(d);
      recur::test::expect_close(RowMatrix<double>(first.slots[at][t]), step.slots, 1e-14, "slots");
      recur::test::expect_close(RowMatrix<double>(first.unprojected[at][t]), step.unprojected,
                                1e-14, "unprojected");
      recur::test::expect_close(RowMatrix<double>(first.h[t + 1].middleCols(d * 2, 2)), step.next.h,
                                1e-14, "h");
      recur::test::expect_close(RowMatrix<double>(first.c[t + 1].middleCols(d * 5, 5)), step.next.c,
                                1e-14, "c");
    }
  }

  // The last layer's h is the output.
  for (Index t = 0; t < T; ++t) {
    recur::test::expect_same(RowMatrix<double>(tape.layers[1].h[t + 1]),
                             RowMatrix<double>(out.output[t]), "output");
  }
}

TEST(Tape, ShowsTheDropoutMask) {
  recur::Generator generator(2);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.4}, generator);
  const auto x = recur::test::random_tensor<double>(generator, 4, 3, 3);
  LSTM::Tape tape;
  lstm.forward(x, {}, tape);
  const auto& second = tape.layers[1];
  ASSERT_EQ(second.dropout_mask.shape(), "(4, 3, 5)");
  for (Index t = 0; t < 4; ++t) {
    for (Index b = 0; b < 3; ++b) {
      for (Index j = 0; j < 5; ++j) {
        const double mask = second.dropout_mask(t, b, j);
        EXPECT_TRUE(mask == 0 || mask == 1 / 0.6) << mask;
        EXPECT_EQ(second.input(t, b, j), tape.layers[0].h(t + 1, b, j) * mask);
      }
    }
  }
}

// T steps of h, c and slots, and the initial state; the input only where it is not borrowed.
template <class Layer>
void check_size(Index per_unit, Index states) {
  const Index T = 50;
  const Index B = 3;
  const Index H = 5;
  const Layer layer({.input_size = 4, .hidden_size = H, .num_layers = 2});
  recur::Generator generator(3);
  const auto x = recur::test::random_tensor<double>(generator, T, B, 4);
  typename Layer::Tape tape;
  const auto scalars = [&] {
    Index sum = 0;
    for (const auto& record : tape.layers) {
      sum += record.input.size() + record.h.size() + record.c.size() + record.dropout_mask.size();
      for (const auto& slots : record.slots) {
        sum += slots.size();
      }
      for (const auto& unprojected : record.unprojected) {
        sum += unprojected.size();
      }
    }
    return sum;
  };
  const Index formula = 2 * (per_unit * T * B * H + states * B * H);
  layer.forward(x, {}, tape);
  EXPECT_EQ(scalars(), formula + T * B * 4);
  tape.borrow_input = true;
  layer.forward(x, {}, tape);
  EXPECT_EQ(scalars(), formula);
}

TEST(Tape, IsAsLargeAsItSays) {
  check_size<recur::LSTM<double>>(6, 2);
  check_size<recur::GRU<double>>(5, 1);
  check_size<recur::RNN<double>>(1, 1);
}

struct Shape {
  Index steps;
  Index batch;
  Index input;
  Index hidden;
  Index layers = 3;
};

// All that a first training step allocates at a time: little more than the tape, of which the
// gradients between the layers are no part.
template <class Layer>
void check_peak(Index per_unit, const Shape& n, double most = 1.1) {
  const Layer layer({.input_size = n.input, .hidden_size = n.hidden, .num_layers = n.layers});
  recur::Generator generator(3);
  const auto x = recur::test::random_tensor<float>(generator, n.steps, n.batch, n.input);
  typename Layer::Output out;
  typename Layer::Gradients gradients;
  const auto step = [&] {
    typename Layer::Tape tape;
    tape.borrow_input = true;
    layer.forward(x, {}, out, tape);
    layer.backward(tape, out.output, {}, gradients);
  };
  step();  // memory of output, gradients and threads
  const auto formula =
      static_cast<double>(n.layers * per_unit * n.steps * n.batch * n.hidden) * sizeof(float);
  const auto peak = static_cast<double>(recur::test::peak_bytes_of(step));
  EXPECT_GE(peak, formula);
  EXPECT_LE(peak, most * formula);
}

TEST(Tape, IsAlmostAllThatATrainingStepNeeds) {
  if (!recur::test::can_count_allocations()) {
    GTEST_SKIP() << "malloc cannot be counted here";
  }
  const Shape many_chunks{1000, 32, 32, 32};
  check_peak<recur::LSTM<float>>(6, many_chunks);
  check_peak<recur::GRU<float>>(5, many_chunks);
  check_peak<recur::RNN<float>>(1, many_chunks);
  const Shape many_units{100, 16, 256, 256, 1};
  check_peak<recur::LSTM<float>>(6, many_units);
  check_peak<recur::GRU<float>>(5, many_units);
  const int before = recur::max_threads();
  // An RNN's tape is a sixth of an LSTM's. (1.85, when forward had a chunk of slots of its own and
  // two groups of sequences packed all factors of their weight gradients at a time.)
  recur::set_num_threads(1);
  check_peak<recur::RNN<float>>(1, many_units, 1.5);
  for (const int threads : {1, 2, 3}) {
    SCOPED_TRACE(threads);
    recur::set_num_threads(threads);
    check_peak<recur::LSTM<float>>(6, {28, 64, 28, 100});  // preset `deep` of the MNIST classifier
  }
  recur::set_num_threads(before);
}

TEST(Tape, BorrowsTheInput) {
  recur::Generator generator(4);
  const LSTM lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true},
                  generator);
  const LSTM batch_first({.input_size = 3, .hidden_size = 5, .batch_first = true}, generator);
  const auto check = [](const LSTM& layer, const auto& x, bool borrowed, const auto&... lengths) {
    LSTM::Tape copied;
    LSTM::Tape tape;
    tape.borrow_input = true;
    const auto expected = layer.forward(x, lengths..., {}, copied);
    const auto out = layer.forward(x, lengths..., {}, tape);
    EXPECT_EQ(tape.borrowed.absent(), !borrowed);
    EXPECT_EQ(tape.layers[0].input.size() == 0, borrowed);
    const auto d_expected = layer.backward(copied, expected.output, expected.state);
    const auto gradients = layer.backward(tape, out.output, out.state);
    recur::test::expect_same(gradients.input, d_expected.input, "d_input");
    recur::test::expect_parameters_close(gradients.parameters, d_expected.parameters, 0);
  };
  const auto x = recur::test::random_tensor<double>(generator, 6, 4, 3);
  check(lstm, x, true);
  check(batch_first, x, false);
  check(lstm, x, false, std::vector<Index>{6, 2, 5, 1});
  const auto one = recur::test::random_tensor<double>(generator, 1, 7, 3);  // one sequence
  check(batch_first, one, true);
}

}  // namespace
}  // namespace tape_test
