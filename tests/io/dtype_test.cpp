// SPDX-License-Identifier: MIT
#include "recur/io/dtype.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dtype_test {
namespace {

using recur::Index;
using Bytes = std::vector<std::byte>;

template <class Scalar>
Bytes encoded(const std::string& dtype, const std::vector<Scalar>& values) {
  Bytes bytes(values.size() * recur::dtype_size(dtype));
  recur::detail::encode_elements(dtype, std::span<const Scalar>(values), bytes.data());
  return bytes;
}

template <class Scalar>
std::vector<Scalar> decoded(const std::string& dtype, std::span<const std::byte> bytes) {
  std::vector<Scalar> values(bytes.size() / recur::dtype_size(dtype));
  recur::detail::decode_elements(dtype, bytes, values.data());
  return values;
}

TEST(Dtype, SizesOfSafetensors) {
  for (const char* name : {"F64", "I64", "U64", "C64"}) {
    EXPECT_EQ(recur::dtype_size(name), 8U) << name;
  }
  for (const char* name : {"F32", "I32", "U32"}) {
    EXPECT_EQ(recur::dtype_size(name), 4U) << name;
  }
  for (const char* name : {"F16", "BF16", "I16", "U16"}) {
    EXPECT_EQ(recur::dtype_size(name), 2U) << name;
  }
  for (const char* name : {"I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    EXPECT_EQ(recur::dtype_size(name), 1U) << name;
  }
  for (const char* name : {"", "F", "f32", "F33", "F321", "float32"}) {
    EXPECT_EQ(recur::dtype_size(name), 0U) << name;
  }
}

TEST(Dtype, FloatingOnesAreNumbersOfTheLibrary) {
  for (const char* name : {"F64", "F32", "F16", "BF16"}) {
    EXPECT_TRUE(recur::is_floating_dtype(name)) << name;
  }
  for (const char* name : {"I64", "BOOL", "C64", "F8_E4M3", ""}) {
    EXPECT_FALSE(recur::is_floating_dtype(name)) << name;
  }
}

TEST(Dtype, OfTypes) {
  EXPECT_STREQ(recur::dtype_of<float>(), "F32");
  EXPECT_STREQ(recur::dtype_of<double>(), "F64");
  EXPECT_STREQ(recur::dtype_of<bool>(), "BOOL");
  EXPECT_STREQ(recur::dtype_of<std::int8_t>(), "I8");
  EXPECT_STREQ(recur::dtype_of<std::uint16_t>(), "U16");
  EXPECT_STREQ(recur::dtype_of<std::int32_t>(), "I32");
  EXPECT_STREQ(recur::dtype_of<std::uint64_t>(), "U64");
}

TEST(Dtype, ByteCountsDoNotOverflow) {
  using recur::detail::byte_count;
  constexpr Index largest = std::numeric_limits<Index>::max();
  EXPECT_EQ(byte_count({}, 4), 4U);
  EXPECT_EQ(byte_count({2, 3}, 4), 24U);
  EXPECT_EQ(byte_count({2, 0, 3}, 8), 0U);
  EXPECT_EQ(byte_count({largest}, 1), static_cast<std::uint64_t>(largest));
  EXPECT_EQ(byte_count({largest}, 2), std::nullopt);
  EXPECT_EQ(byte_count({Index{1} << 32, Index{1} << 32}, 1), std::nullopt);
  EXPECT_EQ(byte_count({0, Index{1} << 32, Index{1} << 32}, 1), std::nullopt);
  EXPECT_EQ(byte_count({3, -1}, 1), std::nullopt);
}

// The values by the definition of the formats, IEEE 754-2019, 3.4.
TEST(Dtype, DecodesHalfAndBrainFloat) {
  const std::vector<std::uint16_t> half{0x0000, 0x8000, 0x3C00, 0xC000, 0x3555, 0x7BFF,
                                        0x0001, 0x83FF, 0x0400, 0x7C00, 0xFC00, 0x7E01};
  const auto values = decoded<float>("F16", std::as_bytes(std::span(half)));
  const std::vector<float> expected{0.0F,     -0.0F,    1.0F,          -2.0F,   0x1.554p-2F,
                                    65504.0F, 0x1p-24F, -0x1.ff8p-15F, 0x1p-14F};
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_EQ(values[k], expected[k]) << k;
    EXPECT_EQ(std::signbit(values[k]), std::signbit(expected[k])) << k;
  }
  EXPECT_EQ(values[9], std::numeric_limits<float>::infinity());
  EXPECT_EQ(values[10], -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(values[11]));

  const std::vector<std::uint16_t> brain{0x3F80, 0xC049, 0x0001, 0x7F80, 0xFFC0};
  const auto numbers = decoded<double>("BF16", std::as_bytes(std::span(brain)));
  EXPECT_EQ(numbers[0], 1.0);
  EXPECT_EQ(numbers[1], -3.140625);
  EXPECT_EQ(numbers[2], 0x1p-133);
  EXPECT_EQ(numbers[3], std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(numbers[4]));
}

TEST(Dtype, EncodesWhatItDecodes) {
  const std::vector<double> values{0, -0.0, 1, -2.5, 0x1p-14, 0x1p-24, 65504};
  for (const char* dtype : {"F64", "F32", "F16"}) {
    EXPECT_EQ(decoded<double>(dtype, encoded(dtype, values)), values) << dtype;
  }
  const std::vector<float> floats{0, -0.0F, 1, -2.5F, 0x1p-133F, 0x1.fep127F};
  for (const char* dtype : {"F64", "F32", "BF16"}) {
    EXPECT_EQ(decoded<float>(dtype, encoded(dtype, floats)), floats) << dtype;
  }
}

TEST(Dtype, RoundsToTheNarrowerOne) {
  EXPECT_EQ(decoded<float>("F64", encoded<double>("F64", {1.0 / 3}))[0], 1.0F / 3);
  EXPECT_EQ(decoded<double>("F32", encoded<double>("F32", {1.0 / 3}))[0],
            static_cast<double>(1.0F / 3));
  EXPECT_EQ(decoded<double>("F16", encoded<float>("F16", {1.0F / 3}))[0], 0x1.554p-2);
  EXPECT_EQ(decoded<double>("BF16", encoded<float>("BF16", {1.0F / 3}))[0], 0x1.56p-2);
}

TEST(Dtype, ElementsNeedNotBeAligned) {
  for (const char* dtype : {"F64", "F32", "F16", "BF16"}) {
    const std::vector<float> values{1.5F, -3, 0.25F};
    Bytes bytes(1);
    const Bytes elements = encoded(dtype, values);
    bytes.insert(bytes.end(), elements.begin(), elements.end());
    EXPECT_EQ(decoded<float>(dtype, std::span(bytes).subspan(1)), values) << dtype;
    EXPECT_EQ(decoded<double>(dtype, std::span(bytes).subspan(1)),
              std::vector<double>(values.begin(), values.end()))
        << dtype;
  }
}

}  // namespace
}  // namespace dtype_test
