// SPDX-License-Identifier: MIT
//
// Reads MNIST's IDX files, plain or gzip. The files may come from anywhere, so nothing in them is
// taken on trust: whatever is wrong gives one DataError that says which file, where, what was
// expected and what was found, and memory is only taken for bytes that are really there.
//
//     images: 00 00 08 03, count, 28, 28 (big-endian 32 bit each), then count x 784 bytes
//     labels: 00 00 08 01, count, then count bytes 0 ... 9
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <zlib.h>

#include "dataset.hpp"

namespace mnist {

/// The data cannot be used; what() says why in one line.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Mnist {
  Dataset train;
  Dataset test;
  std::string source;  ///< the folder that held the files
};

namespace detail {

/// The bytes of a file one after the other, inflated where the file is gzip (told by its first two
/// bytes, not by its name).
class IdxSource {
 public:
  explicit IdxSource(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path_, error)) {
      fail("no such file");
    }
    file_size_ = std::filesystem::file_size(path_, error);
    file_.open(path_, std::ios::binary);
    if (error || !file_) {
      fail("cannot be opened");
    }
    fill();
    zipped_ = filled_ >= 2 && input_[0] == 0x1F && input_[1] == 0x8B;
    if (zipped_ && inflateInit2(&stream_, 15 + 16) != Z_OK) {  // 16: gzip, its checksum verified
      fail("zlib cannot be started");
    }
  }
  ~IdxSource() {
    if (zipped_) {
      inflateEnd(&stream_);
    }
  }
  IdxSource(const IdxSource&) = delete;
  IdxSource& operator=(const IdxSource&) = delete;

  /// Throws a DataError about this file.
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(path_.string() + ": " + what);
  }
  [[noreturn]] void fail_at(std::uint64_t offset, const std::string& expected,
                            const std::string& got) const {
    fail("byte " + std::to_string(offset) + (zipped_ ? " of the unzipped data" : "") +
         ": expected " + expected + ", got " + got);
  }

  /// The next big-endian 32 bits.
  std::uint32_t read32(const char* what) {
    std::array<std::uint8_t, 4> bytes{};
    if (const std::size_t got = read_some(bytes); got < bytes.size()) {
      fail_at(offset_, what, "the end of the file");
    }
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
           std::uint32_t{bytes[2]} << 8 | bytes[3];
  }

  /// The rest of the file, which must be exactly `size` bytes.
  std::vector<std::uint8_t> read_rest(std::uint64_t size) {
    // Plain, the size of the file decides; zipped, deflate makes at most 1032 bytes of one.
    const std::uint64_t expected = offset_ + size;
    if (!zipped_ && file_size_ != expected) {
      fail_at(std::min(file_size_, expected), "a file of " + std::to_string(expected) + " bytes",
              std::to_string(file_size_));
    }
    if (zipped_ && expected / 1032 > file_size_) {
      fail_at(4, "a count that fits a gzip file of " + std::to_string(file_size_) + " bytes",
              std::to_string(expected) + " bytes announced");
    }
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < size) {
      constexpr std::uint64_t chunk = 1 << 22;
      const std::size_t before = bytes.size();
      bytes.resize(static_cast<std::size_t>(std::min(size, before + chunk)));
      if (read_some(std::span(bytes).subspan(before)) < bytes.size() - before) {
        fail_at(offset_, std::to_string(expected) + " bytes", "the end of the file");
      }
    }
    expect_end(expected);
    return bytes;
  }

 private:
  void expect_end(std::uint64_t expected) {
    std::array<std::uint8_t, 1> one{};
    if (read_some(one) != 0) {
      fail_at(expected, "the end of the data", "more bytes");
    }
    if (used_ < filled_ || fill() > 0) {
      fail("byte " + std::to_string(consumed()) + " of the file: expected the end, got more bytes");
    }
  }

  /// Fills `bytes` as far as the data reaches; returns how many were written.
  std::size_t read_some(std::span<std::uint8_t> bytes) {
    std::size_t written = 0;
    while (written < bytes.size() && !ended_) {
      if (used_ == filled_ && fill() == 0) {
        if (zipped_) {
          fail("byte " + std::to_string(consumed()) +
               " of the file: expected more gzip data, got the end of the file");
        }
        break;
      }
      const std::span<std::uint8_t> rest = bytes.subspan(written);
      written += zipped_ ? inflate_some(rest) : copy_some(rest);
    }
    offset_ += written;
    return written;
  }

  std::size_t copy_some(std::span<std::uint8_t> bytes) {
    const std::size_t count = std::min(bytes.size(), filled_ - used_);
    std::copy_n(input_.begin() + static_cast<std::ptrdiff_t>(used_), count, bytes.begin());
    used_ += count;
    return count;
  }

  std::size_t inflate_some(std::span<std::uint8_t> bytes) {
    stream_.next_in = input_.data() + used_;
    stream_.avail_in = static_cast<uInt>(filled_ - used_);
    stream_.next_out = bytes.data();
    stream_.avail_out = static_cast<uInt>(bytes.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    used_ = filled_ - stream_.avail_in;
    if (result == Z_STREAM_END) {
      ended_ = true;
    } else if (result != Z_OK) {
      fail("byte " + std::to_string(consumed()) + " of the file: expected valid gzip data, got " +
           (stream_.msg != nullptr ? stream_.msg : "zlib error " + std::to_string(result)));
    }
    return bytes.size() - stream_.avail_out;
  }

  /// Reads the next piece of the file; returns its size.
  std::size_t fill() {
    before_ += filled_;
    file_.read(reinterpret_cast<char*>(input_.data()), static_cast<std::streamsize>(input_.size()));
    used_ = 0;
    filled_ = static_cast<std::size_t>(file_.gcount());
    if (file_.bad()) {
      fail("byte " + std::to_string(before_) + " of the file: cannot be read");
    }
    return filled_;
  }

  std::uint64_t consumed() const { return before_ + used_; }

  std::filesystem::path path_;
  std::ifstream file_;
  std::uint64_t file_size_ = 0;
  bool zipped_ = false;
  bool ended_ = false;        // the end of the gzip stream was reached
  std::uint64_t offset_ = 0;  // of the next byte that read_some gives
  std::array<std::uint8_t, 1 << 16> input_{};
  std::size_t used_ = 0;      // of input_
  std::size_t filled_ = 0;    // of input_
  std::uint64_t before_ = 0;  // bytes of the file before input_
  z_stream stream_{};
};

