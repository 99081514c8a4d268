// SPDX-License-Identifier: MIT
//
// Fetching ahead has no result but time; what can go wrong is the address.
#include "recur/kernels/prefetch.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace prefetch_test {
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

// Whatever their number is, the tiles fetch a line for each row and, together, all of a panel that
// is not larger than so many lines; each begins where the one before it ends.
TEST(Prefetch, TilesShareThePanel) {
  using recur::Index;
  using recur::kernels::native_width;
  const std::vector<float> panel(1);
  constexpr Index K = 100;
  for (const Index tiles : {1, 2, 3, 4, 11, 16}) {
    for (const Index width : {Index(native_width<float>), Index(4 * native_width<float>)}) {
      const auto ahead = detail::panel_ahead(tiles, K, width, panel.data());
      EXPECT_EQ(ahead.data, panel.data());
      EXPECT_EQ(ahead.tile_step, K * ahead.step);
      EXPECT_LE(ahead.step, native_width<float>);
      EXPECT_GE(tiles * ahead.tile_step, std::min(K * width, tiles * K * native_width<float>));
      EXPECT_LT(tiles * ahead.step, width + tiles) << tiles << ' ' << width;
    }
  }
  const float* none = nullptr;
  EXPECT_EQ(detail::panel_ahead(2, K, 64, none).step, 0);
}

}  // namespace
}  // namespace prefetch_test
