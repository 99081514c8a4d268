// SPDX-License-Identifier: MIT
//
// Files that are written whole or not at all: whoever opens one, also after a crash or on a full
// disk, sees the old contents or the new ones, never a part.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>  // std::strerror
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <system_error>

#if defined(_WIN32)
#include <io.h>  // _commit
#elif __has_include(<unistd.h>)
#include <unistd.h>  // fsync
#endif

#include "recur/core/check.hpp"

namespace recur {

namespace detail {

inline bool flush_to_disk(std::FILE* file) {
  if (std::fflush(file) != 0) {
    return false;
  }
#if defined(_WIN32)
  return _commit(_fileno(file)) == 0;
#elif __has_include(<unistd.h>)
  return fsync(fileno(file)) == 0;
#else
  return true;
#endif
}

}  // namespace detail

/// Writes a temporary file beside `path`, sees that it reaches the disk, and renames it. A link
/// stays a link: the file behind it is replaced. Throws recur::Error that names the file; then the
/// temporary file is gone and what stood at `path` is as before.
inline void write_file_atomically(const std::filesystem::path& path,
                                  std::span<const std::byte> contents) {
  namespace fs = std::filesystem;
  const auto cannot_be_written = [&](const std::string& reason) {
    fail(path.string(), ": cannot be written: ", reason);
  };

  std::error_code error;
  fs::path target = fs::canonical(path, error);
  if (error) {
    target = path;  // there is none yet
  } else if (!fs::is_regular_file(target, error)) {
    cannot_be_written("it exists and is not a regular file");
  }

  fs::path temporary;
  std::FILE* file = nullptr;
  std::random_device random;
  for (int attempt = 0; file == nullptr && attempt < 8; ++attempt) {
    temporary = target;
    temporary += ".tmp" + std::to_string(random());
    file = std::fopen(temporary.string().c_str(), "wbx");  // x: only if it is new
  }
  if (file == nullptr) {
    cannot_be_written(std::strerror(errno));
  }

  bool written = std::fwrite(contents.data(), 1, contents.size(), file) == contents.size() &&
                 detail::flush_to_disk(file);
  int reason = errno;
  if (std::fclose(file) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written) {
    fs::rename(temporary, target, error);
    if (!error) {
      return;
    }
  }
  const std::string text = written ? error.message() : std::strerror(reason);
  fs::remove(temporary, error);
  cannot_be_written(text);
}

}  // namespace recur
