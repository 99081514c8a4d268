// SPDX-License-Identifier: MIT
//
// Counts what the benchmarked code allocates: operator new and malloc, the latter through the
// linker's --wrap (see CMakeLists.txt).
#pragma once

#include <cstdint>

namespace bench {

/// Bytes asked for since the program started, from all threads.
std::uint64_t allocated_bytes();

}  // namespace bench
