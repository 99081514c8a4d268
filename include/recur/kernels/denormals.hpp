// SPDX-License-Identifier: MIT
//
// Denormal numbers, below 1.2e-38 in float: a state that decays over thousands of steps ends among
// them, and many processors compute with them a hundred times as slowly. Inside the library's own
// loops they are taken for zeros and made zeros; outside, the caller's setting is in force again.
#pragma once

#include <atomic>
#include <cstdint>

#include "recur/config.hpp"

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace recur::inline RECUR_ABI {

namespace kernels::detail {

inline std::atomic<bool> flush_denormal{true};

#if defined(__SSE__) || defined(_M_X64)
using FloatControl = std::uint32_t;
inline constexpr FloatControl flush_bits = 0x8040;  // FTZ: results; DAZ: operands
RECUR_ALWAYS_INLINE FloatControl float_control() { return _mm_getcsr(); }
// In one place: with several, by where the loader put the program, a sample of an LSTM of 16 units
// took 55 ns or 93 (AMD Zen 5, 8 of 24 starts; so 64 of 64 take 54), as if the processor foresaw
// the value by the address of the instruction.
RECUR_NEVER_INLINE void set_float_control(FloatControl control) { _mm_setcsr(control); }
#elif defined(__aarch64__) && defined(__GNUC__)
using FloatControl = std::uint64_t;
inline constexpr FloatControl flush_bits = std::uint64_t{1} << 24;  // FPCR.FZ
RECUR_ALWAYS_INLINE FloatControl float_control() {
  FloatControl control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
}
RECUR_ALWAYS_INLINE void set_float_control(FloatControl control) {
  asm volatile("msr fpcr, %0" : : "r"(control));
}
#else
using FloatControl = std::uint32_t;
inline constexpr FloatControl flush_bits = 0;
RECUR_ALWAYS_INLINE FloatControl float_control() { return 0; }
RECUR_ALWAYS_INLINE void set_float_control(FloatControl) {}
#endif

}  // namespace kernels::detail

/// Whether recur's layers, cells and Linear take denormal numbers for zeros (true at the start), in
/// all threads. PyTorch's torch.set_flush_denormal is false at the start: to get its numbers below
/// 1.2e-38 (float) or 2.2e-308 (double) too, call this with false. Returns false where the
/// processor cannot (then they are never flushed).
inline bool set_flush_denormal(bool flush) {
  kernels::detail::flush_denormal.store(flush, std::memory_order_relaxed);
  return kernels::detail::flush_bits != 0;
}

namespace kernels {

/// While it lives, this thread flushes denormals, unless set_flush_denormal(false) was called.
class FlushDenormals {
 public:
  FlushDenormals() : before_(detail::float_control()) {
    changed_ = detail::flush_denormal.load(std::memory_order_relaxed) &&
               (before_ & detail::flush_bits) != detail::flush_bits;
    if (changed_) {
      detail::set_float_control(before_ | detail::flush_bits);
    }
  }
  ~FlushDenormals() {
    if (changed_) {
      detail::set_float_control(before_);
    }
  }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  detail::FloatControl before_;
  bool changed_;
};

}  // namespace kernels
}  // namespace recur::inline RECUR_ABI
