// SPDX-License-Identifier: MIT
//
// Addresses in loops that keep all vector registers busy.
//
// Where a function has more addresses than general registers, GCC puts some into vector registers
// and takes them back when they are needed. From there they come behind everything that waits for
// the vector units: the first loads of a tile, behind the last hundred multiply-adds of the tile
// before. That cost a tile of 6 × 4 registers 130 cycles where it now costs 40 (AMD Zen 4), a
// twentieth of the weight gradients' time. So tiles are written for few addresses, and what the
// loop does not need is read again behind it.
#pragma once

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::kernels::detail {

/// The compiler computes `value`, a pointer or an Index, where this stands, into a general
/// register, and does not know any more what it is: it cannot compute it together with others in
/// advance.
template <class T>
RECUR_ALWAYS_INLINE void keep_in_general_register([[maybe_unused]] T& value) {
#if defined(__GNUC__)
  asm("" : "+r"(value));
#endif
}

}  // namespace recur::inline RECUR_ABI::kernels::detail
