// SPDX-License-Identifier: MIT
#include "recur/io/strided.hpp"

#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace strided_test {
namespace {

using recur::Index;
using recur::test::bytes_of_text;
using recur::test::text_of_bytes;

std::string gather(const std::string& from, const std::vector<Index>& shape,
                   const std::vector<Index>& strides, std::size_t element = 1) {
  std::size_t bytes = element;
  for (const Index size : shape) {
    bytes *= static_cast<std::size_t>(size);
  }
  return text_of_bytes(recur::detail::gather(bytes_of_text(from), shape, strides, element, bytes));
}

TEST(Strided, Orders) {
  EXPECT_EQ(gather("abcdef", {2, 3}, {3, 1}), "abcdef");
  EXPECT_EQ(gather("abcdef", {3, 2}, {1, 3}), "adbecf");
  EXPECT_EQ(gather("abcdef", {2, 2}, {3, 2}), "acdf");
  EXPECT_EQ(gather("abcdef", {3, 2}, {0, 1}), "ababab");
  EXPECT_EQ(gather("abcdefgh", {2, 2, 2}, {1, 2, 4}), "aecgbfdh");
  EXPECT_EQ(gather("abcdefgh", {2, 2}, {1, 2}, 2), "abefcdgh");
  EXPECT_EQ(gather("abc", {}, {}), "a");
}

TEST(Strided, StridesOfOneElementDoNotCount) {
  const Index huge = std::numeric_limits<Index>::max();
  EXPECT_EQ(gather("abc", {1, 3, 1}, {huge, 1, huge}), "abc");
}

}  // namespace
}  // namespace strided_test