inline void expect_value(const IdxSource& source, std::uint64_t offset, const std::string& what,
                         std::uint32_t expected, std::uint32_t got) {
  if (got != expected) {
    source.fail_at(offset, what + " " + std::to_string(expected), std::to_string(got));
  }
}

inline std::uint32_t read_count(IdxSource& source) {
  const std::uint32_t count = source.read32("the number of items");
  if (count == 0) {
    source.fail_at(4, "at least one item", "0");
  }
  return count;
}

/// The path of one of MNIST's files in `folder` under any of its usual names, or nothing.
inline std::optional<std::filesystem::path> find_file(const std::filesystem::path& folder,
                                                      const std::string& name) {
  std::string dotted = name;  // train-images-idx3-ubyte -> train-images.idx3-ubyte
  dotted[dotted.find("-idx")] = '.';
  for (const std::string& spelling : {name, name + ".gz", dotted, dotted + ".gz"}) {
    std::error_code error;
    if (std::filesystem::is_regular_file(folder / spelling, error)) {
      return folder / spelling;
    }
  }
  return std::nullopt;
}

inline constexpr std::array<const char*, 4> file_names{
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte"};

/// Where MNIST usually lies.
inline std::vector<std::filesystem::path> usual_folders() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return std::filesystem::path(value != nullptr ? value : "");
  };
  std::vector<std::filesystem::path> folders;
  if (const auto given = variable("MNIST_DIR"); !given.empty()) {
    folders.push_back(given);
  }
  for (const char* local : {"data/mnist", "mnist", "data/MNIST/raw", "MNIST/raw", "data"}) {
    folders.emplace_back(local);
  }
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) {
    folders.push_back(cache / "recur/mnist");
  }
  if (const auto home = variable("HOME"); !home.empty()) {
    for (const char* usual : {".cache/recur/mnist", "data/mnist", "data/MNIST/raw", "mnist"}) {
      folders.push_back(home / usual);
    }
  }
  return folders;
}

}  // namespace detail

/// Reads a file of images and the file of their labels. Throws DataError.
inline Dataset load_idx(const std::filesystem::path& images, const std::filesystem::path& labels) {
  Dataset data;
  std::uint32_t count = 0;
  {
    detail::IdxSource source(images);
    detail::expect_value(source, 0, "the magic number of images,", 0x803,
                         source.read32("a header"));
    count = detail::read_count(source);
    for (const unsigned offset : {8U, 12U}) {
      detail::expect_value(source, offset, offset == 8 ? "rows:" : "columns:", image_side,
                           source.read32("the size of the images"));
    }
    data.images = source.read_rest(std::uint64_t{count} * image_size);
  }
  detail::IdxSource source(labels);
  detail::expect_value(source, 0, "the magic number of labels,", 0x801, source.read32("a header"));
  detail::expect_value(source, 4, "as many labels as images in " + images.string() + ",", count,
                       detail::read_count(source));
  data.labels = source.read_rest(count);
  const auto wrong = std::find_if(data.labels.begin(), data.labels.end(),
                                  [](std::uint8_t label) { return label > 9; });
  if (wrong != data.labels.end()) {
    source.fail_at(8 + static_cast<std::uint64_t>(wrong - data.labels.begin()), "a label 0 ... 9",
                   std::to_string(*wrong));
  }
  return data;
}

/// MNIST from the given folder, which must hold its four files: else DataError says which are
/// missing. Without a folder ("") the usual places are searched; nothing when none has all four.
inline std::optional<Mnist> find_mnist(const std::filesystem::path& given) {
  const std::vector<std::filesystem::path> folders =
      given.empty() ? detail::usual_folders() : std::vector{given};
  for (const std::filesystem::path& folder : folders) {
    std::vector<std::filesystem::path> files;
    std::string missing;
    for (const char* name : detail::file_names) {
      if (const auto file = detail::find_file(folder, name)) {
        files.push_back(*file);
      } else {
        missing += missing.empty() ? name : std::string(", ") + name;
      }
    }
    if (missing.empty()) {
      return Mnist{load_idx(files[0], files[1]), load_idx(files[2], files[3]), folder.string()};
    }
    if (!given.empty()) {
      std::error_code error;
      throw DataError(given.string() + ": " +
                      (std::filesystem::is_directory(given, error) ? "expected MNIST's four files "
                                                                     "(plain or .gz), missing: " +
                                                                         missing
                                                                   : "no such folder"));
    }
  }
  return std::nullopt;
}

}  // namespace mnist
