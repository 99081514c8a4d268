// SPDX-License-Identifier: MIT
//
// The activations of math/activations.hpp on vector registers; the equations find them by their
// argument. float and double take the same steps in every lane and at every width. Other scalars:
// math/, lane by lane.
//
//   exp u = 2^k (1 + m),   k = round(u / ln 2),   m = expm1(u - k ln 2)
//
//   tanh a = E / (E + 2),  E = expm1(2a) = 2^k m + (2^k - 1),  a = |x|
//   σ(-a)  = e / (1 + e),  e = exp(-a),                        σ(a) = 1 - σ(-a)
//
// One division each. m is a polynomial (tests/kernels/fit_activations.py) that keeps its relative
// precision near zero, where k = 0 and E = m. k ln 2 is subtracted in one go: what that costs is an
// error of the exponent in proportion to |u|, where tanh and σ are flat. e / (1 + e) for both signs
// of x would save an instruction or two, but 1 + e > 2 has a bit less: the largest part of the
// error of an LSTM after 1,000 steps.
//
// Where a register can be a table (float with AVX-512), both take fewer steps:
//
//   exp u = 2^(k/16) (1 + m),   k = round(16 u / ln 2),   the sixteen roots from a table
//   tanh a                      from a polynomial for each of 15 stretches of a, from tables
//
// On AMD Zen 5 a tanh that is waited for takes 10.6 ns instead of 14.7, a σ 12.0 instead of 14.1;
// one register of many 3.2 instead of 3.5 and 2.8 instead of 3.1. And tanh is all but exact.
//
// Rejected: tanh x = x P(x²) / Q(x²), degrees 9/8 for float, 19/18 for double. It takes as many
// operations, but the roundings of high powers of x add up to 3.2e-7 at x = 6 (float), and σ has to
// be computed from tanh and loses all relative precision for x < 0.
//
// Rejected: e · 1/(e + 1) with AVX-512's approximate reciprocal and a Newton step. Where a division
// of a register takes as long as four multiplications (AMD Zen 5), the six operations are slower:
// 18 to 24 ns for the gates of 16 units of an LSTM instead of 13 to 17.
//
// The errors stated below are the greatest found by tests/kernels/activations_test.cpp, with and
// without fused multiply-add: float at every number, double at millions.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "recur/kernels/activation_tables.hpp"
#include "recur/kernels/packet.hpp"
#include "recur/math/activations.hpp"

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

// Constants of a scalar:
//   expm1      expm1(r) = r + r² (expm1[0] + expm1[1] r + …) for |r| ≤ ln(2)/2
//   rounder    added to a number: its integer part in the lowest bits, plus the exponent's bias
//   tanh_end   from here on, tanh = 1
//   exp_end    exp(-exp_end) comes out as 0, as the bits of 2^k are those of 0
template <class Scalar>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  // Relative error 1.5e-8.
  static constexpr std::array expm1 = {0.5f, 0.16666548f, 0.0416668542f, 0.00836609956f,
                                       0.00138982397f};
  static constexpr float rounder = 0x1.8p23f + 127.0f;
  static constexpr float tanh_end = 10.0f;
  static constexpr float exp_end = 88.0296919f;
};

template <>
struct ExpConstants<double> {
  // Relative error 2.6e-17.
  static constexpr std::array expm1 = {0.5,
                                       0.16666666666666602,
                                       0.04166666666661966,
                                       0.0083333333333887923,
                                       0.0013888888920670763,
                                       0.00019841269708608398,
                                       2.4801516105609078e-05,
                                       2.7557425474705514e-06,
                                       2.7622338050236688e-07,
                                       2.5045884429129279e-08};
  static constexpr double rounder = 0x1.8p52 + 1023.0;
  static constexpr double tanh_end = 20.0;
  static constexpr double exp_end = 709.0;
};

template <class Scalar>
inline constexpr bool has_constants =
    std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>;

// exp(n u) = scale (1 + n m). n: 1 or 2. -exp_end ≤ n u ≤ exp_end - 1; where u is NaN, m is.
template <class V>
struct SplitExp {
  V scale;
  V m;
};

template <int n, class V>
RECUR_ALWAYS_INLINE SplitExp<V> split_exp(const V& u) {
  using Scalar = typename V::Scalar;
  using C = ExpConstants<Scalar>;
  const V rounder(C::rounder);
  const V shifted = multiply_add(u, V(Scalar(n * 1.4426950408889634)), rounder);  // n / ln 2
  const V k = shifted - rounder;
  const V r = multiply_add(k, V(Scalar(-0.6931471805599453 / n)), u);  // ln 2 / n
  const V r2 = r * r;

  // Even and odd powers apart: half the latency for the same work. n is a power of two, which
  // changes no digit of the coefficients.
  constexpr auto c = [] {
    auto scaled = C::expm1;
    Scalar power = n;
    for (Scalar& coefficient : scaled) {
      coefficient *= power;
      power *= n;
    }
    return scaled;
  }();
  constexpr int last = static_cast<int>(c.size()) - 1;
  V same(c[last]);  // last, last - 2, …
  V other(c[last - 1]);
  RECUR_UNROLL
  for (int power = last - 2; power >= 0; power -= 2) {
    same = multiply_add(same, r2, V(c[static_cast<std::size_t>(power)]));
  }
  RECUR_UNROLL
  for (int power = last - 3; power >= 0; power -= 2) {
    other = multiply_add(other, r2, V(c[static_cast<std::size_t>(power)]));
  }
  const V sum = last % 2 == 0 ? multiply_add(other, r, same) : multiply_add(same, r, other);
  return {low_bits_as_exponent(shifted), multiply_add(r2, sum, r)};
}

