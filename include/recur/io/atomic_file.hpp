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
#include <utility>

#if defined(_WIN32)
#include <io.h>  // _commit
#elif __has_include(<unistd.h>)
#include <fcntl.h>   // open
#include <unistd.h>  // fsync
#endif

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI {

/// A file that is being written. It has another name until commit(); without commit() it is gone in
/// the end. The name is the file's own and `.tmp` with a number, in the same folder: a process that
/// is killed in the middle leaves that one behind, beside the old file.
///
///     recur::AtomicFile file("model.bin");
///     file.write(std::as_bytes(std::span(header)));
///     file.write(std::as_bytes(std::span(values)));
///     file.commit();
///
/// A link stays a link: the file behind it is replaced. All errors are recur::Error, which names
/// the file; what stood at the path is then as before.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : name_(path.string()) {
    namespace fs = std::filesystem;
    std::error_code error;
    target_ = fs::canonical(path, error);
    if (error) {
      target_ = path;  // there is none yet
    } else if (!fs::is_regular_file(target_, error)) {
      cannot_be_written("it exists and is not a regular file");
    }
    std::random_device random;
    for (int attempt = 0; file_ == nullptr && attempt < 8; ++attempt) {
      temporary_ = target_;
      temporary_ += ".tmp" + std::to_string(random());
      file_ = std::fopen(temporary_.string().c_str(), "wbx");  // x: only if it is new
    }
    if (file_ == nullptr) {
      cannot_be_written(std::strerror(errno));
    }
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_ != nullptr) {
      std::fclose(file_);
    }
    if (!committed_) {
      std::error_code ignored;
      std::filesystem::remove(temporary_, ignored);
    }
  }

  /// Appends.
  void write(std::span<const std::byte> bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
      cannot_be_written(std::strerror(errno));
    }
  }

  /// Sees that everything reaches the disk, gives the file its name, and sees that the name reaches
  /// the disk, too. To be called once, last.
  void commit() {
    if (!flush()) {
      cannot_be_written(std::strerror(errno));
    }
    if (std::fclose(std::exchange(file_, nullptr)) != 0) {
      cannot_be_written(std::strerror(errno));
    }
    std::error_code error;
    std::filesystem::rename(temporary_, target_, error);
    if (error) {
      cannot_be_written(error.message());
    }
    committed_ = true;
    flush_folder();
  }

 private:
  [[noreturn]] void cannot_be_written(const std::string& reason) const {
    fail(name_, ": cannot be written: ", reason);
  }

  bool flush() {
    if (std::fflush(file_) != 0) {
      return false;
    }
#if defined(_WIN32)
    return _commit(_fileno(file_)) == 0;
#elif __has_include(<unistd.h>)
    return fsync(fileno(file_)) == 0;
#else
    return true;
#endif
  }

  // The entry of the folder. Where the file system has no such call the name is in its hands.
  void flush_folder() const {
#if !defined(_WIN32) && __has_include(<unistd.h>)
    const auto folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const int descriptor = open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
      fsync(descriptor);
      close(descriptor);
    }
#endif
  }

  std::string name_;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::FILE* file_ = nullptr;
  bool committed_ = false;
};

/// Writes a whole file by way of AtomicFile.
inline void write_file_atomically(const std::filesystem::path& path,
                                  std::span<const std::byte> contents) {
  AtomicFile file(path);
  file.write(contents);
  file.commit();
}

}  // namespace recur::inline RECUR_ABI
