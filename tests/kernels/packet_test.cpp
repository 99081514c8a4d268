// SPDX-License-Identifier: MIT
//
// Vector registers of every width against plain scalars, lane by lane.
#include "recur/kernels/packet.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <gtest/gtest.h>

namespace packet_test {
namespace {

using recur::Index;
using recur::kernels::native_width;
using recur::kernels::smallest_width;
using recur::kernels::Vec;

// Numbers of both signs, zeros and infinities.
template <class Scalar, int Width>
std::array<Scalar, Width> numbers(int first) {
  const Scalar infinity = std::numeric_limits<Scalar>::infinity();
  const Scalar values[] = {Scalar(1.5),   Scalar(-2.25), Scalar(0), Scalar(-0.0), Scalar(1e-20),
                           Scalar(-3e10), infinity,      -infinity, Scalar(7)};
  std::array<Scalar, Width> lanes{};
  for (int k = 0; k < Width; ++k) {
    lanes[static_cast<std::size_t>(k)] = values[(first + k) % 9];
  }
  return lanes;
}

template <class Scalar>
void expect_equal(Scalar actual, Scalar expected, const char* what) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(actual)) << what;
  } else {
    EXPECT_EQ(actual, expected) << what;
    EXPECT_EQ(std::signbit(actual), std::signbit(expected)) << what;
  }
}

template <class Scalar, int Width>
void check_lanes() {
  using V = Vec<Scalar, Width>;
  static_assert(V::width == Width);
  for (int first = 0; first < 9; ++first) {
    for (int second = 0; second < 9; ++second) {
      const auto a = numbers<Scalar, Width>(first);
      const auto b = numbers<Scalar, Width>(second);
      const V va = V::load(a.data());
      const V vb = V::load(b.data());
      std::array<Scalar, Width> lanes{};
      const auto check = [&](const V& actual, auto expected, const char* what) {
        actual.store(lanes.data());
        for (std::size_t k = 0; k < lanes.size(); ++k) {
          expect_equal(lanes[k], static_cast<Scalar>(expected(a[k], b[k])), what);
        }
      };
      check(
          va + vb, [](Scalar x, Scalar y) { return x + y; }, "+");
      check(
          va - vb, [](Scalar x, Scalar y) { return x - y; }, "-");
      check(
          va * vb, [](Scalar x, Scalar y) { return x * y; }, "*");
      check(
          va / vb, [](Scalar x, Scalar y) { return x / y; }, "/");
      check(
          abs(va), [](Scalar x, Scalar) { return std::abs(x); }, "abs");
      check(
          minus_abs(va), [](Scalar x, Scalar) { return -std::abs(x); }, "minus_abs");
      check(
          where_positive(va, vb, V(Scalar(5))), [](Scalar x, Scalar y) { return x > 0 ? y : 5; },
          "where_positive");
      check(
          with_sign_of(abs(vb), va), [](Scalar x, Scalar y) { return std::copysign(y, x); },
          "with_sign_of");
    }
  }

  // The greater and the smaller: with bounds other than zero, whose sign may be either.
  const auto a = numbers<Scalar, Width>(0);
  std::array<Scalar, Width> lanes{};
  at_least(V::load(a.data()), V(Scalar(1))).store(lanes.data());
  for (std::size_t k = 0; k < lanes.size(); ++k) {
    EXPECT_EQ(lanes[k], std::max(a[k], Scalar(1)));
  }
  at_most(V::load(a.data()), V(Scalar(1))).store(lanes.data());
  for (std::size_t k = 0; k < lanes.size(); ++k) {
    EXPECT_EQ(lanes[k], std::min(a[k], Scalar(1)));
  }
}

template <class Scalar, int Width>
void check_nan() {
  using V = Vec<Scalar, Width>;
  const V nan(std::numeric_limits<Scalar>::quiet_NaN());
  const V one(Scalar(1));
  std::array<Scalar, Width> lanes{};
  const auto expect_nan = [&](const V& v, const char* what) {
    v.store(lanes.data());
    for (const Scalar lane : lanes) {
      EXPECT_TRUE(std::isnan(lane)) << what;
    }
  };
  expect_nan(at_least(nan, one), "at_least");
  expect_nan(at_most(nan, one), "at_most");
  expect_nan(nan + one, "+");
  expect_nan(multiply_add(nan, one, one), "multiply_add");
}

template <class Scalar, int Width>
void check_parts() {
  using V = Vec<Scalar, Width>;
  const auto a = numbers<Scalar, Width>(0);
  for (Index count = 0; count <= Width; ++count) {
    std::array<Scalar, Width + 1> target{};
    target.fill(Scalar(42));
    V::load(a.data(), count).store(target.data());
    for (Index k = 0; k < Width; ++k) {
      const auto at = static_cast<std::size_t>(k);
      EXPECT_EQ(target[at], k < count ? a[at] : Scalar(0)) << count;
    }
    target.fill(Scalar(42));
    V::load(a.data()).store(target.data(), count);
    for (Index k = 0; k <= Width; ++k) {
      const auto at = static_cast<std::size_t>(k);
      EXPECT_EQ(target[at], k < count ? a[at] : Scalar(42)) << count;
    }
  }
}

