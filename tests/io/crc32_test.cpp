// SPDX-License-Identifier: MIT
#include "recur/io/crc32.hpp"

#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace crc32_test {
namespace {

using recur::detail::crc32;
using recur::test::bytes_of_text;

// The check value of CRC-32/ISO-HDLC, and zlib.crc32 of Python.
TEST(Crc32, KnownValues) {
  EXPECT_EQ(crc32({}), 0U);
  EXPECT_EQ(crc32(bytes_of_text("123456789")), 0xCBF43926U);
  EXPECT_EQ(crc32(bytes_of_text("The quick brown fox jumps over the lazy dog")), 0x414FA339U);
  EXPECT_EQ(crc32(bytes_of_text(std::string(1000, '\xff'))), 0xE0533230U);
}

// Byte by byte, of every length and alignment: the definition.
TEST(Crc32, EveryLengthAndAlignment) {
  std::string text;
  for (int k = 0; k < 64; ++k) {
    text += static_cast<char>(k * 37 + 11);
  }
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= text.size(); ++size) {
      const std::string part = text.substr(begin, size);
      std::uint32_t expected = 0xFFFFFFFFU;
      for (const char c : part) {
        expected ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) {
          expected = (expected >> 1) ^ ((expected & 1U) != 0 ? 0xEDB88320U : 0U);
        }
      }
      EXPECT_EQ(crc32(bytes_of_text(text).subspan(begin, size)), ~expected) << begin << " " << size;
    }
  }
}

}  // namespace
}  // namespace crc32_test