// exp u for -exp_end ≤ u ≤ 0; at -exp_end it is 0.
template <class V>
RECUR_ALWAYS_INLINE V exp(const V& u) requires(!has_lookup<typename V::Scalar>) {
  const auto [scale, m] = split_exp<1>(u);
  return multiply_add(scale, m, scale);
}
template <class V>
RECUR_ALWAYS_INLINE V exp(const V& u) requires(has_lookup<typename V::Scalar>) {
  const V rounder(0x1.8p23f);
  const V shifted = multiply_add(u, V(16 * 1.44269504f), rounder);
  const V r = multiply_add(shifted - rounder, V(-0.693147181f / 16), u);
  const V m = multiply_add(r * r, multiply_add(r, V(0.166660786f), V(0.5f)), r);
  const V power = add_bits(lookup(power_of_two_bits, shifted, 0), shifted, 19);
  return multiply_add(power, m, power);
}

template <class V>
RECUR_ALWAYS_INLINE V tanh_column(const float (&row)[16], const V& place) {
  return lookup(row, place, 23 - TanhTable::mantissa_bits);
}

// tanh a, by table. 0 ≤ a ≤ TanhTable::end.
template <class V>
RECUR_ALWAYS_INLINE V tanh_by_table(const V& a) {
  using T = TanhTable;
  const V place = a + V(T::shift);
  const V d = a - tanh_column(T::centre, place);
  const V d2 = d * d;
  const V low = multiply_add(tanh_column(T::c[1], place), d, tanh_column(T::c[0], place));
  const V middle = multiply_add(tanh_column(T::c[3], place), d, tanh_column(T::c[2], place));
  const V high = multiply_add(tanh_column(T::c[5], place), d, tanh_column(T::c[4], place));
  const V slope = multiply_add(multiply_add(high, d2, middle), d2, low);
  return multiply_add(d, slope, tanh_column(T::value, place));
}

template <class V, class F>
RECUR_ALWAYS_INLINE V lane_by_lane(const V& x, F f) {
  typename V::Scalar lanes[V::width];
  x.store(lanes);
  for (typename V::Scalar& lane : lanes) {
    lane = f(lane);
  }
  return V::load(lanes);
}

}  // namespace detail

/// tanh x for every x. Odd, signed zero included; ±1 exactly for great |x|, never beyond; NaN stays
/// NaN. Error: float 9.0e-8, and 2.6 ulp of the result (denormals too), by table 4.0e-8 and
/// 1.01 ulp; double 1.9e-16, and 3.7e-16 of the result. Not quite monotone: from one float to the
/// next it may fall by up to 1.2e-7, by table 7.5e-9.
template <class Scalar, int Width>
RECUR_ALWAYS_INLINE Vec<Scalar, Width> tanh(const Vec<Scalar, Width>& x) {
  using V = Vec<Scalar, Width>;
  if constexpr (has_lookup<Scalar>) {
    const V a = at_most(abs(x), V(detail::TanhTable::end));
    return with_sign_of(detail::tanh_by_table(a), x);
  } else if constexpr (detail::has_constants<Scalar>) {
    const V a = at_most(abs(x), V(detail::ExpConstants<Scalar>::tanh_end));
    const auto [scale, m] = detail::split_exp<2>(a);
    const V half(Scalar(0.5));
    const V e = multiply_add(scale, m, multiply_add(scale, half, V(Scalar(-0.5))));
    return with_sign_of(e / (e + V(Scalar(1))), x);
  } else {
    return detail::lane_by_lane(x, [](const Scalar& v) { return math::tanh(v); });
  }
}

/// σ(x) for every x; for x > 0 it is 1 - σ(-x), rounded. Within [0, 1], whose ends it reaches
/// exactly; NaN stays NaN. Error: float 8.3e-8, and 1.4e-7 (1 + |x|) of the result while x ≥ -87
/// (then it falls to 0); double 1.4e-16, and 2.5e-16 (1 + |x|) of the result while x ≥ -700.
template <class Scalar, int Width>
RECUR_ALWAYS_INLINE Vec<Scalar, Width> sigmoid(const Vec<Scalar, Width>& x) {
  if constexpr (detail::has_constants<Scalar>) {
    using V = Vec<Scalar, Width>;
    const V e = detail::exp(at_least(minus_abs(x), V(-detail::ExpConstants<Scalar>::exp_end)));
    const V q = e / (e + V(1));
    return where_positive(x, V(1) - q, q);
  } else {
    return detail::lane_by_lane(x, [](const Scalar& v) { return math::sigmoid(v); });
  }
}

/// max(x, 0); NaN stays NaN. Of -0 it is a zero of either sign.
template <class Scalar, int Width>
RECUR_ALWAYS_INLINE Vec<Scalar, Width> relu(const Vec<Scalar, Width>& x) {
  return at_least(x, Vec<Scalar, Width>(Scalar(0)));
}

/// d relu/dx · dy, y = relu(x).
template <class Scalar, int Width>
RECUR_ALWAYS_INLINE Vec<Scalar, Width> d_relu(const Vec<Scalar, Width>& y,
                                              const Vec<Scalar, Width>& dy) {
  return where_positive(y, dy, Vec<Scalar, Width>(Scalar(0)));
}

}  // namespace recur::inline RECUR_ABI::kernels
