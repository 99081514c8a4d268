// SPDX-License-Identifier: MIT
#include "recur/io/safetensors.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/safetensors_writer.hpp"

#include "support/compare.hpp"
#include "support/golden.hpp"
#include "support/temporary_folder.hpp"

namespace safetensors_test {
namespace {

using recur::Index;
using recur::SafetensorsWriter;
using recur::TensorFile;
using recur::test::TemporaryFolder;
using Bytes = std::vector<std::byte>;

// A file of this header and `data_size` bytes of data: 0, 1, 2, …
Bytes file_of(const std::string& header, std::size_t data_size) {
  const std::uint64_t length = header.size();
  Bytes bytes(sizeof(length) + header.size() + data_size);
  std::memcpy(bytes.data(), &length, sizeof(length));
  std::memcpy(bytes.data() + sizeof(length), header.data(), header.size());
  for (std::size_t k = 0; k < data_size; ++k) {
    bytes[sizeof(length) + header.size() + k] = static_cast<std::byte>(k);
  }
  return bytes;
}

TensorFile parse(const std::string& header, std::size_t data_size) {
  return recur::parse_safetensors(file_of(header, data_size), "test.safetensors");
}

SafetensorsWriter small_writer() {
  static const float a[] = {1.5F, -2.0F, 3.25F, 0.0F, -0.5F, 6.0F};
  static const double b[] = {1.0 / 3, 1e-300};
  SafetensorsWriter writer;
  writer.add("a", {2, 3}, a);
  writer.add("empty", {0, 3}, a);
  writer.add("b", {2}, b);
  writer.add("scalar", {}, b);
  writer.add_metadata("format", "pt");
  return writer;
}

TEST(Safetensors, WritesWhatItReads) {
  const auto file = recur::parse_safetensors(small_writer().bytes(), "small");
  EXPECT_EQ(file.name(), "small");
  EXPECT_EQ(file.names(),
            (std::vector<std::string>{"b", "scalar", "a", "empty"}));  // wider elements first
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensor("a").dtype, "F32");
  EXPECT_EQ(file.tensor("a").shape, (std::vector<Index>{2, 3}));
  EXPECT_EQ(file.tensor("a").size(), 6);
  EXPECT_EQ(file.tensor("b").dtype, "F64");
  EXPECT_EQ(file.tensor("scalar").shape, std::vector<Index>{});
  EXPECT_EQ(file.tensor("empty").size(), 0);
  EXPECT_TRUE(file.contains("a"));
  EXPECT_FALSE(file.contains("c"));

  const auto a = file.matrix<float>("a");
  EXPECT_EQ(a(1, 0), 0.0F);
  EXPECT_EQ(a(1, 2), 6.0F);
  EXPECT_EQ(file.vector<double>("b")[1], 1e-300);
  EXPECT_EQ(file.values<double>("scalar"), std::vector<double>{1.0 / 3});
  EXPECT_EQ(file.matrix<double>("empty").cols(), 3);
}

TEST(Safetensors, EmptyFile) {
  const auto file = recur::parse_safetensors(SafetensorsWriter().bytes(), "none");
  EXPECT_TRUE(file.names().empty());
  EXPECT_TRUE(file.metadata().empty());
}

TEST(Safetensors, TensorsOfAnyOrderAndUnalignedData) {
  // One byte of U8 before doubles: these begin at an odd address. The header lists them backwards.
  const std::string header =
      R"({"d":{"dtype":"F64","shape":[1,1,2],"data_offsets":[1,17]},"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} )";
  Bytes bytes = file_of(header, 17);
  const double values[] = {2.5, -1e100};
  std::memcpy(bytes.data() + bytes.size() - 16, values, 16);
  const auto file = recur::parse_safetensors(std::move(bytes), "odd");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"u", "d"}));
  const auto d = file.tensor3<double>("d");
  EXPECT_EQ(d(0, 0, 0), 2.5);
  EXPECT_EQ(d(0, 0, 1), -1e100);
  ASSERT_EQ(file.tensor("u").bytes.size(), 1U);
  EXPECT_EQ(file.tensor("u").bytes[0], std::byte{0});
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const Bytes whole = small_writer().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_ERROR(recur::parse_safetensors(part, "part"), "part: ");
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_ERROR(recur::parse_safetensors(longer, "longer"),
               "longer: expected 48 bytes of data, got 49");
}

TEST(Safetensors, EveryFlippedBitIsReadOrRefused) {
  const Bytes whole = small_writer().bytes();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = whole;
      changed[at] ^= static_cast<std::byte>(1 << bit);
      try {
        const auto file = recur::parse_safetensors(changed, "changed");
        for (const std::string& name : file.names()) {
          if (file.tensor(name).dtype[0] == 'F') {
            file.values<double>(name);
          }
        }
      } catch (const recur::Error&) {
      }
    }
  }
}

