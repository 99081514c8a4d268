// SPDX-License-Identifier: MIT
//
// The contents of a file, to be read. Where the system can map files into memory nothing is copied:
// the pages are those of the system's own cache and come when they are touched.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>  // std::strerror
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#define RECUR_MAPS_FILES 1
#elif __has_include(<sys/mman.h>) && __has_include(<unistd.h>)
#include <fcntl.h>     // open
#include <sys/mman.h>  // mmap
#include <sys/stat.h>  // fstat
#include <unistd.h>    // close
#define RECUR_MAPS_FILES 1
#endif

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI {

/// A whole file, read-only, for as long as the object lives.
///
///     const recur::MappedFile file("model.safetensors");
///     std::span<const std::byte> contents = file.bytes();
///
/// Throws recur::Error, which names the file, unless it is a regular file that can be read. A const
/// object can be shared among threads. The file must not be cut short while it is mapped: touching
/// what is gone ends the process (SIGBUS). Replacing it by another one (as write_file_atomically
/// does) is no harm: the old contents stay.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path) : name_(path.string()) {
    std::error_code error;
    check(!std::filesystem::is_directory(path, error), name_, ": expected a file, got a directory");
    if (!map(path)) {
      read(path);
    }
  }

  MappedFile(MappedFile&& other) noexcept
      : name_(std::move(other.name_)),
        copy_(std::move(other.copy_)),
        bytes_(std::exchange(other.bytes_, {})),
        mapped_(std::exchange(other.mapped_, false)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(name_, other.name_);
    std::swap(copy_, other.copy_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { unmap(); }

  /// The path.
  const std::string& name() const { return name_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// False where the contents had to be read into memory.
  bool is_mapped() const { return mapped_; }

 private:
#if defined(_WIN32)
  struct Handle {
    HANDLE value;
    ~Handle() {
      if (value != nullptr && value != INVALID_HANDLE_VALUE) {
        CloseHandle(value);
      }
    }
  };

  std::string last_error() const {
    return std::system_category().message(static_cast<int>(GetLastError()));
  }

  // False where the system gives no mapping.
  bool map(const std::filesystem::path& path) {
    const Handle file{CreateFileW(path.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE,
                                  nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr)};
    check(file.value != INVALID_HANDLE_VALUE, name_, ": cannot be opened: ", last_error());
    LARGE_INTEGER size{};
    check(GetFileType(file.value) == FILE_TYPE_DISK && GetFileSizeEx(file.value, &size) != 0, name_,
          ": cannot be read: not a regular file");
    check(static_cast<unsigned long long>(size.QuadPart) <=
              std::numeric_limits<std::size_t>::max() / 2,
          name_, ": too large for this machine: ", size.QuadPart, " bytes");
    if (size.QuadPart == 0) {  // has no mapping, and needs none
      return true;
    }
    const Handle mapping{CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr)};
    if (mapping.value == nullptr) {
      return false;
    }
    const void* address = MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0);
    if (address == nullptr) {
      return false;
    }
    bytes_ = {static_cast<const std::byte*>(address), static_cast<std::size_t>(size.QuadPart)};
    mapped_ = true;
    return true;
  }

  void unmap() {
    if (mapped_) {
      UnmapViewOfFile(bytes_.data());
    }
  }
#elif defined(RECUR_MAPS_FILES)
  struct Descriptor {
    int value;
    ~Descriptor() {
      if (value >= 0) {
        close(value);
      }
    }
  };

  // False where the file system gives no mapping.
  bool map(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a pipe must not wait for someone to write.
    const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    check(file.value >= 0, name_, ": cannot be opened: ", std::strerror(errno));
    struct stat status {};
    check(fstat(file.value, &status) == 0, name_, ": cannot be read: ", std::strerror(errno));
    check(S_ISREG(status.st_mode), name_, ": cannot be read: not a regular file");
    check(static_cast<unsigned long long>(status.st_size) <=
              std::numeric_limits<std::size_t>::max() / 2,
          name_, ": too large for this machine: ", status.st_size, " bytes");
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) {  // has no mapping, and needs none
      return true;
    }
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
    if (address == MAP_FAILED) {
      return false;
    }
    bytes_ = {static_cast<const std::byte*>(address), size};
    mapped_ = true;
    return true;
  }

  void unmap() {
    if (mapped_) {
      munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }
  }
#else
  bool map(const std::filesystem::path&) { return false; }
  void unmap() {}
#endif

  void read(const std::filesystem::path& path) {
    errno = 0;
    std::ifstream stream(path, std::ios::binary | std::ios::ate);
    check(stream.is_open(), name_, ": cannot be opened: ", std::strerror(errno));
    const std::streamoff size = stream.tellg();
    check(size >= 0, name_, ": cannot be read: not a regular file");
    copy_.resize(static_cast<std::size_t>(size));
    stream.seekg(0);
    stream.read(reinterpret_cast<char*>(copy_.data()), static_cast<std::streamsize>(copy_.size()));
    check(stream.gcount() == size, name_, ": reading broke off: expected ", size, " bytes, got ",
          stream.gcount());
    bytes_ = copy_;
  }

  std::string name_;
  std::vector<std::byte> copy_;  // where nothing is mapped; its memory stays when it is moved
  std::span<const std::byte> bytes_;
  bool mapped_ = false;
};

}  // namespace recur::inline RECUR_ABI

#undef RECUR_MAPS_FILES
