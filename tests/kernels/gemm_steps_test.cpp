// SPDX-License-Identifier: MIT
//
// A product of many steps against as many single ones, bit by bit (those: gemm_test.cpp).
#include "recur/kernels/gemm_steps.hpp"

#include <gtest/gtest.h>

#include "recur/kernels/packed_weights.hpp"

#include "support/random.hpp"

namespace gemm_steps_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::kernels::GemmA;
using recur::kernels::GemmC;
using recur::kernels::PackedMatrix;
using recur::kernels::Start;
using recur::test::random_matrix;

// Of `batch` rows in every step, rows [from, from + M); the others must stay as they are.
template <class Scalar>
void check_steps(Index steps, Index batch, Index from, Index M, Index N, Index K) {
  SCOPED_TRACE(testing::Message() << steps << " steps, rows " << from << " to " << from + M
                                  << " of " << batch << ", N " << N << ", K " << K);
  recur::Generator generator(static_cast<std::uint64_t>(steps * 10007 + M * 101 + N + K));
  const auto a = random_matrix<Scalar>(generator, steps * batch, K);
  const auto weights = random_matrix<Scalar>(generator, N, K);
  const auto before = random_matrix<Scalar>(generator, steps * batch, N + 3);
  const auto bias = random_matrix<Scalar>(generator, 1, N);
  PackedMatrix<Scalar> b;
  b.assign_transposed(weights, 0, N);  // as in a layer: the last columns may be dot products
  for (const Start start : {Start::zero, Start::bias, Start::accumulate}) {
    const Scalar* bias_data = start == Start::bias ? bias.data() : nullptr;
    RowMatrix<Scalar> expected = before;
    for (Index t = 0; t < steps; ++t) {
      const Index row = t * batch + from;
      recur::kernels::gemm<Scalar>(M, N, K, GemmA<Scalar>{a.data() + row * K, K, 1}, b.operand(),
                                   GemmC<Scalar>{expected.row(row).data(), N + 3}, start,
                                   bias_data);
    }
    RowMatrix<Scalar> actual = before;
    recur::kernels::gemm<Scalar>({steps, batch * K, batch * (N + 3)}, M, N, K,
                                 GemmA<Scalar>{a.data() + from * K, K, 1}, b.operand(),
                                 GemmC<Scalar>{actual.row(from).data(), N + 3}, start, bias_data);
    EXPECT_TRUE(actual == expected) << "start " << static_cast<int>(start);
  }
}

template <class Scalar>
class GemmOfSteps : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(GemmOfSteps, Scalars);

TYPED_TEST(GemmOfSteps, EqualsSingleSteps) {
  for (const Index M : {1, 2, 3, 5, 6, 7, 16, 48, 49, 95, 100}) {
    for (const Index N : {1, 4, 40, 100, 133}) {
      check_steps<TypeParam>(7, M + 3, 2, M, N, 20);
    }
  }
}

TYPED_TEST(GemmOfSteps, MoreStepsThanAreTakenAtOnce) {
  for (const Index M : {1, 2, 31}) {
    check_steps<TypeParam>(100, M + 1, 0, M, 70, 9);
  }
  check_steps<TypeParam>(1, 5, 1, 3, 70, 9);
}

TYPED_TEST(GemmOfSteps, DepthBeyondTheCacheBlocks) {
  for (const Index K : {0, 1, 1024, 1030, 2100}) {
    check_steps<TypeParam>(4, 5, 1, 3, 70, K);
  }
}

}  // namespace
}  // namespace gemm_steps_test
