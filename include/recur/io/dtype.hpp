// SPDX-License-Identifier: MIT
//
// The types of elements that files of tensors hold, by their names in safetensors, and the
// conversion of those that are numbers of the library.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "recur/core/check.hpp"
#include "recur/io/half.hpp"

namespace recur::inline RECUR_ABI {

static_assert(std::endian::native == std::endian::little,
              "files of tensors are little-endian: so must the machine be");

/// Bytes of one element of a dtype; 0 for a dtype that is not known.
///
///     F64 F32 F16 BF16 F8_E4M3 F8_E5M2 F8_E8M0     floating point
///     I64 I32 I16 I8 U64 U32 U16 U8 BOOL           whole numbers, truth values
///     C64                                          complex: two F32
inline std::size_t dtype_size(std::string_view dtype) {
  struct Known {
    std::string_view name;
    std::size_t bytes;
  };
  static constexpr std::array<Known, 17> known_dtypes{{
      {"F64", 8},
      {"F32", 4},
      {"F16", 2},
      {"BF16", 2},
      {"F8_E4M3", 1},
      {"F8_E5M2", 1},
      {"F8_E8M0", 1},
      {"I64", 8},
      {"I32", 4},
      {"I16", 2},
      {"I8", 1},
      {"U64", 8},
      {"U32", 4},
      {"U16", 2},
      {"U8", 1},
      {"BOOL", 1},
      {"C64", 8},
  }};
  for (const Known& known : known_dtypes) {
    if (known.name == dtype) {
      return known.bytes;
    }
  }
  return 0;
}

/// True for the dtypes whose elements can be read and written as numbers of the library: F64, F32,
/// F16 and BF16.
inline bool is_floating_dtype(std::string_view dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

/// The dtype of a C++ type.
template <class Element>
constexpr const char* dtype_of() {
  if constexpr (std::is_same_v<Element, float>) {
    return "F32";
  } else if constexpr (std::is_same_v<Element, double>) {
    return "F64";
  } else if constexpr (std::is_same_v<Element, bool>) {
    return "BOOL";
  } else {
    static_assert(std::is_integral_v<Element>, "expected float, double, bool or a whole number");
    constexpr bool is_signed = std::is_signed_v<Element>;
    switch (sizeof(Element)) {
      case 1:
        return is_signed ? "I8" : "U8";
      case 2:
        return is_signed ? "I16" : "U16";
      case 4:
        return is_signed ? "I32" : "U32";
      default:
        return is_signed ? "I64" : "U64";
    }
  }
}

namespace detail {

/// Number of bytes of `shape` (sizes from 0 on) with elements of `element` bytes; nothing where it
/// does not fit an Index. A size of 0 does not excuse the others.
inline std::optional<std::uint64_t> byte_count(const std::vector<Index>& shape,
                                               std::size_t element) {
  constexpr std::uint64_t largest = std::numeric_limits<Index>::max();
  std::uint64_t bytes = element;
  bool empty = false;
  for (const Index length : shape) {
    if (length == 0) {
      empty = true;
    } else if (length < 0 || bytes > largest / static_cast<std::uint64_t>(length)) {
      return std::nullopt;
    } else {
      bytes *= static_cast<std::uint64_t>(length);
    }
  }
  return empty ? 0 : bytes;
}

/// to[k] = convert(element k of type Stored), for elements that need not be aligned.
template <class Stored, class Scalar, class Convert>
void copy_elements(std::span<const std::byte> from, Scalar* to, Convert convert) {
  const std::size_t count = from.size() / sizeof(Stored);
  for (std::size_t k = 0; k < count; ++k) {
    Stored stored;
    std::memcpy(&stored, from.data() + k * sizeof(Stored), sizeof(Stored));
    to[k] = static_cast<Scalar>(convert(stored));
  }
}

/// All elements of a floating dtype into `to`, rounded to Scalar where it is narrower.
template <class Scalar>
void decode_elements(std::string_view dtype, std::span<const std::byte> from, Scalar* to) {
  if ((std::is_same_v<Scalar, float> && dtype == "F32") ||
      (std::is_same_v<Scalar, double> && dtype == "F64")) {
    if (!from.empty()) {
      std::memcpy(to, from.data(), from.size());
    }
  } else if (dtype == "F64") {
    copy_elements<double>(from, to, [](double v) { return v; });
  } else if (dtype == "F32") {
    copy_elements<float>(from, to, [](float v) { return v; });
  } else if (dtype == "F16") {
    copy_elements<std::uint16_t>(from, to, half_to_float);
  } else {
    copy_elements<std::uint16_t>(from, to, bfloat_to_float);
  }
}

/// The elements as those of a floating dtype, rounded to the nearest where it is narrower.
/// to: overwritten, from.size() · dtype_size(dtype) bytes, perhaps unaligned.
template <class Scalar>
void encode_elements(std::string_view dtype, std::span<const Scalar> from, std::byte* to) {
  const auto each = [&](auto convert) {
    for (const Scalar value : from) {
      const auto stored = convert(value);
      std::memcpy(to, &stored, sizeof(stored));
      to += sizeof(stored);
    }
  };
  if (dtype == "F64") {
    each([](Scalar v) { return static_cast<double>(v); });
  } else if (dtype == "F32") {
    each([](Scalar v) { return static_cast<float>(v); });
  } else if (dtype == "F16") {
    each([](Scalar v) { return to_half(static_cast<double>(v)); });
  } else {
    each([](Scalar v) { return to_bfloat(static_cast<double>(v)); });
  }
}

}  // namespace detail

}  // namespace recur::inline RECUR_ABI
