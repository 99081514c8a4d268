// SPDX-License-Identifier: MIT
#include "recur/io/safetensors_writer.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/temporary_folder.hpp"

namespace {

using recur::SafetensorsWriter;
using recur::TensorFile;

SafetensorsWriter small_writer() {
  static const float a[] = {1.5F, -2.0F, 3.25F};
  static const double b[] = {1.0 / 3, 1e-300};
  SafetensorsWriter writer;
  writer.add("a", {1, 3}, a);
  writer.add("b", {2}, b);
  writer.add_metadata("format", "pt");
  return writer;
}

TEST(SafetensorsWriter, HeaderIsPaddedSoThatTheDataIsAligned) {
  const std::vector<std::byte> bytes = small_writer().bytes();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  EXPECT_EQ(length % 8, 0U);
  const std::string header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  EXPECT_EQ(header.substr(0, 33), R"({"__metadata__":{"format":"pt"},")");
  EXPECT_EQ(header.substr(header.find_last_not_of(' ')),
            "}" + std::string(length - 1 - header.find_last_not_of(' '), ' '));
}

TEST(SafetensorsWriter, RefusesWhatCannotBeRead) {
  const float one = 1;
  SafetensorsWriter writer;
  writer.add("a", {1}, &one);
  EXPECT_ERROR(writer.add("a", {1}, &one), R"(tensor "a" was added before)");
  EXPECT_ERROR(writer.add("__metadata__", {1}, &one), "must not be named __metadata__");
  EXPECT_ERROR(writer.add("b", {-1}, &one), "must not be negative, got (-1,)");
  writer.add("\xff", {1}, &one);
  EXPECT_ERROR(writer.bytes(), "the header cannot be written");
}

TEST(SafetensorsWriter, SavesWhatBytesHolds) {
  const recur::test::TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  for (int round = 0; round < 2; ++round) {  // the second replaces the first
    small_writer().save(path);
    const auto file = recur::load_safetensors(path);
    EXPECT_EQ(file.names(), (std::vector<std::string>{"b", "a"}));  // wider elements first
    EXPECT_EQ(file.matrix<float>("a")(0, 2), 3.25F);
    EXPECT_EQ(folder.count(), 1U);
  }
}

}  // namespace
