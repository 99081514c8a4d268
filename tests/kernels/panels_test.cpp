// SPDX-License-Identifier: MIT
#include "recur/kernels/panels.hpp"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace panels_test {
namespace {

using recur::Index;
using recur::kernels::native_width;
using recur::kernels::Panels;
using recur::kernels::tile_columns;
using recur::kernels::tile_vectors;
using recur::kernels::whole_registers;

TEST(Panels, EndWithAWholeRegister) {
  constexpr Index width = native_width<float>;
  EXPECT_EQ(whole_registers<float>(0), 0);
  EXPECT_EQ(whole_registers<float>(1), width);
  EXPECT_EQ(whole_registers<float>(width), width);
  EXPECT_EQ(whole_registers<float>(width + 1), 2 * width);
}

template <class Scalar>
std::vector<Index> registers_of(const Panels<Scalar>& panels) {
  std::vector<Index> registers;
  for (Index p = 0; p < panels.count(); ++p) {
    registers.push_back(panels.width(p) / native_width<Scalar>);
  }
  return registers;
}

TEST(Panels, AreAsWideAsTilesOrARegisterLess) {
  constexpr Index width = native_width<float>;
  const auto of = [](Index registers) { return registers_of(Panels<float>(registers * width)); };
  using Widths = std::vector<Index>;
  EXPECT_EQ(of(0), Widths());
  EXPECT_EQ(of(1), Widths({1}));
  if (tile_vectors == 4) {
    EXPECT_EQ(of(2), Widths({2}));
    EXPECT_EQ(of(4), Widths({4}));
    EXPECT_EQ(of(5), Widths({3, 2}));
    EXPECT_EQ(of(6), Widths({3, 3}));
    EXPECT_EQ(of(7), Widths({4, 3}));
    EXPECT_EQ(of(8), Widths({4, 4}));
    EXPECT_EQ(of(9), Widths({3, 3, 3}));
    EXPECT_EQ(of(14), Widths({4, 4, 3, 3}));
  } else if (tile_vectors == 3) {
    EXPECT_EQ(of(3), Widths({3}));
    EXPECT_EQ(of(4), Widths({2, 2}));
    EXPECT_EQ(of(5), Widths({3, 2}));
    EXPECT_EQ(of(7), Widths({3, 2, 2}));
  } else {
    EXPECT_EQ(of(2), Widths({2}));
    EXPECT_EQ(of(3), Widths({2, 1}));
    EXPECT_EQ(of(4), Widths({2, 2}));
  }
}

// From column to panel and back; none is more than a register narrower than the one before it, but
// for the last.
template <class Scalar>
void check(Index N, Index apart) {
  const Panels<Scalar> panels(N, apart);
  ASSERT_EQ(panels.begin(panels.count()), N);
  ASSERT_EQ(panels.at(N), panels.count());
  Index column = 0;
  for (Index p = 0; p < panels.count(); ++p) {
    ASSERT_EQ(panels.begin(p), column);
    ASSERT_EQ(column % native_width<Scalar>, 0) << "panels begin with a register";
    ASSERT_LE(panels.width(p), tile_columns<Scalar>);
    const Index count = std::min(panels.columns(p), N - apart - column);
    ASSERT_EQ(count == tile_columns<Scalar>, p < panels.whole());
    for (const Index end = column + panels.columns(p); column < end; ++column) {
      ASSERT_EQ(panels.at(column), p);
    }
  }
  ASSERT_EQ(column, N);
}

template <class Scalar>
void check_all() {
  for (Index N = 0; N <= 6 * tile_columns<Scalar> + 3; ++N) {
    SCOPED_TRACE(testing::Message() << "N " << N);
    check<Scalar>(N, 0);
    check<Scalar>(N, N % native_width<Scalar>);
  }
}

TEST(Panels, HaveEveryColumnOnceFloat) { check_all<float>(); }
TEST(Panels, HaveEveryColumnOnceDouble) { check_all<double>(); }

// Threads take some of a product's panels as a product of their own.
TEST(Panels, OfSomeColumnsAreThoseOfAll) {
  for (Index N = 0; N <= 6 * tile_columns<double> + 3; ++N) {
    const Panels<double> all(N);
    for (Index first = 0; first < all.count(); ++first) {
      for (Index last = first + 1; last <= all.count(); ++last) {
        const Panels<double> some(all.begin(last) - all.begin(first));
        ASSERT_EQ(some.count(), last - first);
        for (Index p = first; p < last; ++p) {
          ASSERT_EQ(some.begin(p - first), all.begin(p) - all.begin(first));
          ASSERT_EQ(some.width(p - first), all.width(p));
        }
      }
    }
  }
}

// Those that do not count cost no panel, unless there is no room.
TEST(Panels, HaveRoomForColumnsApart) {
  constexpr Index width = native_width<float>;
  if (width > 1) {
    const Index narrow = tile_columns<float> - width;
    const Panels<float> joined(narrow + 1, 1);
    EXPECT_EQ(joined.count(), 1);
    EXPECT_EQ(joined.width(0), tile_columns<float>);
    const Panels<float> alone(tile_columns<float> + 1, 1);
    EXPECT_EQ(alone.count(), 2);
    EXPECT_EQ(alone.begin(1), tile_columns<float>);
    EXPECT_EQ(alone.width(1), width);
  }
}

}  // namespace
}  // namespace panels_test
