// SPDX-License-Identifier: MIT
//
// Arrays whose elements stand in another order than row-major: transposed, parts of larger ones.
#pragma once

#include <cstddef>
#include <cstring>  // std::memcpy
#include <span>
#include <vector>

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI::detail {

/// The elements in row-major order: element (i, j, …) stands at i · strides[0] + j · strides[1] +
/// …, counted in elements of `element` bytes.
///
///     shape     sizes from 1 on, whose product times `element` is `bytes`
///     strides   from 0 on; the last element must lie within `from`
inline std::vector<std::byte> gather(std::span<const std::byte> from,
                                     const std::vector<Index>& shape,
                                     const std::vector<Index>& strides, std::size_t element,
                                     std::size_t bytes) {
  std::vector<std::byte> to(bytes);
  std::vector<Index> at(shape.size());
  Index place = 0;  // of element `at`
  for (std::size_t k = 0; k < bytes; k += element) {
    std::memcpy(to.data() + k, from.data() + static_cast<std::size_t>(place) * element, element);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (at[d] + 1 < shape[d]) {
        ++at[d];
        place += strides[d];
        break;
      }
      place -= at[d] * strides[d];
      at[d] = 0;
    }
  }
  return to;
}

}  // namespace recur::inline RECUR_ABI::detail
