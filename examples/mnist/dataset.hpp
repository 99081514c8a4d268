// SPDX-License-Identifier: MIT
//
// Images of digits and their labels, whether read from MNIST's files or drawn by digits.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mnist {

inline constexpr std::size_t image_side = 28;
inline constexpr std::size_t image_size = image_side * image_side;

struct Dataset {
  std::vector<std::uint8_t> images;  ///< n x 28 x 28, row-major, 0 = background, 255 = ink
  std::vector<std::uint8_t> labels;  ///< n, each 0 ... 9

  std::size_t size() const { return labels.size(); }
};

}  // namespace mnist
