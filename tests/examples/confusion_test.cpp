// SPDX-License-Identifier: MIT
#include "mnist/confusion.hpp"

#include <cstddef>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace confusion_test {
namespace {

TEST(ConfusionMatrix, Empty) {
  const mnist::ConfusionMatrix matrix;
  EXPECT_EQ(matrix.total(), 0U);
  EXPECT_EQ(matrix.accuracy(), 0);
  EXPECT_EQ(matrix.recall(3), 0);
  EXPECT_NE(matrix.text().find("-"), std::string::npos);
  EXPECT_EQ(matrix.text().find("most often"), std::string::npos);
}

TEST(ConfusionMatrix, CountsAndShares) {
  mnist::ConfusionMatrix matrix;
  for (int k = 0; k < 3; ++k) {
    matrix.add(4, 4);
  }
  matrix.add(4, 9);
  matrix.add(9, 9);
  matrix.add(1, 9);
  EXPECT_EQ(matrix.count(4, 9), 1U);
  EXPECT_EQ(matrix.count(9, 4), 0U);
  EXPECT_EQ(matrix.total(), 6U);
  EXPECT_DOUBLE_EQ(matrix.accuracy(), 4.0 / 6);
  EXPECT_DOUBLE_EQ(matrix.recall(4), 0.75);
  EXPECT_DOUBLE_EQ(matrix.precision(9), 1.0 / 3);
}

TEST(ConfusionMatrix, RefusesOtherClasses) {
  mnist::ConfusionMatrix matrix;
  EXPECT_THROW(matrix.add(10, 0), std::out_of_range);
  EXPECT_THROW(matrix.add(0, 10), std::out_of_range);
  EXPECT_EQ(matrix.total(), 0U);
}

TEST(ConfusionMatrix, Text) {
  mnist::ConfusionMatrix matrix;
  for (std::size_t k = 0; k < 10; ++k) {
    for (int times = 0; times < 1000; ++times) {
      matrix.add(k, k);
    }
  }
  matrix.add(4, 9);
  matrix.add(4, 9);
  matrix.add(7, 2);
  const std::string text = matrix.text();
  EXPECT_NE(
      text.find("digit 4     .     .     .     .  1000     .     .     .     .     2     99.8\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("most often: 4 read as 9 (2), 7 read as 2 (1)\n"), std::string::npos) << text;
  // All rows of the table are equally long.
  std::size_t length = text.find('\n');
  std::size_t at = 0;
  for (int row = 0; row < 12; ++row) {
    const std::size_t end = text.find('\n', at);
    EXPECT_EQ(end - at, length) << text;
    at = end + 1;
  }
}

}  // namespace
}  // namespace confusion_test
