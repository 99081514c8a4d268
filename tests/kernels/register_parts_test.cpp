// SPDX-License-Identifier: MIT
//
// The first lanes of a register, from and to arrays that are no longer than that: with
// AddressSanitizer, what is read or written behind them is an error.
#include "recur/kernels/register_parts.hpp"

#include <cstddef>
#include <cstring>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace register_parts_test {
namespace {

using recur::Index;
using recur::kernels::RegisterParts;

#if defined(EIGEN_VECTORIZE_SSE) || defined(EIGEN_VECTORIZE_NEON)

template <class Register, class Scalar>
void check() {
  constexpr Index lanes = sizeof(Register) / sizeof(Scalar);
  for (Index count = 0; count <= lanes; ++count) {
    const auto size = static_cast<std::size_t>(count);
    std::vector<Scalar> numbers(size);
    std::iota(numbers.begin(), numbers.end(), Scalar(-2));

    const Register loaded = RegisterParts<Register>::load(numbers.data(), count);
    Scalar lane[lanes];
    std::memcpy(lane, &loaded, sizeof(loaded));
    for (Index k = 0; k < lanes; ++k) {
      EXPECT_EQ(lane[k], k < count ? static_cast<Scalar>(k - 2) : Scalar(0))
          << k << " of " << count;
    }

    std::iota(lane, lane + lanes, Scalar(7));
    Register full;
    std::memcpy(&full, lane, sizeof(full));
    RegisterParts<Register>::store(full, numbers.data(), count);
    for (Index k = 0; k < count; ++k) {
      EXPECT_EQ(numbers[static_cast<std::size_t>(k)], static_cast<Scalar>(k + 7))
          << k << " of " << count;
    }
  }
}

#endif
#if defined(EIGEN_VECTORIZE_SSE)

TEST(RegisterParts, Of128Bits) {
  check<__m128, float>();
  check<__m128d, double>();
}

#endif
#if defined(EIGEN_VECTORIZE_AVX)

TEST(RegisterParts, Of256Bits) {
  check<__m256, float>();
  check<__m256d, double>();
}

#endif
#if defined(EIGEN_VECTORIZE_AVX512)

TEST(RegisterParts, Of512Bits) {
  check<__m512, float>();
  check<__m512d, double>();
}

#endif
#if defined(EIGEN_VECTORIZE_NEON)

TEST(RegisterParts, OfNeon) { check<float32x4_t, float>(); }

#endif

}  // namespace
}  // namespace register_parts_test
