// SPDX-License-Identifier: MIT
#include "recur/io/zip_writer.hpp"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace zip_writer_test {
namespace {

using recur::ZipWriter;
using recur::test::bytes_of_text;
using recur::test::raw;
using recur::test::text_of_bytes;

// Byte for byte, from the specification.
TEST(ZipWriter, Bytes) {
  ZipWriter zip;
  zip.add("a", bytes_of_text("xyz"));
  const std::uint16_t zero = 0;
  const std::uint16_t version = 45;
  const std::uint32_t none = 0xFFFFFFFF;
  const std::uint64_t size = 3;
  const std::string common = raw(version, std::uint16_t{0x0800}, zero, zero, std::uint16_t{0x0021},
                                 0xEB8EBA67U, none, none, std::uint16_t{1});
  const std::string entry = "PK\3\4" + common + raw(std::uint16_t{20}) + "a" +
                            raw(std::uint16_t{1}, std::uint16_t{16}, size, size) + "xyz";
  const std::string directory =
      "PK\1\2" + raw(version) + common +
      raw(std::uint16_t{28}, zero, zero, zero, std::uint32_t{0}, none) + "a" +
      raw(std::uint16_t{1}, std::uint16_t{24}, size, size, std::uint64_t{0});
  const std::string end =
      "PK\6\6" +
      raw(std::uint64_t{44}, version, version, std::uint32_t{0}, std::uint32_t{0}, std::uint64_t{1},
          std::uint64_t{1}, std::uint64_t{directory.size()}, std::uint64_t{entry.size()}) +
      "PK\6\7" +
      raw(std::uint32_t{0}, std::uint64_t{entry.size() + directory.size()}, std::uint32_t{1}) +
      "PK\5\6" + raw(std::uint32_t{0}, none, none, none, zero);
  EXPECT_EQ(text_of_bytes(zip.bytes()), entry + directory + end);
}

TEST(ZipWriter, Errors) {
  ZipWriter zip;
  zip.add("a", {});
  EXPECT_ERROR(zip.add("a", {}), "ZipWriter: entry \"a\" was added before");
  EXPECT_ERROR(zip.add("", {}), "a name of 1 to 65535 bytes, got 0");
  EXPECT_ERROR(zip.add(std::string(70000, 'a'), {}), "got 70000");
}

}  // namespace
}  // namespace zip_writer_test
