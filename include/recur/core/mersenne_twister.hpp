// SPDX-License-Identifier: MIT
//
// The Mersenne twister MT19937 (Matsumoto and Nishimura, 1998): the numbers of std::mt19937, with a
// state that can be read and set, and is the same with every standard library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI {

/// A std::uniform_random_bit_generator of 32 bits. With n = 624, m = 397 and all numbers of 32
/// bits,
///
///     y = the upper bit of x[k], the 31 lower ones of x[k+1]
///     x[k+n] = x[k+m] ^ (y >> 1) ^ (y odd ? 0x9908B0DF : 0)
///
/// and each x gives one number, its bits mixed once more. They are made n at a time.
class MersenneTwister {
 public:
  using result_type = std::uint32_t;
  static constexpr std::size_t size = 624;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  /// What decides all that comes: `size` numbers, and how many of them have been given out.
  struct State {
    std::array<std::uint32_t, size> x;
    std::size_t given;  ///< 0 … size
    bool operator==(const State&) const = default;
  };

  explicit MersenneTwister(std::uint32_t seed = 5489) {
    state_.x[0] = seed;
    for (std::size_t k = 1; k < size; ++k) {
      const std::uint32_t before = state_.x[k - 1];
      state_.x[k] = 1812433253U * (before ^ before >> 30) + static_cast<std::uint32_t>(k);
    }
    state_.given = size;
  }

  result_type operator()() {
    if (state_.given >= size) {
      make_next();
    }
    std::uint32_t y = state_.x[state_.given++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680U;
    y ^= y << 15 & 0xEFC60000U;
    return y ^ y >> 18;
  }

  void discard(unsigned long long count) {
    for (; count > 0; --count) {
      (*this)();
    }
  }

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

  bool operator==(const MersenneTwister&) const = default;

 private:
  static std::uint32_t twist(std::uint32_t upper, std::uint32_t lower) {
    const std::uint32_t y = (upper & 0x80000000U) | (lower & 0x7FFFFFFFU);
    return y >> 1 ^ (y % 2 == 1 ? 0x9908B0DFU : 0U);
  }

  void make_next() {
    constexpr std::size_t m = 397;
    auto& x = state_.x;
    std::size_t k = 0;
    for (; k < size - m; ++k) {
      x[k] = x[k + m] ^ twist(x[k], x[k + 1]);
    }
    for (; k < size - 1; ++k) {
      x[k] = x[k + m - size] ^ twist(x[k], x[k + 1]);
    }
    x[size - 1] = x[m - 1] ^ twist(x[size - 1], x[0]);
    state_.given = 0;
  }

  State state_;
};

}  // namespace recur::inline RECUR_ABI
