// SPDX-License-Identifier: MIT
#include "recur/kernels/activations.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace activations_test {
namespace {

namespace kernels = recur::kernels;
using kernels::Vec;

constexpr auto tanh_of = [](const auto& x) { return tanh(x); };
constexpr auto sigmoid_of = [](const auto& x) { return sigmoid(x); };
constexpr auto relu_of = [](const auto& x) { return relu(x); };

// y = f(x), a register of `Width` at a time; the sizes are multiples of the width.
template <int Width, class Scalar, class F>
void apply(F f, const std::vector<Scalar>& x, std::vector<Scalar>& y) {
  for (std::size_t k = 0; k < x.size(); k += Width) {
    f(Vec<Scalar, Width>::load(x.data() + k)).store(y.data() + k);
  }
}

template <class Scalar, class F>
Scalar one(F f, Scalar x) {
  Scalar y;
  f(Vec<Scalar, 1>(x)).store(&y);
  return y;
}

// The distance between floats of the size of x.
double ulp(float x) {
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(x) & 0x7f800000U;
  return std::max(double{std::bit_cast<float>(exponent)}, 0x1p-126) * 0x1p-23;
}

template <class Scalar>
class Activations : public testing::Test {
 protected:
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();
  static constexpr Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  static constexpr Scalar denormal = std::numeric_limits<Scalar>::denorm_min();
  static constexpr Scalar largest = std::numeric_limits<Scalar>::max();

