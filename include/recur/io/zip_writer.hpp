// SPDX-License-Identifier: MIT
//
// Zip archives, written; zip.hpp reads them and says what the format is. Entries are stored as they
// are. Sizes and offsets always stand in the zip64 fields, so that small and large archives take
// the same way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "recur/io/crc32.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI {

/// Gathers files and makes an archive of them.
///
///     recur::ZipWriter zip;
///     zip.add("weight.npy", contents);
///     write_file_atomically("model.npz", zip.bytes());
///
/// All errors are recur::Error.
class ZipWriter {
 public:
  /// Adds an entry; its contents are copied.
  void add(const std::string& name, std::span<const std::byte> contents) {
    check(!name.empty() && name.size() <= std::numeric_limits<std::uint16_t>::max(),
          "ZipWriter: expected a name of 1 to 65535 bytes, got ", name.size());
    check(names_.insert(name).second, "ZipWriter: entry ", detail::in_quotes(name),
          " was added before");
    const std::uint64_t offset = entries_.size();
    const std::uint32_t sum = detail::crc32(contents);
    const std::uint64_t size = contents.size();

    put_text(entries_, "PK\3\4");
    put_common(entries_, sum, name);
    put<std::uint16_t>(entries_, 20);  // length of the extra field
    put_text(entries_, name);
    put<std::uint16_t>(entries_, 1);  // zip64
    put<std::uint16_t>(entries_, 16);
    put(entries_, size);
    put(entries_, size);
    entries_.insert(entries_.end(), contents.begin(), contents.end());

    put_text(directory_, "PK\1\2");
    put<std::uint16_t>(directory_, version);  // written by
    put_common(directory_, sum, name);
    put<std::uint16_t>(directory_, 28);  // length of the extra field
    put<std::uint16_t>(directory_, 0);   // of a comment
    put<std::uint16_t>(directory_, 0);   // number of the disk
    put<std::uint16_t>(directory_, 0);   // attributes
    put<std::uint32_t>(directory_, 0);
    put<std::uint32_t>(directory_, in_zip64);  // offset
    put_text(directory_, name);
    put<std::uint16_t>(directory_, 1);  // zip64
    put<std::uint16_t>(directory_, 24);
    put(directory_, size);
    put(directory_, size);
    put(directory_, offset);
  }

  /// The archive.
  std::vector<std::byte> bytes() const {
    const std::uint64_t count = names_.size();
    const std::uint64_t size = directory_.size();
    const std::uint64_t begin = entries_.size();
    std::vector<std::byte> file;
    file.reserve(entries_.size() + directory_.size() + 98);
    file = entries_;
    file.insert(file.end(), directory_.begin(), directory_.end());

    put_text(file, "PK\6\6");
    put<std::uint64_t>(file, 44);  // bytes that follow
    put<std::uint16_t>(file, version);
    put<std::uint16_t>(file, version);
    put<std::uint32_t>(file, 0);  // numbers of disks
    put<std::uint32_t>(file, 0);
    put(file, count);
    put(file, count);
    put(file, size);
    put(file, begin);

    put_text(file, "PK\6\7");
    put<std::uint32_t>(file, 0);
    put(file, begin + size);
    put<std::uint32_t>(file, 1);

    put_text(file, "PK\5\6");
    put<std::uint32_t>(file, 0);
    put<std::uint32_t>(file, in_zip64);  // twice the number of entries
    put<std::uint32_t>(file, in_zip64);
    put<std::uint32_t>(file, in_zip64);
    put<std::uint16_t>(file, 0);
    return file;
  }

 private:
  static constexpr std::uint16_t version = 45;  // zip64
  static constexpr std::uint32_t in_zip64 = 0xFFFFFFFF;

  template <class T>
  static void put(std::vector<std::byte>& to, T number) {
    const std::size_t at = to.size();
    to.resize(at + sizeof(T));
    std::memcpy(to.data() + at, &number, sizeof(T));
  }
  static void put_text(std::vector<std::byte>& to, std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  // What both headers of an entry have in the middle.
  static void put_common(std::vector<std::byte>& to, std::uint32_t sum, const std::string& name) {
    put<std::uint16_t>(to, version);
    put<std::uint16_t>(to, 0x0800);  // names are UTF-8
    put<std::uint16_t>(to, 0);       // stored
    put<std::uint16_t>(to, 0);       // 1980-01-01, so that the same contents are the same file
    put<std::uint16_t>(to, 0x0021);
    put(to, sum);
    put<std::uint32_t>(to, in_zip64);
    put<std::uint32_t>(to, in_zip64);
    put(to, static_cast<std::uint16_t>(name.size()));
  }

  std::set<std::string> names_;
  std::vector<std::byte> entries_;
  std::vector<std::byte> directory_;
};

}  // namespace recur::inline RECUR_ABI
