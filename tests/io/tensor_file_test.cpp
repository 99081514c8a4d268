// SPDX-License-Identifier: MIT
#include "recur/io/tensor_file.hpp"

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"

namespace tensor_file_test {
namespace {

using recur::Index;
using recur::StoredTensor;
using recur::TensorFile;
using Shape = std::vector<Index>;

// A tensor "w" of the given dtype in memory that the file keeps.
template <class Stored>
TensorFile file_of(const std::string& dtype, const Shape& shape, std::vector<Stored> elements) {
  TensorFile file("test");
  const auto memory = std::make_shared<const std::vector<Stored>>(std::move(elements));
  file.keep(memory);
  file.add("w", {dtype, shape, std::as_bytes(std::span(*memory))});
  return file;
}

TEST(TensorFile, GivesTensorsOfOneTwoAndThreeDimensions) {
  const std::vector<float> values{1.5F, -2, 3.25F, 0, -0.5F, 6};
  const auto vector = file_of("F32", {6}, values).vector<float>("w");
  EXPECT_EQ(vector[5], 6.0F);
  const auto matrix = file_of("F32", {2, 3}, values).matrix<double>("w");
  EXPECT_EQ(matrix(1, 0), 0.0);
  EXPECT_EQ(matrix(0, 2), 3.25);
  const auto tensor = file_of("F32", {3, 1, 2}, values).tensor3<float>("w");
  EXPECT_EQ(tensor(0, 0, 1), -2.0F);
  EXPECT_EQ(tensor(2, 0, 0), -0.5F);
  EXPECT_EQ(file_of("F32", {3, 2}, values).values<float>("w"), values);
  EXPECT_EQ(file_of("F64", {}, std::vector<double>{1.0 / 3}).values<double>("w"),
            std::vector<double>{1.0 / 3});
}

TEST(TensorFile, KeepsTheOrderOfAdding) {
  TensorFile file("test");
  file.add("z", {"F32", {0}, {}});
  file.add("a", {"F32", {0, 4}, {}});
  file.add_metadata("key", "value");
  EXPECT_EQ(file.name(), "test");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"z", "a"}));
  EXPECT_EQ(file.metadata().at("key"), "value");
  EXPECT_TRUE(file.contains("a"));
  EXPECT_FALSE(file.contains("b"));
  EXPECT_EQ(file.tensor("a").shape, (Shape{0, 4}));
  EXPECT_EQ(file.matrix<float>("a").cols(), 4);
}

TEST(TensorFile, StaysValidWhenMovedAndCopied) {
  auto file = file_of("F32", {2}, std::vector<float>{1, 2});
  const TensorFile copy = file;
  const TensorFile moved = std::move(file);
  EXPECT_EQ(moved.vector<float>("w")[1], 2.0F);
  EXPECT_EQ(copy.vector<float>("w")[1], 2.0F);
}

TEST(TensorFile, NumbersOfElements) {
  EXPECT_EQ((StoredTensor{"F32", {}, {}}.size()), 1);
  EXPECT_EQ((StoredTensor{"F32", {2, 3}, {}}.size()), 6);
  constexpr Index huge = std::numeric_limits<Index>::max();
  EXPECT_EQ((StoredTensor{"F32", {0, huge}, {}}.size()), 0);
}

TEST(TensorFile, IntegersAreKeptRaw) {
  const auto file = file_of("I64", {2}, std::vector<std::int64_t>{-5, 7});
  const auto& tensor = file.tensor("w");
  EXPECT_EQ(tensor.dtype, "I64");
  std::int64_t second = 0;
  std::memcpy(&second, tensor.bytes.data() + 8, 8);
  EXPECT_EQ(second, 7);
  EXPECT_ERROR(file.vector<float>("w"), R"(test: "w": expected F64, F32, F16 or BF16, got I64)");
}

TEST(TensorFile, WrongQuestions) {
  const auto file = file_of("F32", {2, 1}, std::vector<float>{1, 2});
  EXPECT_ERROR(file.tensor("c"), R"(test: no tensor "c" among its 1)");
  EXPECT_ERROR(file.values<float>("c"), R"(test: no tensor "c" among its 1)");
  EXPECT_ERROR(file.vector<float>("w"), R"(test: "w": expected 1 dimensions, got shape (2, 1))");
  EXPECT_ERROR(file.tensor3<float>("w"), "expected 3 dimensions, got shape (2, 1)");
  const auto vector = file_of("F32", {2}, std::vector<float>{1, 2});
  EXPECT_ERROR(vector.matrix<float>("w"), "expected 2 dimensions, got shape (2,)");
}

TEST(TensorFile, AddRefusesWhatDoesNotFit) {
  const std::vector<float> values{1, 2};
  const auto bytes = std::as_bytes(std::span(values));
  constexpr Index huge = std::numeric_limits<Index>::max();
  TensorFile file("test");
  EXPECT_ERROR(file.add("w", {"F33", {2}, bytes}), R"(test: "w": unknown dtype "F33")");
  EXPECT_ERROR(file.add("w", {"F32", {3}, bytes}),
               R"(test: "w": F32 of shape (3,): expected 12 bytes, got 8)");
  EXPECT_ERROR(file.add("w", {"F32", {-2}, bytes}), "the number of bytes overflows");
  EXPECT_ERROR(file.add("w", {"F32", {huge, 4}, bytes}), "the number of bytes overflows");
  EXPECT_ERROR(file.add("w", {"F32", {0, huge}, {}}), "the number of bytes overflows");
  EXPECT_TRUE(file.names().empty());
  file.add("w", {"F32", {2}, bytes});
  EXPECT_ERROR(file.add("w", {"F32", {2}, bytes}), R"(test: "w": stands twice in the file)");
  file.add_metadata("a", "1");
  EXPECT_ERROR(file.add_metadata("a", "2"), R"(test: metadata "a" stands twice in the file)");
  EXPECT_EQ(file.names().size(), 1U);
}

}  // namespace
}  // namespace tensor_file_test
