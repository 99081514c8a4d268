// SPDX-License-Identifier: MIT
//
// Numbers of 16 bits, as files hold them, to float and back.
//
//   half (IEEE 754 binary16, F16)   1 bit sign, 5 exponent, 10 fraction
//   bfloat16 (BF16)                 1 bit sign, 8 exponent, 7 fraction: the upper half of a float
#pragma once

#include <bit>  // std::bit_cast
#include <cstdint>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::detail {

/// Exact for every one of them.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  const std::uint32_t fraction = half & 0x3FFU;
  if (exponent == 0) {  // zero and subnormal numbers: fraction · 2⁻²⁴
    const float value = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 127 - 15;  // 31: infinities and NaN
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

/// Exact for every one of them.
inline float bfloat_to_float(std::uint16_t upper_half) {
  return std::bit_cast<float>(std::uint32_t{upper_half} << 16);
}

/// The nearest number with so many bits of exponent and fraction; of two as near, the one with an
/// even last bit. Too large: infinity. NaN stays NaN. One rounding, also from double: by way of
/// float it would be two (so does PyTorch), half a unit in the last place too far at most.
template <int ExponentBits, int FractionBits>
std::uint16_t round_to_16_bits(double value) {
  static_assert(1 + ExponentBits + FractionBits == 16);
  constexpr int double_fraction = 52;
  constexpr int double_bias = 1023;
  constexpr int bias = (1 << (ExponentBits - 1)) - 1;
  constexpr int infinite = (1 << ExponentBits) - 1;  // exponent of infinities and NaN
  constexpr std::uint64_t hidden_one = std::uint64_t{1} << double_fraction;

  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 48 & 0x8000U);
  const std::uint64_t fraction = bits & (hidden_one - 1);
  const int double_exponent = static_cast<int>(bits >> double_fraction & 0x7FFU);
  const auto with_sign = [sign](std::uint64_t magnitude) {
    return static_cast<std::uint16_t>(sign | magnitude);
  };
  if (double_exponent == 0x7FF && fraction != 0) {  // NaN, made quiet
    return with_sign(std::uint64_t{infinite} << FractionBits | 1U << (FractionBits - 1));
  }
  const int exponent = double_exponent - double_bias + bias;
  if (exponent >= infinite) {
    return with_sign(std::uint64_t{infinite} << FractionBits);
  }

  // Exponent and fraction side by side: a carry out of the fraction raises the exponent, at last to
  // that of infinity. Below the smallest exponent the one before the point is written out.
  int shift = double_fraction - FractionBits;
  std::uint64_t wide = static_cast<std::uint64_t>(exponent) << double_fraction | fraction;
  if (exponent <= 0) {
    shift += 1 - exponent;
    wide = hidden_one | fraction;
    if (shift > double_fraction + 1) {  // less than half of the smallest number
      return with_sign(0);
    }
  }
  const std::uint64_t rest = wide & ((std::uint64_t{1} << shift) - 1);
  const std::uint64_t middle = std::uint64_t{1} << (shift - 1);
  std::uint64_t rounded = wide >> shift;
  if (rest > middle || (rest == middle && rounded % 2 == 1)) {
    ++rounded;
  }
  return with_sign(rounded);
}

inline std::uint16_t to_half(double value) { return round_to_16_bits<5, 10>(value); }
inline std::uint16_t to_bfloat(double value) { return round_to_16_bits<8, 7>(value); }

}  // namespace recur::inline RECUR_ABI::detail
