// SPDX-License-Identifier: MIT
//
// The bytes are those that Python's pickletools.py defines: numbers little-endian, texts behind
// their length, the names of GLOBAL as lines.
#include "recur/io/pickle_bytes.hpp"

#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace pickle_bytes_test {
namespace {

using recur::detail::PickleBytes;
using recur::test::bytes_of_text;
using recur::test::text_of_bytes;

PickleBytes reader(const std::string& text) { return {bytes_of_text(text), "test.pkl"}; }

TEST(PickleBytes, OneInstructionAfterAnother) {
  const std::string text = "\x80\x02N.";
  PickleBytes bytes = reader(text);
  EXPECT_EQ(bytes.size(), 4U);
  EXPECT_FALSE(bytes.at_end());
  EXPECT_EQ(bytes.instruction(), 0x80);
  EXPECT_EQ(bytes.number<std::uint8_t>(), 2);
  EXPECT_EQ(bytes.instruction(), 'N');
  EXPECT_FALSE(bytes.at_end());
  EXPECT_EQ(bytes.instruction(), '.');
  EXPECT_TRUE(bytes.at_end());
  EXPECT_EQ(bytes.size(), 4U);  // of all of them
}

// uint1, uint2, int4, uint4 and uint8 of pickletools.py, with the examples in their texts.
TEST(PickleBytes, NumbersAreLittleEndian) {
  const std::string text(
      "\xff"
      "\xff\x00"
      "\xff\xff"
      "\xff\x00\x00\x00"
      "\x00\x00\x00\x80"
      "\xff\x00\x00\x00"
      "\x00\x00\x00\x80"
      "\xff\x00\x00\x00\x00\x00\x00\x00"
      "\xff\xff\xff\xff\xff\xff\xff\xff",
      1 + 2 + 2 + 4 + 4 + 4 + 4 + 8 + 8);
  PickleBytes bytes = reader(text);
  EXPECT_EQ(bytes.number<std::uint8_t>(), 255);
  EXPECT_EQ(bytes.number<std::uint16_t>(), 255);
  EXPECT_EQ(bytes.number<std::uint16_t>(), 65535);
  EXPECT_EQ(bytes.number<std::int32_t>(), 255);
  EXPECT_EQ(bytes.number<std::int32_t>(), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(bytes.number<std::uint32_t>(), 255U);
  EXPECT_EQ(bytes.number<std::uint32_t>(), std::uint32_t{1} << 31);
  EXPECT_EQ(bytes.number<std::uint64_t>(), 255U);
  EXPECT_EQ(bytes.number<std::uint64_t>(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_TRUE(bytes.at_end());
}

TEST(PickleBytes, TextAndBytesOfALength) {
  const std::string text("Xab\0\nc", 6);
  PickleBytes bytes = reader(text);
  EXPECT_EQ(bytes.instruction(), 'X');
  EXPECT_EQ(bytes.text(0), "");
  EXPECT_EQ(bytes.text(4), std::string("ab\0\n", 4));  // whatever stands in it
  EXPECT_EQ(text_of_bytes(bytes.take(1)), "c");
  EXPECT_EQ(bytes.take(0).size(), 0U);
  EXPECT_TRUE(bytes.at_end());
}

TEST(PickleBytes, TextStaysWhereItIs) {
  const std::string text = "abline\n";
  PickleBytes bytes = reader(text);
  EXPECT_EQ(bytes.text(2).data(), text.data());
  EXPECT_EQ(bytes.line().data(), text.data() + 2);
}

TEST(PickleBytes, Lines) {
  const std::string text = "ctorch._utils\n_rebuild_tensor_v2\n\nrest";
  PickleBytes bytes = reader(text);
  EXPECT_EQ(bytes.instruction(), 'c');
  EXPECT_EQ(bytes.line(), "torch._utils");
  EXPECT_EQ(bytes.line(), "_rebuild_tensor_v2");
  EXPECT_EQ(bytes.line(), "");
  EXPECT_ERROR(bytes.line(), "test.pkl: byte 0: expected a line, got the end");
  EXPECT_EQ(bytes.text(4), "rest");
}

TEST(PickleBytes, ErrorsSayWhereTheInstructionBegan) {
  const std::string text = "NJ\1\2";
  PickleBytes bytes = reader(text);
  EXPECT_ERROR(bytes.fail_here("before ", 1), "test.pkl: byte 0: before 1");
  bytes.instruction();
  bytes.instruction();
  const std::string error = recur::test::error_of([&] { bytes.number<std::int32_t>(); });
  EXPECT_EQ(error, "test.pkl: byte 1: expected 4 bytes more, got 2");
  EXPECT_EQ(bytes.number<std::uint16_t>(), 0x0201);  // an error takes nothing
  EXPECT_EQ(recur::test::error_of([&] { bytes.instruction(); }),
            "test.pkl: byte 4: expected another instruction, got the end");
  EXPECT_NO_THROW(bytes.require(true, "nothing"));
  EXPECT_ERROR(bytes.require(false, "expected ", "more"), "test.pkl: byte 4: expected more");
}

TEST(PickleBytes, NoBytesAtAll) {
  PickleBytes bytes({}, "test.pkl");
  EXPECT_EQ(bytes.size(), 0U);
  EXPECT_TRUE(bytes.at_end());
  EXPECT_EQ(bytes.text(0), "");
  EXPECT_ERROR(bytes.instruction(), "test.pkl: byte 0: expected another instruction, got the end");
  EXPECT_ERROR(bytes.line(), "expected a line, got the end");
  EXPECT_ERROR(bytes.take(1), "expected 1 bytes more, got 0");
}

TEST(PickleBytes, LengthsPastTheEnd) {
  const std::string text = "Xabc";
  PickleBytes bytes = reader(text);
  bytes.instruction();
  EXPECT_ERROR(bytes.text(4), "test.pkl: byte 0: expected 4 bytes more, got 3");
  EXPECT_ERROR(bytes.take(std::uint64_t{1} << 32), "expected 4294967296 bytes more, got 3");
  EXPECT_ERROR(bytes.take(~std::uint64_t{0}), "expected 18446744073709551615 bytes more, got 3");
  EXPECT_EQ(bytes.text(3), "abc");
}

}  // namespace
}  // namespace pickle_bytes_test
