// SPDX-License-Identifier: MIT
//
// The reader of MNIST's files, as readers.hpp has the others. It takes two files by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>

#include "mnist/idx.hpp"

namespace recur::fuzz {

/// bytes: 4 bytes little-endian length of the file of images, that file, and the file of labels.
/// Both are written into `folder`.
inline mnist::Dataset read_idx(std::span<const std::byte> bytes,
                               const std::filesystem::path& folder) {
  std::uint32_t length = 0;
  if (bytes.size() < sizeof(length)) {
    throw mnist::DataError("no two files");
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  bytes = bytes.subspan(sizeof(length));
  const auto images = bytes.first(length < bytes.size() ? length : bytes.size());
  const auto write = [&](const char* name, std::span<const std::byte> contents) {
    std::ofstream stream(folder / name, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(contents.data()),
                 static_cast<std::streamsize>(contents.size()));
  };
  write("images", images);
  write("labels", bytes.subspan(images.size()));
  return mnist::load_idx(folder / "images", folder / "labels");
}

}  // namespace recur::fuzz
