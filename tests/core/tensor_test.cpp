// SPDX-License-Identifier: MIT
#include "recur/core/tensor.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/allocations.hpp"
#include "support/compare.hpp"

namespace tensor_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::Tensor3View;
using recur::test::error_of;

// Element (i, j, k) is 100 i + 10 j + k.
Tensor3<double> numbered(Index size0, Index size1, Index size2) {
  Tensor3<double> x(size0, size1, size2);
  for (Index i = 0; i < size0; ++i) {
    for (Index j = 0; j < size1; ++j) {
      for (Index k = 0; k < size2; ++k) {
        x(i, j, k) = static_cast<double>(100 * i + 10 * j + k);
      }
    }
  }
  return x;
}

TEST(Tensor3, IsRowMajorAndStartsAtZero) {
  Tensor3<float> x(2, 3, 4);
  EXPECT_EQ(x.size(), 24);
  EXPECT_EQ(x.shape(), "(2, 3, 4)");
  EXPECT_TRUE(x.rows().isZero(0));
  x(1, 2, 3) = 5;
  EXPECT_EQ(x.data()[23], 5);
  x(1, 0, 2) = 7;
  EXPECT_EQ(x.data()[14], 7);
  EXPECT_EQ(x[1](0, 2), 7);
  x.set_zero();
  EXPECT_TRUE(x.rows().isZero(0));
}

TEST(Tensor3, IsAlignedForVectorInstructions) {
  const Tensor3<float> x(1, 1, 3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % EIGEN_MAX_ALIGN_BYTES, 0U);
}

TEST(Tensor3, SlicesAreEigenMaps) {
  Tensor3<double> x = numbered(3, 2, 4);
  EXPECT_EQ(x[2].rows(), 2);
  EXPECT_EQ(x[2].cols(), 4);
  EXPECT_EQ(x[2](1, 3), 213);
  EXPECT_EQ(x[2].data(), x.data() + 16);
  x[1].setConstant(-1);
  EXPECT_EQ(x(1, 1, 1), -1);
  EXPECT_EQ(x(2, 0, 0), 200);
  EXPECT_EQ(std::as_const(x).rows().rows(), 6);
  EXPECT_EQ(x.rows()(5, 3), 213);
  static_assert(std::is_const_v<std::remove_pointer_t<decltype(std::as_const(x)[0].data())>>);
}

TEST(Tensor3, CopiesAndMoves) {
  Tensor3<double> x = numbered(2, 3, 4);
  Tensor3<double> copy = x;
  copy(0, 0, 0) = 9;
  EXPECT_EQ(x(0, 0, 0), 0);
  const double* memory = x.data();
  Tensor3<double> moved = std::move(x);
  EXPECT_EQ(moved.data(), memory);
  EXPECT_EQ(x.shape(), "(0, 0, 0)");  // NOLINT(bugprone-use-after-move): documented
  EXPECT_EQ(x.size(), 0);
  copy = std::move(moved);
  EXPECT_EQ(copy.data(), memory);
  EXPECT_EQ(copy(1, 2, 3), 123);
  Tensor3<double> other(1, 1, 1);
  copy.swap(other);
  EXPECT_EQ(other(1, 2, 3), 123);
  EXPECT_EQ(copy.shape(), "(1, 1, 1)");
}

TEST(Tensor3, ResizeAllocatesOnlyToGrow) {
  Tensor3<float> x(4, 5, 6);
  const float* memory = x.data();
  EXPECT_EQ(recur::test::allocations_of([&] {
              x.resize(3, 2, 1);
              x.resize(6, 5, 4);
              x.resize(0, 7, 7);
            }),
            0U);
  EXPECT_EQ(x.shape(), "(0, 7, 7)");
  x.resize(6, 5, 4);
  EXPECT_EQ(x.data(), memory);
}

TEST(Tensor3, NegativeSizesAreErrors) {
  EXPECT_EQ(error_of([] { Tensor3<float>(2, -1, 3); }),
            "Tensor3: sizes must not be negative, got (2, -1, 3)");
  Tensor3<float> x(1, 2, 3);
  EXPECT_THROW(x.resize(-1, 1, 1), recur::Error);
  EXPECT_EQ(x.shape(), "(1, 2, 3)");
  EXPECT_EQ(error_of([] { Tensor3View<float>(nullptr, 1, 1, -2); }),
            "Tensor3View: sizes must not be negative, got (1, 1, -2)");
}

