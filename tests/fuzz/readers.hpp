// SPDX-License-Identifier: MIT
//
// One function for each reader of files from outside, given the bytes of a file that may be
// anything. It returns what was read, as far as a user would look at it, or throws the reader's own
// error; whatever else comes of it is a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "recur/io/load_tensors.hpp"

namespace recur::fuzz {

using Bytes = std::span<const std::byte>;

/// Looks at every byte and converts every element, so that a sanitizer sees what is out of bounds.
inline std::uint64_t touch(const TensorFile& file) {
  std::uint64_t sum = file.metadata().size();
  for (const std::string& name : file.names()) {
    const StoredTensor& tensor = file.tensor(name);
    for (const std::byte byte : tensor.bytes) {
      sum += std::to_integer<std::uint64_t>(byte);
    }
    if (is_floating_dtype(tensor.dtype)) {
      sum += file.values<float>(name).size();
    }
  }
  return sum;
}

inline TensorFile read_safetensors(Bytes bytes) {
  return parse_safetensors(bytes, "file.safetensors");
}

inline TensorFile read_torch(Bytes bytes) { return parse_torch(bytes, "file.pt"); }

/// NumPy's files: one array, or an archive of several.
inline TensorFile read_npy(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.starts_with("PK") ? parse_npz(bytes, "file.npz") : parse_npy(bytes, "file.npy");
}

/// The largest amount of memory that reading a file of this size may take at a time. Each byte may
/// make a value or an entry, of some hundred bytes (it is a few dozen in files that are meant
/// well); deflated ones 1032 bytes each, copied once while they grow.
inline std::uint64_t allowed_memory(Bytes bytes) {
  std::uint64_t ratio = 400;
  try {
    const ZipFile zip(bytes, "");
    for (const ZipEntry& entry : zip.entries()) {
      ratio = entry.deflated ? 400 + 3 * detail::max_deflate_ratio : ratio;
    }
  } catch (const Error&) {  // no archive
  }
  return (std::uint64_t{1} << 16) + ratio * bytes.size();
}

}  // namespace recur::fuzz
