// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <atomic>
#include <cerrno>
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
std::atomic<std::size_t> bytes{0};
std::atomic<std::size_t> most_bytes{0};

}  // namespace

#if RECUR_TEST_COUNTS_MALLOC
#include <malloc.h>

namespace {

void* counted(void* memory) {
  count.fetch_add(1, std::memory_order_relaxed);
  const std::size_t size = malloc_usable_size(memory);
  const std::size_t now = bytes.fetch_add(size, std::memory_order_relaxed) + size;
  std::size_t most = most_bytes.load(std::memory_order_relaxed);
  while (now > most && !most_bytes.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
  return memory;
}
void released(void* memory) {
  bytes.fetch_sub(malloc_usable_size(memory), std::memory_order_relaxed);
}

}  // namespace

// glibc lets a program put its own functions in place of these and offers its own under other
// names.
extern "C" {

void* __libc_malloc(std::size_t size);                      // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t number, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t size);       // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment,
                      std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void __libc_free(void* memory);           // NOLINT(bugprone-reserved-identifier)

void* malloc(std::size_t size) noexcept { return counted(__libc_malloc(size)); }
void* calloc(std::size_t number, std::size_t size) noexcept {
  return counted(__libc_calloc(number, size));
}
void* realloc(void* memory, std::size_t size) noexcept {
  released(memory);
  return counted(__libc_realloc(memory, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return counted(__libc_memalign(alignment, size));
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return counted(__libc_memalign(alignment, size));
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  *memory = counted(__libc_memalign(alignment, size));
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) noexcept {
  released(memory);
  __libc_free(memory);
}

}  // extern "C"
#endif

namespace recur::test {

bool can_count_allocations() { return RECUR_TEST_COUNTS_MALLOC != 0; }

std::size_t allocated_bytes() { return bytes.load(std::memory_order_relaxed); }
std::size_t most_allocated_bytes() { return most_bytes.load(std::memory_order_relaxed); }
void restart_most_allocated_bytes() { most_bytes.store(bytes.load()); }

std::size_t allocation_count() { return count.load(std::memory_order_relaxed); }

}  // namespace recur::test