// Headers that must be refused: what is wrong, the header, bytes of data, part of the error text.
struct Hostile {
  const char* name;
  std::string header;
  std::size_t data;
  std::string error;
};

void PrintTo(const Hostile& hostile, std::ostream* stream) { *stream << hostile.name; }

std::vector<Hostile> hostile_headers() {
  // A header of one tensor "w": what follows the dtype F32.
  const auto with = [](const std::string& rest) { return R"({"w":{"dtype":"F32",)" + rest + "}}"; };
  const std::string good = R"("shape":[1],"data_offsets":[0,4])";
  const std::string entry = R"({"dtype":"F32",)" + good + "}";
  return {
      {"NoJson", "{hello}", 0, "not valid JSON"},
      {"Empty", "", 0, "begins with {"},
      {"LeadingSpace", " {}", 0, "begins with {"},
      {"Array", "[]", 0, "begins with {"},
      {"Unfinished", R"({"w":{"dtype":"F32")", 0, "not valid JSON"},
      {"TextBehind", "{} x", 0, "not valid JSON"},
      {"TwoObjects", "{}{}", 0, "not valid JSON"},
      {"ZeroByte", std::string("{}\0hidden", 9), 0, "zero byte in the header"},
      {"NotUtf8", "{\"\xff\":1}", 0, "not valid JSON"},
      {"HugeNumber", with(R"("shape":[1e999],"data_offsets":[0,4])"), 4, "not valid JSON"},
      {"DuplicateTensor", R"({"w":)" + entry + R"(,"w":)" + entry + "}", 4,
       R"(key "w" stands twice)"},
      {"DuplicateEscaped", R"({"w":)" + entry + R"(,"\u0077":)" + entry + "}", 4,
       R"(key "w" stands twice)"},
      {"DuplicateField", with(R"("shape":[2],)" + good), 4, R"(key "shape" stands twice)"},
      {"DuplicateMetadata", R"({"__metadata__":{"a":"1","a":"2"}})", 0, R"(key "a" stands twice)"},
      {"Deep", R"({"w":)" + std::string(100000, '[') + "}", 0, "nests deeper"},
      {"DeepShape", with(R"("shape":[[[1]]],"data_offsets":[0,4])"), 4, "nests deeper"},
      {"EntryIsNumber", R"({"w":3})", 0, "expected an object, got number"},
      {"EntryIsNull", R"({"w":null})", 0, "expected an object, got null"},
      {"NoDtype", R"({"w":{)" + good + "}}", 4, "expected a field dtype, got none"},
      {"NoShape", with(R"("data_offsets":[0,4])"), 4, "expected a field shape, got none"},
      {"NoOffsets", with(R"("shape":[1])"), 4, "expected a field data_offsets, got none"},
      {"ExtraField", with(good + R"(,"more":1)"), 4, "got 4 fields"},
      {"UnknownDtype", R"({"w":{"dtype":"F33",)" + good + "}}", 4, R"(unknown dtype "F33")"},
      {"EmptyDtype", R"({"w":{"dtype":"",)" + good + "}}", 4, R"(unknown dtype "")"},
      {"NumberDtype", R"({"w":{"dtype":32,)" + good + "}}", 4,
       "dtype: expected a string, got number"},
      {"ShapeIsNumber", with(R"("shape":1,"data_offsets":[0,4])"), 4,
       "shape: expected an array, got number"},
      {"NegativeShape", with(R"("shape":[-1],"data_offsets":[0,4])"), 4,
       "shape: expected a whole number from 0 on, got -1"},
      {"FractionShape", with(R"("shape":[1.5],"data_offsets":[0,4])"), 4,
       "shape: expected a whole number"},
      {"FloatShape", with(R"("shape":[1.0],"data_offsets":[0,4])"), 4,
       "shape: expected a whole number"},
      {"StringShape", with(R"("shape":["1"],"data_offsets":[0,4])"), 4,
       "shape: expected a whole number"},
      {"OverflowingShape", with(R"("shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0,
       "overflows"},
      {"OverflowingBytes", with(R"("shape":[4611686018427387904],"data_offsets":[0,0])"), 0,
       "overflows"},
      {"TooLargeBesideZero", with(R"("shape":[0,18446744073709551615],"data_offsets":[0,0])"), 0,
       "is too large"},
      {"BeyondUint64", with(R"("shape":[18446744073709551616],"data_offsets":[0,0])"), 0,
       "expected a whole number"},
      {"OneOffset", with(R"("shape":[1],"data_offsets":[0])"), 4,
       "expected an array of 2 numbers, got 1 elements"},
      {"ThreeOffsets", with(R"("shape":[1],"data_offsets":[0,4,8])"), 4, "got 3 elements"},
      {"OffsetsAreObject", with(R"("shape":[1],"data_offsets":{"a":0,"b":4})"), 4,
       "expected an array of 2 numbers, got object"},
      {"NegativeOffset", with(R"("shape":[1],"data_offsets":[-4,0])"), 4,
       "data_offsets: expected a whole number"},
      {"OffsetsFall", with(R"("shape":[1],"data_offsets":[4,0])"), 4, "offsets that rise"},
      {"OffsetsBeyond", with(R"("shape":[1],"data_offsets":[4,8])"), 4,
       "lie within the 4 bytes of data, got [4, 8]"},
      {"OffsetsFarBeyond", with(R"("shape":[1],"data_offsets":[0,18446744073709551615])"), 4,
       "lie within"},
      {"TooFewBytes", with(R"("shape":[2],"data_offsets":[0,4])"), 4,
       R"("w": F32 of shape (2,): expected 8 bytes, got 4)"},
      {"TooManyBytes", with(R"("shape":[1],"data_offsets":[0,8])"), 8, "expected 4 bytes, got 8"},
      {"HoleInFront", with(R"("shape":[1],"data_offsets":[4,8])"), 8,
       "bytes of no tensor before it"},
      {"HoleBehind", with(good), 8, "expected 4 bytes of data, got 8"},
      {"HoleBetween",
       R"({"v":)" + entry + R"(,"w":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 12,
       R"("w": expected data from byte 4 on, got 8 (bytes of no tensor before it))"},
      {"Overlap", R"({"v":)" + entry + R"(,"w":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6, "tensors overlap"},
      {"SameBytes", R"({"v":)" + entry + R"(,"w":)" + entry + "}", 4, "tensors overlap"},
      {"DataOfNoTensor", "{}", 1, "expected 0 bytes of data, got 1"},
      {"MetadataIsArray", R"({"__metadata__":[]})", 0,
       "__metadata__: expected an object, got array"},
      {"MetadataOfNumber", R"({"__metadata__":{"a":1}})", 0,
       R"(__metadata__: expected a string for "a", got number)"},
      {"ControlCharactersInName", R"({"\u001b[2J\n":3})", 0, R"("\u001b[2J\n")"},
  };
}

class SafetensorsHostile : public testing::TestWithParam<Hostile> {};

TEST_P(SafetensorsHostile, IsRefused) {
  const Hostile& hostile = GetParam();
  const std::string text = recur::test::error_of([&] { parse(hostile.header, hostile.data); });
  EXPECT_EQ(text.rfind("test.safetensors: ", 0), 0U) << text;
  EXPECT_NE(text.find(hostile.error), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Header, SafetensorsHostile, testing::ValuesIn(hostile_headers()),
                         [](const testing::TestParamInfo<Hostile>& hostile) {
                           return std::string(hostile.param.name);
                         });

TEST(Safetensors, HostileLengths) {
  for (const std::uint64_t length :
       {std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
    Bytes bytes = file_of("{}", 0);
    std::memcpy(bytes.data(), &length, sizeof(length));
    EXPECT_ERROR(recur::parse_safetensors(bytes, "long"),
                 "long: expected a header of at most 100000000 bytes");
  }
  Bytes bytes = file_of("{}", 0);
  const std::uint64_t length = 3;
  std::memcpy(bytes.data(), &length, sizeof(length));
  EXPECT_ERROR(recur::parse_safetensors(bytes, "cut"), "cut: expected a header of 3 bytes, got 2");
}

TEST(Safetensors, LoadNamesTheFile) {
  const TemporaryFolder folder;
  EXPECT_ERROR(recur::load_safetensors(folder / "none.safetensors"),
               "none.safetensors: cannot be opened: No such file");
  std::ofstream(folder / "empty.safetensors").close();
  EXPECT_ERROR(recur::load_safetensors(folder / "empty.safetensors"), "got 0 bytes in all");
}

TEST(Safetensors, ReadsFilesOfTheReferenceLayout) {
  for (const char* name : {"lstm", "gru", "rnn", "cells", "model"}) {
    EXPECT_FALSE(
        recur::load_safetensors(recur::test::golden_path(std::string(name) + ".safetensors"))
            .names()
            .empty());
  }
}

}  // namespace
}  // namespace safetensors_test