// Memory at any address.
template <class Scalar, int Width>
void check_unaligned() {
  using V = Vec<Scalar, Width>;
  std::array<Scalar, 3 * Width> from{};
  for (std::size_t k = 0; k < from.size(); ++k) {
    from[k] = static_cast<Scalar>(k);
  }
  for (std::size_t offset = 0; offset < Width; ++offset) {
    std::array<Scalar, 3 * Width> to{};
    V::load(from.data() + offset).store(to.data() + offset + 1);
    for (std::size_t k = 0; k < Width; ++k) {
      EXPECT_EQ(to[offset + 1 + k], from[offset + k]);
    }
  }
}

// Powers of two, whose sum misses none and takes none twice.
template <class Scalar, int Width>
void check_sum() {
  std::array<Scalar, Width> lanes{};
  for (std::size_t k = 0; k < lanes.size(); ++k) {
    lanes[k] = static_cast<Scalar>(1 << k);
  }
  EXPECT_EQ(sum(Vec<Scalar, Width>::load(lanes.data())), static_cast<Scalar>((1 << Width) - 1));
}

// Each lane names another of the sixteen entries, by bits that other bits surround.
template <class Scalar, int Width>
void check_lookup() {
  if constexpr (recur::kernels::has_lookup<Scalar>) {
    using V = Vec<Scalar, Width>;
    alignas(64) std::uint32_t table[16];
    for (std::uint32_t k = 0; k < 16; ++k) {
      table[k] = 1000 * k + 7;
    }
    std::array<Scalar, Width> index{};
    std::array<Scalar, Width> found{};
    std::array<Scalar, Width> added{};
    for (std::uint32_t first = 0; first < 16; ++first) {
      const auto entry = [first](std::size_t lane) {
        return (first + 5 * static_cast<std::uint32_t>(lane)) % 16;
      };
      for (std::size_t k = 0; k < Width; ++k) {
        index[k] = std::bit_cast<Scalar>(0x3f000000U | entry(k) << 9 | 0x155U);
      }
      const V x = V::load(index.data());
      lookup(table, x, 9).store(found.data());
      add_bits(lookup(table, x, 9), x, 3).store(added.data());
      for (std::size_t k = 0; k < Width; ++k) {
        const std::uint32_t expected = 1000 * entry(k) + 7;
        EXPECT_EQ(std::bit_cast<std::uint32_t>(found[k]), expected);
        EXPECT_EQ(std::bit_cast<std::uint32_t>(added[k]),
                  expected + (std::bit_cast<std::uint32_t>(index[k]) << 3));
      }
    }
  }
}

// a · b + c in one rounding at every width, or in two at every width.
template <class Scalar, int Width>
Scalar one_rounding_shows() {
  const Scalar epsilon = std::numeric_limits<Scalar>::epsilon();
  using V = Vec<Scalar, Width>;
  std::array<Scalar, Width> lanes{};
  multiply_add(V(1 + epsilon), V(1 - epsilon), V(Scalar(-1))).store(lanes.data());
  for (const Scalar lane : lanes) {
    EXPECT_EQ(lane, lanes[0]);
  }
  return lanes[0];
}

template <class Scalar, int Width>
void check_width() {
  SCOPED_TRACE(Width);
  check_lanes<Scalar, Width>();
  check_nan<Scalar, Width>();
  check_parts<Scalar, Width>();
  check_unaligned<Scalar, Width>();
  check_sum<Scalar, Width>();
  check_lookup<Scalar, Width>();
  EXPECT_EQ((one_rounding_shows<Scalar, Width>()),
            (one_rounding_shows<Scalar, native_width<Scalar>>()));
  if constexpr (Width > smallest_width<Scalar>) {
    check_width<Scalar, Width / 2>();
  } else if constexpr (Width > 1) {
    check_width<Scalar, 1>();
  }
}

TEST(Packet, Float) { check_width<float, native_width<float>>(); }

TEST(Packet, Double) { check_width<double, native_width<double>>(); }

TEST(Packet, OtherScalarsHaveWidthOne) {
  static_assert(native_width<long double> == 1);
  using V = Vec<long double>;
  long double result = 0;
  (V(2.0L) * V(3.0L) + V(1)).store(&result);
  EXPECT_EQ(result, 7.0L);
}

TEST(Packet, KeptInARegisterStaysTheSame) {
  const auto check = []<class V>(V) {
    using Scalar = typename V::Scalar;
    Scalar before[V::width];
    Scalar after[V::width];
    for (int k = 0; k < V::width; ++k) {
      before[k] = Scalar(k) - Scalar(1.5);
    }
    V x = V::load(before);
    keep_in_register(x);
    x.store(after);
    EXPECT_TRUE(std::equal(before, before + V::width, after));
  };
  check(Vec<float>());
  check(Vec<double>());
  check(Vec<float, 1>());
  check(Vec<long double>());
}

}  // namespace
}  // namespace packet_test
