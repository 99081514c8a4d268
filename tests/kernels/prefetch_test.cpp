// SPDX-License-Identifier: MIT
//
// Fetching ahead has no result but time; what can go wrong is the address.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "recur/kernels/prefetch.hpp"

namespace {

namespace detail = recur::kernels::detail;

TEST(Prefetch, TakesAnyAddressAndChangesNothing) {
  const std::vector<float> before{1, 2, 3};
  std::vector<float> data = before;
  for (const void* address :
       {static_cast<const void*>(nullptr), static_cast<const void*>(data.data()),
        reinterpret_cast<const void*>(~std::uintptr_t{63})}) {
    detail::prefetch(address);
    detail::prefetch_for_later(address);
    detail::prefetch_to_change(address);
  }
  EXPECT_EQ(data, before);
}

}  // namespace
