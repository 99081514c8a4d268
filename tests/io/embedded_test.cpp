// SPDX-License-Identifier: MIT
#include "recur/io/embedded.hpp"

#include <string>

#include <gtest/gtest.h>

#include "recur/nn/linear.hpp"

#include "support/compare.hpp"

namespace embedded_test {
namespace {

using recur::EmbeddedTensor;
using recur::Index;

constexpr std::array<float, 6> weight{1.5F, 2, 3, 4, 5, -0.0F};
constexpr std::array<double, 2> bias{0.1, -0.25};
constexpr std::array<recur::HalfBits, 2> half_bias{{{0x3C00}, {0xC100}}};       // 1, -2.5
constexpr std::array<recur::BFloat16Bits, 2> brain_bias{{{0x3F80}, {0xC020}}};  // 1, -2.5

TEST(EmbeddedTensor, HasItsShape) {
  constexpr EmbeddedTensor matrix("weight", weight, 2, 3);
  static_assert(matrix.rows() == 2 && matrix.columns() == 3 && matrix.size() == 6);
  static_assert(!matrix.is_vector() && matrix.name() == "weight");
  constexpr EmbeddedTensor vector("bias", bias, 2);
  static_assert(vector.rows() == 2 && vector.columns() == 1 && vector.is_vector());
  EXPECT_EQ(std::string(matrix.shape()), "(2, 3)");
  EXPECT_EQ(std::string(vector.shape()), "(2,)");
}

TEST(EmbeddedTensor, NumbersOfEveryType) {
  constexpr EmbeddedTensor matrix("", weight, 2, 3);
  EXPECT_EQ(matrix.element<double>(0), 1.5);
  EXPECT_TRUE(std::signbit(matrix.element<float>(5)));
  constexpr EmbeddedTensor wide("", bias, 2);
  EXPECT_EQ(wide.element<double>(0), 0.1);
  EXPECT_EQ(wide.element<float>(0), 0.1F);
  constexpr EmbeddedTensor half("", half_bias, 2);
  constexpr EmbeddedTensor brain("", brain_bias, 2);
  for (const EmbeddedTensor& tensor : {half, brain}) {
    EXPECT_EQ(tensor.element<float>(0), 1);
    EXPECT_EQ(tensor.element<double>(1), -2.5);
  }
}

TEST(LoadEmbedded, OverwritesAllParameters) {
  recur::Linear<float> linear({.in_features = 3, .out_features = 2});
  constexpr EmbeddedTensor tensors[] = {{"head.weight", weight, 2, 3},
                                        {"head.bias", half_bias, 2},
                                        {"tail.bias", bias, 2}};  // not below the prefix
  recur::load_embedded(linear, tensors, "head.");
  EXPECT_EQ(linear.parameters().weight(1, 1), 5);
  EXPECT_EQ(linear.parameters().bias(1), -2.5F);
}

TEST(LoadEmbedded, OneErrorListsAllThatDoesNotFit) {
  recur::Linear<float> linear({.in_features = 2, .out_features = 3});
  const auto before = linear.parameters();
  constexpr EmbeddedTensor tensors[] = {
      {"weight", weight, 2, 3}, {"weights", bias, 2}, {"weight", weight, 3, 2}};
  EXPECT_EQ(recur::test::error_of([&] { recur::load_embedded(linear, tensors); }),
            "Error(s) in loading embedded weights:\n"
            "  size mismatch for \"weight\": expected (3, 2), got (2, 3)\n"
            "  missing \"bias\" (3,)\n"
            "  unexpected \"weights\" (2,)\n"
            "  given twice: \"weight\"");
  recur::test::expect_parameters_close(linear.parameters(), before, 0);

  // A vector is no matrix of one column.
  recur::Linear<float> one({.in_features = 1, .out_features = 2, .bias = false});
  constexpr EmbeddedTensor vector[] = {{"weight", bias, 2}};
  EXPECT_ERROR(recur::load_embedded(one, vector), "\"weight\": expected (2, 1), got (2,)");
  constexpr EmbeddedTensor matrix[] = {{"weight", bias, 2, 1}};
  recur::load_embedded(one, matrix);
}

}  // namespace
}  // namespace embedded_test