  // Numbers of every size and all special ones; 1024 of them.
  static std::vector<Scalar> samples() {
    const Scalar smallest = std::numeric_limits<Scalar>::min();
    std::vector<Scalar> x = {Scalar(0),  denormal,   smallest / 2, smallest,
                             Scalar(10), Scalar(20), Scalar(88),   Scalar(709),
                             largest,    infinity,   nan};
    while (x.size() < 512) {
      const auto k = static_cast<Scalar>(x.size());
      x.push_back(x.size() % 2 == 0 ? k / 25 : std::exp2(-k / 16));
    }
    for (std::size_t k = 0; k < 512; ++k) {
      x.push_back(-x[k]);
    }
    return x;
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Activations, Scalars);

TYPED_TEST(Activations, SpecialNumbers) {
  using Scalar = TypeParam;
  const auto t = [](Scalar x) { return one(tanh_of, x); };
  const auto s = [](Scalar x) { return one(sigmoid_of, x); };
  EXPECT_TRUE(std::isnan(t(this->nan)));
  EXPECT_TRUE(std::isnan(s(this->nan)));
  EXPECT_TRUE(std::isnan(t(-this->nan)));
  EXPECT_TRUE(std::isnan(s(-this->nan)));
  for (const Scalar big : {Scalar(20), Scalar(1000), this->largest, this->infinity}) {
    EXPECT_EQ(t(big), Scalar(1)) << big;
    EXPECT_EQ(t(-big), Scalar(-1)) << big;
  }
  for (const Scalar big : {Scalar(1000), this->largest, this->infinity}) {
    EXPECT_EQ(s(big), Scalar(1)) << big;
    EXPECT_EQ(s(-big), Scalar(0)) << big;
  }
  EXPECT_EQ(t(Scalar(0)), Scalar(0));
  EXPECT_FALSE(std::signbit(t(Scalar(0))));
  EXPECT_TRUE(std::signbit(t(Scalar(-0.0))));
  EXPECT_EQ(s(Scalar(0)), Scalar(0.5));
  EXPECT_EQ(s(Scalar(-0.0)), Scalar(0.5));
  EXPECT_EQ(s(Scalar(3)), 1 - s(Scalar(-3)));
  EXPECT_EQ(t(this->denormal), this->denormal);
  EXPECT_EQ(t(-this->denormal), -this->denormal);
  EXPECT_EQ(s(this->denormal), Scalar(0.5));
}

TYPED_TEST(Activations, Relu) {
  using Scalar = TypeParam;
  for (const Scalar x : this->samples()) {
    const Scalar y = one(relu_of, x);
    const Scalar expected = recur::math::relu(x);
    EXPECT_TRUE(y == expected || (std::isnan(y) && std::isnan(expected))) << x;
    for (const Scalar dy : {Scalar(-3), this->infinity}) {
      const Scalar dx =
          one([dy](const Vec<Scalar, 1>& v) { return d_relu(v, Vec<Scalar, 1>(dy)); }, x);
      EXPECT_EQ(dx, recur::math::d_relu(x, dy)) << x;
    }
  }
}

// Calls f with every width there is, as a constant.
template <class Scalar, int Width = kernels::native_width<Scalar>, class F>
void for_each_width(F f) {
  f(std::integral_constant<int, Width>{});
  if constexpr (Width > kernels::smallest_width<Scalar>) {
    for_each_width<Scalar, Width / 2>(f);
  } else if constexpr (Width > 1) {
    for_each_width<Scalar, 1>(f);
  }
}

TYPED_TEST(Activations, SameBitsAtEveryWidth) {
  using Scalar = TypeParam;
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  const std::vector<Scalar> x = this->samples();
  const auto compare = [&](auto f) {
    std::vector<Scalar> expected(x.size());
    std::vector<Scalar> y(x.size());
    apply<1>(f, x, expected);
    for_each_width<Scalar>([&](auto width) {
      apply<decltype(width)::value>(f, x, y);
      for (std::size_t k = 0; k < x.size(); ++k) {
        if (std::isnan(expected[k])) {
          EXPECT_TRUE(std::isnan(y[k])) << "width " << width;
        } else {
          EXPECT_EQ(std::bit_cast<Bits>(y[k]), std::bit_cast<Bits>(expected[k]))
              << "width " << width << ", x = " << x[k];
        }
      }
    });
  };
  compare(tanh_of);
  compare(sigmoid_of);
  compare([](const auto& v) {  // the zero of -0 may have either sign
    using V = std::decay_t<decltype(v)>;
    return relu_of(v) + V(Scalar(0));
  });
  compare([](const auto& v) {
    using V = std::decay_t<decltype(v)>;
    return d_relu(v, V(Scalar(2)));
  });
}

TYPED_TEST(Activations, PartOfARegister) {
  using Scalar = TypeParam;
  using V = Vec<Scalar>;
  const Scalar untouched(7);
  for (recur::Index count = 0; count <= V::width; ++count) {
    const std::vector<Scalar> x(static_cast<std::size_t>(count), Scalar(0.75));
    std::vector<Scalar> t(V::width, untouched);
    std::vector<Scalar> s(V::width, untouched);
    tanh(V::load(x.data(), count)).store(t.data(), count);
    sigmoid(V::load(x.data(), count)).store(s.data(), count);
    for (std::size_t k = 0; k < t.size(); ++k) {
      const bool in = static_cast<recur::Index>(k) < count;
      EXPECT_EQ(t[k], in ? one(tanh_of, Scalar(0.75)) : untouched);
      EXPECT_EQ(s[k], in ? one(sigmoid_of, Scalar(0.75)) : untouched);
    }
  }
}

TEST(ActivationsOfOtherScalars, AreThoseOfMath) {
  for (const long double x : {-3.0L, -0.1L, 0.0L, 1e-10L, 2.0L, 20.0L}) {
    EXPECT_EQ(one(tanh_of, x), std::tanh(x));
    EXPECT_EQ(one(sigmoid_of, x), recur::math::sigmoid(x));
  }
}

// The stated errors of double, against long double.
TEST(ActivationsOfDouble, Errors) {
  if constexpr (std::numeric_limits<long double>::digits <= std::numeric_limits<double>::digits) {
    GTEST_SKIP() << "long double is no more precise than double";
  }
  double tanh_relative = 0;
  double tanh_absolute = 0;
  double sigmoid_absolute = 0;
  double sigmoid_relative = 0;
  const auto check = [&](double x) {
    const double t = one(tanh_of, x);
    const long double true_t = std::tanh(static_cast<long double>(x));
    const auto error = static_cast<double>(std::abs(t - true_t));
    tanh_absolute = std::max(tanh_absolute, error);
    tanh_relative = std::max(tanh_relative, error / static_cast<double>(std::abs(true_t)));
    ASSERT_EQ(one(tanh_of, -x), -t) << x;
    ASSERT_LE(std::abs(t), 1.0) << x;
    for (const double signed_x : {x, -x}) {
      const double s = one(sigmoid_of, signed_x);
      const long double true_s = 1 / (1 + std::exp(-static_cast<long double>(signed_x)));
      const auto s_error = static_cast<double>(std::abs(s - true_s));
      ASSERT_TRUE(s >= 0 && s <= 1) << signed_x;
      sigmoid_absolute = std::max(sigmoid_absolute, s_error);
      sigmoid_relative =
          std::max(sigmoid_relative, s_error / static_cast<double>(true_s) / (1 + x));
    }
  };
  constexpr int count = 1'000'000;
  for (int k = 1; k <= count; ++k) {
    const double part = (k - 0.3) / count;
    check(part * 2);
    check(part * 40);
    check(std::exp2(-300 * part));
    if (k % 4 == 0) {
      check(part * 700);
    }
  }
  RecordProperty("tanh_absolute", testing::PrintToString(tanh_absolute));
  RecordProperty("tanh_relative", testing::PrintToString(tanh_relative));
  RecordProperty("sigmoid_absolute", testing::PrintToString(sigmoid_absolute));
  RecordProperty("sigmoid_relative", testing::PrintToString(sigmoid_relative));
  EXPECT_LE(tanh_absolute, 1.9e-16);
  EXPECT_LE(tanh_relative, 3.7e-16);
  EXPECT_LE(sigmoid_absolute, 1.4e-16);
  EXPECT_LE(sigmoid_relative, 2.5e-16);
}

// The stated errors of float, at every float from 2^-14 to 89 and its negative; outside, at some:
// below, only the exponents differ (the whole takes four times as long, and has been seen to pass).
// The reference is the double version, 10^8 times as precise.
TEST(ActivationsOfFloat, ErrorsAtEveryNumber) {
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  constexpr std::uint32_t stride = 1;  // in blocks of 256 numbers
#else
  constexpr std::uint32_t stride = 101;
#endif
  constexpr std::uint32_t stride_below = 7 * stride;
  constexpr auto begin = std::bit_cast<std::uint32_t>(0x1p-14F);
  constexpr std::uint32_t block = 256;
  constexpr auto width = kernels::native_width<float>;
  constexpr auto double_width = kernels::native_width<double>;
  const auto end = std::bit_cast<std::uint32_t>(89.0F);

  std::vector<float> x(block), minus_x(block), t(block), minus_t(block), s(block), s_minus(block);
  std::vector<double> exact(block), minus_exact(block), true_t(block), true_s(block),
      true_s_minus(block);
  double tanh_absolute = 0;
  double tanh_ulp = 0;
  double tanh_back = 0;  // by how much tanh falls from a number to the next
  double sigmoid_absolute = 0;
  double sigmoid_relative = 0;
  std::uint64_t asymmetric = 0;
  std::uint64_t beyond_one = 0;
  for (std::uint32_t first = 0; first < end;
       first = first < begin ? std::min(first + block * stride_below, begin)
                             : first + block * stride) {
    for (std::uint32_t k = 0; k < block; ++k) {
      x[k] = std::bit_cast<float>(first + k);
      minus_x[k] = -x[k];
      exact[k] = x[k];
      minus_exact[k] = -exact[k];
    }
    apply<width>(tanh_of, x, t);
    apply<width>(tanh_of, minus_x, minus_t);
    apply<width>(sigmoid_of, x, s);
    apply<width>(sigmoid_of, minus_x, s_minus);
    apply<double_width>(tanh_of, exact, true_t);
    apply<double_width>(sigmoid_of, exact, true_s);
    apply<double_width>(sigmoid_of, minus_exact, true_s_minus);
    for (std::uint32_t k = 0; k < block; ++k) {
      const double error = std::abs(t[k] - true_t[k]);
      tanh_absolute = std::max(tanh_absolute, error);
      tanh_ulp = std::max(tanh_ulp, error / ulp(static_cast<float>(true_t[k])));
      tanh_back = std::max(tanh_back, k > 0 ? double{t[k - 1]} - double{t[k]} : 0.0);
      asymmetric += std::bit_cast<std::uint32_t>(t[k]) != std::bit_cast<std::uint32_t>(-minus_t[k]);
      beyond_one += !(t[k] <= 1.0F && s[k] <= 1.0F && s_minus[k] >= 0.0F);
      const double s_error = std::abs(s[k] - true_s[k]);
      const double s_minus_error = std::abs(s_minus[k] - true_s_minus[k]);
      sigmoid_absolute = std::max({sigmoid_absolute, s_error, s_minus_error});
      if (x[k] <= 87.0F) {
        sigmoid_relative = std::max({sigmoid_relative, s_error / true_s[k] / (1 + exact[k]),
                                     s_minus_error / true_s_minus[k] / (1 + exact[k])});
      }
    }
  }
  RecordProperty("tanh_absolute", testing::PrintToString(tanh_absolute));
  RecordProperty("tanh_ulp", testing::PrintToString(tanh_ulp));
  RecordProperty("tanh_back", testing::PrintToString(tanh_back));
  RecordProperty("sigmoid_absolute", testing::PrintToString(sigmoid_absolute));
  RecordProperty("sigmoid_relative", testing::PrintToString(sigmoid_relative));
  constexpr bool by_table = kernels::has_lookup<float>;
  EXPECT_LE(tanh_absolute, by_table ? 4.0e-8 : 9.0e-8);
  EXPECT_LE(tanh_ulp, by_table ? 1.01 : 2.6);
  EXPECT_LE(tanh_back, by_table ? 7.5e-9 : 1.2e-7);
  EXPECT_LE(sigmoid_absolute, 8.3e-8);
  EXPECT_LE(sigmoid_relative, 1.4e-7);
  EXPECT_EQ(asymmetric, 0U);
  EXPECT_EQ(beyond_one, 0U);

  for (std::uint32_t bits = end; bits <= 0x7f800000U; bits += 4096) {  // ∞ is the last one
    const float big = std::bit_cast<float>(bits);
    ASSERT_EQ(one(tanh_of, big), 1.0F) << big;
    ASSERT_EQ(one(tanh_of, -big), -1.0F) << big;
    ASSERT_EQ(one(sigmoid_of, big), 1.0F) << big;
    ASSERT_EQ(one(sigmoid_of, -big), 0.0F) << big;
  }
}

}  // namespace
}  // namespace activations_test
