// SPDX-License-Identifier: MIT
//
// The built-in digits: the same everywhere for the same seed, of MNIST's shape, readable by class.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mnist/digits.hpp"

namespace mnist_digits_test {
namespace {

using mnist::Dataset;
using mnist::generate_digits;

constexpr std::size_t side = mnist::image_side;
constexpr std::size_t pixels = mnist::image_size;

/// FNV-1a.
std::uint64_t hash(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t value = 14695981039346656037U;
  for (const std::uint8_t byte : bytes) {
    value = (value ^ byte) * 1099511628211U;
  }
  return value;
}

struct Ink {
  std::size_t left = side, right = 0, top = side, bottom = 0;  // the box of all pixels above 0
  double mass = 0, x = 0, y = 0;                               // the sum and its centre
};

Ink ink_of(const Dataset& data, std::size_t k) {
  Ink ink;
  for (std::size_t y = 0; y < side; ++y) {
    for (std::size_t x = 0; x < side; ++x) {
      const std::uint8_t grey = data.images[k * pixels + y * side + x];
      if (grey > 0) {
        ink.left = std::min(ink.left, x);
        ink.right = std::max(ink.right, x);
        ink.top = std::min(ink.top, y);
        ink.bottom = std::max(ink.bottom, y);
        ink.mass += grey / 255.0;
        ink.x += grey / 255.0 * static_cast<double>(x);
        ink.y += grey / 255.0 * static_cast<double>(y);
      }
    }
  }
  ink.x /= ink.mass;
  ink.y /= ink.mass;
  return ink;
}

// The same numbers from g++ and clang++, with and without optimisation and fused multiply-add: all
// arithmetic is in double and rounded to bytes once, so that a difference in a last bit is lost.
TEST(MnistDigits, SameEverywhereForTheSameSeed) {
  const Dataset zero = generate_digits(2000, 0);
  EXPECT_EQ(hash(zero.labels), 4517502605811729043U);
  EXPECT_EQ(hash(zero.images), 6294778336639600748U);
  EXPECT_EQ(hash(generate_digits(2000, 1).images), 12563778518854719666U);
}

TEST(MnistDigits, SeedsDiffer) {
  EXPECT_NE(generate_digits(10, 0).images, generate_digits(10, 1).images);
}

TEST(MnistDigits, AShorterSetBeginsALongerOne) {
  const Dataset small = generate_digits(37, 5);
  const Dataset large = generate_digits(100, 5);
  ASSERT_EQ(small.size(), 37U);
  ASSERT_EQ(small.images.size(), 37 * pixels);
  EXPECT_TRUE(std::equal(small.images.begin(), small.images.end(), large.images.begin()));
  EXPECT_TRUE(std::equal(small.labels.begin(), small.labels.end(), large.labels.begin()));
  EXPECT_EQ(generate_digits(0, 5).size(), 0U);
}

TEST(MnistDigits, EveryTenImagesShowEachDigitOnceInRandomOrder) {
  const Dataset data = generate_digits(1000, 2);
  std::array<std::size_t, 10> first{};
  for (std::size_t k = 0; k < data.size(); k += 10) {
    std::vector<int> ten(data.labels.begin() + static_cast<std::ptrdiff_t>(k),
                         data.labels.begin() + static_cast<std::ptrdiff_t>(k + 10));
    ++first[static_cast<std::size_t>(ten[0])];
    std::sort(ten.begin(), ten.end());
    for (int digit = 0; digit < 10; ++digit) {
      ASSERT_EQ(ten[static_cast<std::size_t>(digit)], digit);
    }
  }
  for (const std::size_t times : first) {
    EXPECT_GT(times, 1U);  // of 100
  }
}

TEST(MnistDigits, InkLikeMnist) {
  const Dataset data = generate_digits(5000, 3);
  double mean = 0;
  for (std::size_t k = 0; k < data.size(); ++k) {
    const Ink ink = ink_of(data, k);
    const std::size_t width = ink.right - ink.left + 1;
    const std::size_t height = ink.bottom - ink.top + 1;
    ASSERT_LE(std::max(width, height), 20U) << k;
    ASSERT_GE(std::max(width, height), 18U) << k;
    ASSERT_GT(ink.mass, 10) << k;
    ASSERT_LT(ink.mass, 300) << k;
    // The centre of mass is in the middle, unless the box would leave the image.
    const bool held_x = ink.left <= 1 || ink.right + 2 >= side;
    const bool held_y = ink.top <= 1 || ink.bottom + 2 >= side;
    if (!held_x) {
      ASSERT_NEAR(ink.x, 14, 0.51) << k;
    }
    if (!held_y) {
      ASSERT_NEAR(ink.y, 14, 0.51) << k;
    }
    mean += ink.mass / static_cast<double>(pixels * data.size());
  }
  EXPECT_NEAR(mean, 0.131, 0.02);  // MNIST: 0.1307
}

// The nearest of ten mean images is a poor reader (82 % on MNIST); digits that it could not tell
// apart at all, or too easily, would not stand in for handwriting.
TEST(MnistDigits, ClassesCanBeToldApart) {
  const Dataset train = generate_digits(5000, 4);
  const Dataset test = generate_digits(1000, 5);
  std::vector<double> means(10 * pixels);
  for (std::size_t k = 0; k < train.size(); ++k) {
    for (std::size_t p = 0; p < pixels; ++p) {
      means[train.labels[k] * pixels + p] += train.images[k * pixels + p] / 500.0;
    }
  }
  std::size_t right = 0;
  for (std::size_t k = 0; k < test.size(); ++k) {
    std::array<double, 10> distance{};
    for (std::size_t digit = 0; digit < 10; ++digit) {
      for (std::size_t p = 0; p < pixels; ++p) {
        const double difference = test.images[k * pixels + p] - means[digit * pixels + p];
        distance[digit] += difference * difference;
      }
    }
    const auto best = std::min_element(distance.begin(), distance.end()) - distance.begin();
    right += static_cast<std::size_t>(best) == test.labels[k] ? 1 : 0;
  }
  EXPECT_GT(right, 700U);
  EXPECT_LT(right, 980U);
}

TEST(MnistDigits, EveryGlyphIsUsable) {
  std::array<double, 10> weight{};
  for (const mnist::Glyph& glyph : mnist::glyphs) {
    const mnist::detail::Outline outline = mnist::detail::parse_outline(glyph);
    const std::string text(glyph.strokes);
    ASSERT_GE(glyph.digit, 0);
    ASSERT_LE(glyph.digit, 9);
    weight[static_cast<std::size_t>(glyph.digit)] += glyph.weight;
    EXPECT_GT(glyph.weight, 0) << text;
    EXPECT_EQ(text.find_first_not_of("0123456789,!| "), std::string::npos) << text;
    for (const auto& stroke : outline.strokes) {
      EXPECT_GE(stroke.size(), 2U) << text;
    }
    for (const auto& point : outline.points) {
      EXPECT_GE(point.x, 0) << text;
      EXPECT_LE(point.x, 1.2) << text;
      EXPECT_LE(point.y, 1.2) << text;
    }
  }
  for (const double sum : weight) {
    EXPECT_GT(sum, 0);
  }
}

}  // namespace
}  // namespace mnist_digits_test
