// SPDX-License-Identifier: MIT
#include "recur/kernels/denormals.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/kernels/threads.hpp"
#include "recur/layers/lstm.hpp"

namespace denormals_test {
namespace {

using recur::Index;
using recur::kernels::FlushDenormals;

// Whether this thread makes denormals zeros. Volatile: computed when the program runs.
bool flushes() {
  volatile float smallest = std::numeric_limits<float>::min();
  volatile float half = 0.5F;
  return smallest * half == 0.0F;
}

class Denormals : public testing::Test {
 protected:
  void SetUp() override {
    if (!recur::set_flush_denormal(true)) {
      GTEST_SKIP() << "this processor cannot flush denormals";
    }
  }
  void TearDown() override { recur::set_flush_denormal(true); }
};

TEST_F(Denormals, AreFlushedWhileTheGuardLives) {
  EXPECT_FALSE(flushes());
  {
    const FlushDenormals outer;
    EXPECT_TRUE(flushes());
    {
      const FlushDenormals inner;
      EXPECT_TRUE(flushes());
    }
    EXPECT_TRUE(flushes());
  }
  EXPECT_FALSE(flushes());
}

TEST_F(Denormals, AreKeptOnRequest) {
  recur::set_flush_denormal(false);
  const FlushDenormals guard;
  EXPECT_FALSE(flushes());
}

TEST_F(Denormals, AreFlushedInEveryThread) {
  bool flushed[64] = {};
  recur::kernels::parallel_ranges(2, 64, 1, [&](Index first, Index last) {
    for (Index k = first; k < last; ++k) {
      flushed[k] = flushes();
    }
  });
  for (const bool one : flushed) {
    EXPECT_TRUE(one);
  }
  EXPECT_FALSE(flushes());
}

// f = σ(0) = 1/2 and c_n = c_0 / 2^T: the last normal number decays to zero, or, on request, to the
// denormal that IEEE 754 (and PyTorch) gives.
TEST_F(Denormals, OfADecayingStateAreZero) {
  recur::LSTM<float> lstm({.input_size = 1, .hidden_size = 3});
  lstm.update_parameters([](auto& p) { recur::set_zero(p); });
  const float smallest = std::numeric_limits<float>::min();
  recur::LSTM<float>::State state{recur::Tensor3<float>(1, 1, 3), recur::Tensor3<float>(1, 1, 3)};
  state.h.set_zero();
  state.c(0, 0, 0) = state.c(0, 0, 1) = state.c(0, 0, 2) = smallest;
  recur::Tensor3<float> x(3, 1, 1);
  x.set_zero();
  EXPECT_EQ(lstm.forward(x, state).state.c(0, 0, 2), 0.0F);
  recur::set_flush_denormal(false);
  EXPECT_EQ(lstm.forward(x, state).state.c(0, 0, 2), smallest / 8);
  EXPECT_FALSE(flushes());
}

TEST_F(Denormals, OfACellAreZeroToo) {
  recur::GRUCell<float> cell({.input_size = 1, .hidden_size = 2});
  cell.update_parameters([](auto& p) { recur::set_zero(p); });  // h' = h / 2
  const recur::RowMatrix<float> x = recur::RowMatrix<float>::Zero(1, 1);
  recur::GRUCell<float>::State state;
  state.h = recur::RowMatrix<float>::Constant(1, 2, std::numeric_limits<float>::min());
  EXPECT_EQ(cell.forward(x, state).h(0, 1), 0.0F);
  EXPECT_FALSE(flushes());
}

}  // namespace
}  // namespace denormals_test