TEST(Tensor3View, SharesMemory) {
  std::vector<double> memory(24, 0);
  const Tensor3View<double> view(memory.data(), 2, 3, 4);
  view(1, 2, 3) = 5;
  EXPECT_EQ(memory[23], 5);
  EXPECT_EQ(view.size(), 24);
  EXPECT_EQ(view.shape(), "(2, 3, 4)");
  EXPECT_TRUE(view.contiguous());
  EXPECT_EQ(view.stride(0), 12);
  EXPECT_EQ(view.stride(1), 4);
  const Tensor3View<const double> read_only = view;
  EXPECT_EQ(read_only(1, 2, 3), 5);
  EXPECT_EQ(read_only.data(), memory.data());
  view.set_zero();
  EXPECT_EQ(memory[23], 0);
}

TEST(Tensor3View, StridesSkipMemory) {
  std::vector<double> memory(60, -1);  // 2 × 3 × 4 in rows of 6, slices of 30
  const Tensor3View<double> view(memory.data(), 2, 3, 4, 30, 6);
  EXPECT_FALSE(view.contiguous());
  const Tensor3<double> values = numbered(2, 3, 4);
  for (Index i = 0; i < 2; ++i) {
    view[i] = values[i];
  }
  EXPECT_EQ(memory[30 + 12 + 3], 123);
  EXPECT_EQ(memory[4], -1);  // between two rows
  EXPECT_EQ(view.row(1, 2), memory.data() + 42);
  recur::test::expect_same(Tensor3<double>(view), values, "copy of the view");
  view.set_zero();
  EXPECT_EQ(memory[42], 0);
  EXPECT_EQ(memory[46], -1);
}

TEST(Tensor3View, Transposed) {
  Tensor3<double> x = numbered(2, 3, 4);
  const auto view = x.view().transposed();
  EXPECT_EQ(view.shape(), "(3, 2, 4)");
  EXPECT_EQ(view(2, 1, 3), 123);
  EXPECT_EQ(view[2](1, 3), 123);
  EXPECT_FALSE(view.contiguous());
  recur::test::expect_same(Tensor3<double>(view.transposed()), x, "transposed twice");
}

TEST(Tensor3View, Narrow) {
  const Tensor3<double> x = numbered(4, 5, 6);
  const auto part = x.view().narrow(0, 1, 2).narrow(1, 2, 3).narrow(2, 3, 2);
  EXPECT_EQ(part.shape(), "(2, 3, 2)");
  EXPECT_EQ(part(0, 0, 0), 123);
  EXPECT_EQ(part(1, 2, 1), 244);
  const Tensor3<double> copy(part);
  EXPECT_EQ(copy(1, 2, 1), 244);
  EXPECT_TRUE(copy.view().contiguous());
}

TEST(Tensor3View, AbsentIsNotEmpty) {
  EXPECT_TRUE(Tensor3View<float>().absent());
  EXPECT_TRUE(Tensor3View<const float>(Tensor3View<float>()).absent());
  const Tensor3<float> nothing;
  EXPECT_TRUE(nothing.view().absent());
  float element = 0;
  EXPECT_FALSE(Tensor3View<float>(&element, 1, 1, 1).absent());
  EXPECT_FALSE(Tensor3<float>(3, 0, 4).view().absent());  // a batch of none
}

TEST(RowMatrix, IsRowMajorWhereThatHasAMeaning) {
  static_assert(RowMatrix<float>::IsRowMajor);
  static_assert(RowMatrix<float, 3, 4>::IsRowMajor);
  static_assert(!RowMatrix<float, 3, 1>::IsRowMajor);
  static_assert(RowMatrix<float, 1, 1>::SizeAtCompileTime == 1);
  RowMatrix<int> m(2, 3);
  m << 1, 2, 3, 4, 5, 6;
  EXPECT_EQ(m.data()[1], 2);
}

}  // namespace
}  // namespace tensor_test
