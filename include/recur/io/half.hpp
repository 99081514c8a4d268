// SPDX-License-Identifier: MIT
//
// Numbers of 16 bits, as files hold them, to float: exact for every one of them.
//
//   half (IEEE 754 binary16, F16)   1 bit sign, 5 exponent, 10 fraction
//   bfloat16 (BF16)                 the upper half of a float
#pragma once

#include <bit>  // std::bit_cast
#include <cstdint>

namespace recur::detail {

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

inline float bfloat_to_float(std::uint16_t upper_half) {
  return std::bit_cast<float>(std::uint32_t{upper_half} << 16);
}

}  // namespace recur::detail
