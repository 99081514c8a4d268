// SPDX-License-Identifier: MIT
//
// Random numbers, drawn the way PyTorch's CPU generator draws them: the same seed gives the same
// initial weights and the same permutations as torch.manual_seed(seed) does.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <type_traits>
#include <utility>  // std::swap
#include <vector>

#include "recur/config.hpp"
#include "recur/core/mersenne_twister.hpp"

namespace recur::inline RECUR_ABI {

/// Mersenne twister with PyTorch's transformations (ATen/core/TransformationHelper.h).
///
///     recur::Generator generator(0);                       // torch.manual_seed(0)
///     recur::LSTM<float> lstm({.input_size = 28, .hidden_size = 10}, generator);
class Generator {
 public:
  /// PyTorch's default seed.
  static constexpr std::uint64_t default_seed = 67280421310721;

  explicit Generator(std::uint64_t seed = default_seed)
      : engine_(static_cast<std::uint32_t>(seed)) {}

  std::uint32_t next32() { return engine_(); }
  std::uint64_t next64() {
    const std::uint64_t high = next32();
    return high << 32 | next32();
  }

  /// Uniform in [from, to): 24 random bits for float, 53 for wider scalars.
  template <class Scalar>
  Scalar uniform(Scalar from, Scalar to) {
    if constexpr (std::is_same_v<Scalar, float>) {
      return static_cast<float>(next32() & 0xFFFFFFU) * 0x1p-24F * (to - from) + from;
    } else {
      const double unit = static_cast<double>(next64() & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
      return Scalar(unit) * (to - from) + from;
    }
  }

  /// Standard normal. Numbers come in pairs, of which the second one waits for the next call.
  double normal() {
    if (has_waiting_) {
      has_waiting_ = false;
      return waiting_;
    }
    const double angle = 2 * std::numbers::pi * uniform(0.0, 1.0);
    const double radius = std::sqrt(-2 * std::log1p(-uniform(0.0, 1.0)));
    waiting_ = radius * std::sin(angle);
    has_waiting_ = true;
    return radius * std::cos(angle);
  }

  /// Overwrites the elements, in memory order, with uniform numbers in [-bound, bound).
  template <class Derived>
  void fill_uniform(Eigen::PlainObjectBase<Derived>& array, double bound) {
    using Scalar = typename Derived::Scalar;
    for (Index k = 0; k < array.size(); ++k) {
      array.data()[k] = uniform(Scalar(-bound), Scalar(bound));
    }
  }

  /// Overwrites the elements, in memory order, with standard normal numbers: torch.normal_'s up to
  /// rounding (from 16 elements on, Box-Muller over blocks of 16).
  template <class Derived>
  void fill_normal(Eigen::PlainObjectBase<Derived>& array) {
    using Scalar = typename Derived::Scalar;
    const Index size = array.size();
    Scalar* data = array.data();
    if (size < 16) {
      for (Index k = 0; k < size; ++k) {
        data[k] = Scalar(normal());
      }
      return;
    }
    fill_unit(data, size);
    for (Index k = 0; k + 16 <= size; k += 16) {
      box_muller(data + k);
    }
    if (size % 16 != 0) {  // the last 16 are drawn anew, as PyTorch does
      fill_unit(data + size - 16, 16);
      box_muller(data + size - 16);
    }
  }

  /// A random order of 0 … count-1 (torch.randperm).
  std::vector<Index> permutation(Index count) {
    std::vector<Index> order(static_cast<std::size_t>(count));
    for (Index k = 0; k < count; ++k) {
      order[static_cast<std::size_t>(k)] = k;
    }
    for (Index k = 0; k + 1 < count; ++k) {
      const Index other = k + static_cast<Index>(next32() % static_cast<std::uint64_t>(count - k));
      std::swap(order[static_cast<std::size_t>(k)], order[static_cast<std::size_t>(other)]);
    }
    return order;
  }

  /// Everything that decides what comes: to be kept, and set when one goes on from there.
  struct State {
    MersenneTwister::State engine;
    bool has_waiting;
    double waiting;  ///< the next normal(), where has_waiting
    bool operator==(const State&) const = default;
  };
  State state() const { return {engine_.state(), has_waiting_, has_waiting_ ? waiting_ : 0}; }
  void set_state(const State& state) {
    engine_.set_state(state.engine);
    has_waiting_ = state.has_waiting;
    waiting_ = state.waiting;
  }

  MersenneTwister& engine() { return engine_; }
  const MersenneTwister& engine() const { return engine_; }

 private:
  template <class Scalar>
  void fill_unit(Scalar* data, Index count) {
    for (Index k = 0; k < count; ++k) {
      data[k] = uniform(Scalar(0), Scalar(1));
    }
  }

  // 16 uniform numbers become 16 normal ones: pairs (k, k + 8).
  template <class Scalar>
  static void box_muller(Scalar* data) {
    for (int k = 0; k < 8; ++k) {
      const Scalar radius = std::sqrt(Scalar(-2) * std::log(Scalar(1) - data[k]));
      const Scalar theta = Scalar(2 * std::numbers::pi) * data[k + 8];
      data[k] = radius * std::cos(theta);
      data[k + 8] = radius * std::sin(theta);
    }
  }

  MersenneTwister engine_;
  double waiting_ = 0;  // of normal()
  bool has_waiting_ = false;
};

/// The generator that modules made without one take their initial weights from: one a thread.
inline Generator& default_generator() {
  static thread_local Generator generator;
  return generator;
}

/// Starts this thread's default generator anew (torch.manual_seed).
inline void manual_seed(std::uint64_t seed) { default_generator() = Generator(seed); }

}  // namespace recur::inline RECUR_ABI
