// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <atomic>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RECUR_TEST_COUNTS_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define RECUR_TEST_COUNTS_MALLOC 0
#endif
#endif
#ifndef RECUR_TEST_COUNTS_MALLOC
#ifdef __GLIBC__
#define RECUR_TEST_COUNTS_MALLOC 1
#else
#define RECUR_TEST_COUNTS_MALLOC 0
#endif
#endif

namespace {

std::atomic<std::size_t> count{0};

}  // namespace

#if RECUR_TEST_COUNTS_MALLOC
// glibc lets a program put its own functions in place of these and offers its own under other
// names.
extern "C" {

void* __libc_malloc(std::size_t size);                      // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t number, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t size);       // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment,
                      std::size_t size);  // NOLINT(bugprone-reserved-identifier)

void* malloc(std::size_t size) noexcept {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) noexcept {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(number, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  count.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}

}  // extern "C"
#endif

namespace recur::test {

bool can_count_allocations() { return RECUR_TEST_COUNTS_MALLOC != 0; }

std::size_t allocation_count() { return count.load(std::memory_order_relaxed); }

}  // namespace recur::test
