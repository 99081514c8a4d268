// SPDX-License-Identifier: MIT
#include "allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::uint64_t> bytes{0};
}

std::uint64_t bench::allocated_bytes() { return bytes.load(std::memory_order_relaxed); }

extern "C" {
void* __real_malloc(std::size_t size);
void* __wrap_malloc(std::size_t size) {
  bytes.fetch_add(size, std::memory_order_relaxed);
  return __real_malloc(size);
}
}

void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size)) {  // counted there
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
