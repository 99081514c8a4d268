// SPDX-License-Identifier: MIT
#include "recur/io/inflate.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace inflate_test {
namespace {

using recur::detail::inflate;
using recur::test::bytes_of_text;
using recur::test::text_of_bytes;

// zlib.compressobj(9, zlib.DEFLATED, -15) of Python on b"recur " * 50.
const std::string packed("\053\112\115\056\055\122\050\032\045\211\040\001", 12);

#ifdef RECUR_HAS_ZLIB
std::string expected() {
  std::string text;
  for (int k = 0; k < 50; ++k) {
    text += "recur ";
  }
  return text;
}

TEST(Inflate, UnpacksWhatZlibPacked) {
  EXPECT_EQ(text_of_bytes(inflate(bytes_of_text(packed), 300, "file")), expected());
}

TEST(Inflate, OtherSizesThanAnnounced) {
  EXPECT_ERROR(inflate(bytes_of_text(packed), 299, "file"), "file: expected 299 bytes, got more");
  EXPECT_ERROR(inflate(bytes_of_text(packed), 0, "file"), "file: expected 0 bytes, got more");
  EXPECT_ERROR(inflate(bytes_of_text(packed), 301, "file"), "file: expected 301 bytes, got 300");
  EXPECT_ERROR(inflate(bytes_of_text(packed), 10'000'000'000, "file"), "expected at most");
  EXPECT_ERROR(inflate(bytes_of_text(packed + "x"), 300, "file"), "deflated bytes, got");
}

TEST(Inflate, EveryPrefixIsAnError) {
  for (std::size_t size = 0; size < packed.size(); ++size) {
    EXPECT_ERROR(inflate(bytes_of_text(packed).first(size), 300, "file"), "file: ");
  }
  EXPECT_ERROR(inflate(bytes_of_text("\xff\xff\xff"), 300, "file"), "invalid");
}
#else
TEST(Inflate, WithoutZlibAnErrorSaysSo) {
  EXPECT_ERROR(inflate(bytes_of_text(packed), 300, "file"), "file: is deflated");
}
#endif

}  // namespace
}  // namespace inflate_test
