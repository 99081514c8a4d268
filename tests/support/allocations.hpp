// SPDX-License-Identifier: MIT
//
// Counts what the whole program allocates: operator new, Eigen and C alike.
#pragma once

#include <cstddef>

namespace recur::test {

/// False where malloc cannot be counted: without glibc, or under a sanitizer that has its own.
bool can_count_allocations();

/// Calls of malloc and its kin so far, by all threads.
std::size_t allocation_count();

/// Bytes allocated at the moment, and the most there have been since the last restart.
std::size_t allocated_bytes();
std::size_t most_allocated_bytes();
void restart_most_allocated_bytes();

/// The most bytes that f() has at a time.
template <class F>
std::size_t peak_bytes_of(F&& f) {
  restart_most_allocated_bytes();
  const std::size_t before = allocated_bytes();
  f();
  return most_allocated_bytes() - before;
}

/// Allocations that f() makes.
template <class F>
std::size_t allocations_of(F&& f) {
  const std::size_t before = allocation_count();
  f();
  return allocation_count() - before;
}

}  // namespace recur::test
