// SPDX-License-Identifier: MIT
#include "recur/io/safetensors_writer.hpp"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/temporary_folder.hpp"

namespace safetensors_writer_test {
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
  EXPECT_ERROR(writer.add("a", {1}, &one), R"(SafetensorsWriter: "a": was added before)");
  EXPECT_ERROR(writer.add("__metadata__", {1}, &one),
               R"("__metadata__": a tensor must not have this name)");
  EXPECT_ERROR(writer.add("b", {-1}, &one),
               R"("b": expected sizes from 0 on, and bytes that can be counted, got (-1,))");
  constexpr recur::Index huge = std::numeric_limits<recur::Index>::max();
  EXPECT_ERROR(writer.add("b", {huge}, &one), "bytes that can be counted");
  EXPECT_ERROR(writer.refer("a", {1}, &one), R"("a": was added before)");
  EXPECT_ERROR(writer.add("b", {1}, &one, "I32"),
               R"("b": expected dtype F64, F32, F16 or BF16, got "I32")");
  const std::int32_t whole = 1;
  EXPECT_ERROR(writer.add("b", {1}, &whole, "F32"), R"("b": expected dtype I32, got "F32")");
  writer.add("\xff", {1}, &one);
  EXPECT_ERROR(writer.bytes(), "the header cannot be written");
}

TEST(SafetensorsWriter, WholeNumbersAndTruthValues) {
  const std::uint32_t numbers[] = {1, 0xFFFFFFFF};
  const std::int64_t negative = -5;
  const bool yes = true;
  SafetensorsWriter writer;
  writer.add("numbers", {2}, numbers);
  writer.add("negative", {}, &negative, "I64");
  writer.add("yes", {1}, &yes);
  const auto file = recur::parse_safetensors(writer.bytes(), "numbers");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"negative", "numbers", "yes"}));
  EXPECT_EQ(file.tensor("numbers").dtype, "U32");
  EXPECT_EQ(file.tensor("yes").dtype, "BOOL");
  EXPECT_EQ(file.tensor("yes").bytes[0], std::byte{1});
  std::int64_t read = 0;
  std::memcpy(&read, file.tensor("negative").bytes.data(), sizeof(read));
  EXPECT_EQ(read, negative);
}

// More elements than are converted at a time.
TEST(SafetensorsWriter, ConvertsLongTensors) {
  std::vector<double> values;
  for (int k = 0; k < 100003; ++k) {
    values.push_back(0.5 * (k % 1000));
  }
  for (const char* dtype : {"F64", "F32", "F16"}) {
    SafetensorsWriter writer;
    writer.add("copied", {100003}, values.data(), dtype);
    writer.refer("referred", {100003, 1}, values.data(), dtype);
    const auto file = recur::parse_safetensors(writer.bytes(), "long");
    EXPECT_EQ(file.tensor("copied").dtype, dtype);
    EXPECT_EQ(file.values<double>("copied"), values);
    EXPECT_EQ(file.values<double>("referred"), values);
  }
}

TEST(SafetensorsWriter, RefersToWhatStandsInMemoryWhenItIsWritten) {
  float value = 1;
  SafetensorsWriter writer;
  writer.add("copied", {1}, &value);
  writer.refer("referred", {1}, &value);
  value = 2;
  const auto file = recur::parse_safetensors(writer.bytes(), "two");
  EXPECT_EQ(file.vector<float>("copied")[0], 1.0F);
  EXPECT_EQ(file.vector<float>("referred")[0], 2.0F);
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
}  // namespace safetensors_writer_test
