// SPDX-License-Identifier: MIT
#include "recur/core/mersenne_twister.hpp"

#include <cstdint>
#include <random>

#include <gtest/gtest.h>

namespace mersenne_twister_test {
namespace {

using recur::MersenneTwister;

static_assert(std::uniform_random_bit_generator<MersenneTwister>);

// [rand.predef]: the 10000th number of a default-constructed mt19937.
TEST(MersenneTwister, TenThousandthNumber) {
  MersenneTwister twister;
  twister.discard(9999);
  EXPECT_EQ(twister(), 4123659995U);
}

TEST(MersenneTwister, GivesTheNumbersOfTheStandardLibrary) {
  for (const std::uint32_t seed : {0U, 1U, 20240229U, 0xFFFFFFFFU}) {
    MersenneTwister twister(seed);
    std::mt19937 expected(seed);
    for (int k = 0; k < 5000; ++k) {
      ASSERT_EQ(twister(), expected()) << seed << ", number " << k;
    }
  }
}

TEST(MersenneTwister, GoesOnFromAState) {
  for (const unsigned before : {0U, 1U, 623U, 624U, 625U, 2000U}) {
    MersenneTwister twister(7);
    twister.discard(before);
    MersenneTwister other;
    EXPECT_FALSE(other == twister);
    other.set_state(twister.state());
    EXPECT_TRUE(other == twister);
    for (int k = 0; k < 1500; ++k) {
      ASSERT_EQ(other(), twister()) << before;
    }
  }
}

}  // namespace
}  // namespace mersenne_twister_test
