// SPDX-License-Identifier: MIT
#include "recur/kernels/cache.hpp"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace cache_test {
namespace {

// Linux says the same in a file ("1024K"), where it says anything.
TEST(Cache, SecondLevelIsAsLargeAsLinuxSays) {
  const long bytes = recur::kernels::second_level_bytes();
  EXPECT_GE(bytes, 0);
  const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index2/";
  std::string level;
  std::string size;
  std::ifstream(folder + "level") >> level;
  std::ifstream(folder + "size") >> size;
  if (bytes == 0 || level != "2" || size.empty()) {
    GTEST_SKIP() << "the system does not say";
  }
  EXPECT_EQ(std::to_string(bytes / 1024) + "K", size);
}

}  // namespace
}  // namespace cache_test
