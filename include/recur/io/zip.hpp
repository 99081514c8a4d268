// SPDX-License-Identifier: MIT
//
// Zip archives, read (zip_writer.hpp writes them): what torch.save and numpy.savez write. From the
// end of the file:
//
//   end record           PK 5 6 … size and offset of the central directory, number of entries
//   zip64 locator        PK 6 7 … (optional, before it) where the zip64 end record is
//   zip64 end record     PK 6 6 … the same fields with 64 bits
//   central directory    for each entry  PK 1 2 … flags, method, CRC-32, sizes, offset, name
//   entries              each  PK 3 4 … the same fields once more, name, extra field, contents
//
// (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.) Readers that look at different
// copies of a field can be shown different files, so all copies must agree here. An archive in one
// piece only; entries stored or deflated, not encrypted.
#pragma once

#include <algorithm>  // std::sort
#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/crc32.hpp"
#include "recur/io/inflate.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI {

/// One file of an archive. Name and bytes belong to the archive's memory.
struct ZipEntry {
  std::string_view name;
  bool deflated = false;
  std::uint32_t crc32 = 0;
  std::uint64_t size = 0;             ///< of the contents
  std::span<const std::byte> packed;  ///< as they stand in the archive
};

/// The contents of an entry: of a stored one, the archive's own bytes.
struct ZipContents {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> memory;  ///< what was unpacked for it, if anything was
};

/// An archive in memory: its entries by name.
///
///     const recur::ZipFile zip(file.bytes(), "model.npz");
///     for (const recur::ZipEntry& entry : zip.entries()) { … zip.contents(entry).bytes … }
///
/// All errors are recur::Error and begin with the name. The memory must outlive the object.
class ZipFile {
 public:
  ZipFile(std::span<const std::byte> file, std::string name) : file_(file), name_(std::move(name)) {
    read_directory(find_directory());
  }

  const std::string& name() const { return name_; }
  /// In the order of the central directory.
  const std::vector<ZipEntry>& entries() const { return entries_; }

  /// nullptr: there is none.
  const ZipEntry* find(std::string_view entry_name) const {
    const auto found = by_name_.find(entry_name);
    return found == by_name_.end() ? nullptr : &entries_[found->second];
  }

  /// Unpacked where it is deflated; the checksum is verified.
  ZipContents contents(const ZipEntry& entry) const {
    ZipContents result{entry.packed, nullptr};
    if (entry.deflated) {
      auto unpacked = std::make_shared<const std::vector<std::byte>>(
          detail::inflate(entry.packed, entry.size, where(entry.name)));
      result = {*unpacked, unpacked};
    }
    const std::uint32_t sum = detail::crc32(result.bytes);
    if (sum != entry.crc32) {
      fail(where(entry.name), ": expected the CRC-32 ", entry.crc32, ", got ", sum,
           " (the file is damaged)");
    }
    return result;
  }

 private:
  static constexpr std::uint32_t none32 = 0xFFFFFFFF;  // "see the zip64 field"

  struct Directory {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::uint64_t count = 0;
  };
  struct Sizes {
    std::uint64_t size = 0;
    std::uint64_t packed = 0;
    std::uint64_t offset = 0;
  };

  std::string where(std::string_view entry_name) const {
    return name_ + ": " + detail::in_quotes(entry_name);
  }

  /// The number of type T at byte `at` of a piece that is known to reach that far.
  template <class T>
  static T number(std::span<const std::byte> bytes, std::size_t at) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    return value;
  }
  static std::string_view text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// `size` bytes from byte `begin` of the file on, which must begin with the signature.
  std::span<const std::byte> record(std::uint64_t begin, std::uint64_t size, const char* signature,
                                    const char* what) const {
    check(begin <= file_.size() && size <= file_.size() - begin, name_, ": expected ", what, " (",
          size, " bytes) at byte ", begin, ", got the end of the file after ", file_.size());
    const auto bytes =
        file_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size));
    check(text(bytes).starts_with(signature), name_, ": expected ", what, " at byte ", begin,
          ", got other bytes");
    return bytes;
  }

  std::uint64_t find_end() const {
    constexpr std::uint64_t end_size = 22;
    constexpr std::uint64_t max_comment = 0xFFFF;
    for (std::uint64_t comment = 0; comment <= max_comment && end_size + comment <= file_.size();
         ++comment) {
      const std::uint64_t begin = file_.size() - end_size - comment;
      const auto bytes = file_.subspan(static_cast<std::size_t>(begin));
      if (text(bytes).starts_with("PK\5\6") && number<std::uint16_t>(bytes, 20) == comment) {
        return begin;
      }
    }
    fail(name_,
         ": expected a zip archive, got no end record in its last bytes (is the file "
         "complete?)");
  }

  Directory find_directory() const {
    const std::uint64_t end = find_end();
    const auto bytes = record(end, 22, "PK\5\6", "the end record");
    Directory directory{number<std::uint32_t>(bytes, 16), number<std::uint32_t>(bytes, 12),
                        number<std::uint16_t>(bytes, 10)};
    check(number<std::uint16_t>(bytes, 4) == 0 && number<std::uint16_t>(bytes, 6) == 0 &&
              number<std::uint16_t>(bytes, 8) == directory.count,
          name_, ": expected an archive in one piece, got one of several");

    std::uint64_t directory_end = end;
    constexpr std::uint64_t locator_size = 20;
    const bool zip64 =
        end >= locator_size &&
        text(file_.subspan(static_cast<std::size_t>(end - locator_size))).starts_with("PK\6\7");
    if (zip64) {
      const auto locator = record(end - locator_size, locator_size, "PK\6\7", "the zip64 locator");
      directory_end = number<std::uint64_t>(locator, 8);
      const auto record64 = record(directory_end, 56, "PK\6\6", "the zip64 end record");
      check(number<std::uint64_t>(record64, 4) == end - locator_size - directory_end - 12 &&
                directory_end + 56 <= end - locator_size,
            name_, ": the zip64 end record does not end where its locator begins");
      const Directory wide{number<std::uint64_t>(record64, 48), number<std::uint64_t>(record64, 40),
                           number<std::uint64_t>(record64, 32)};
      check(number<std::uint32_t>(locator, 4) == 0 && number<std::uint32_t>(record64, 16) == 0 &&
                number<std::uint32_t>(record64, 20) == 0 &&
                number<std::uint64_t>(record64, 24) == wide.count,
            name_, ": expected an archive in one piece, got one of several");
      check((directory.begin == none32 || directory.begin == wide.begin) &&
                (directory.size == none32 || directory.size == wide.size) &&
                (directory.count == 0xFFFF || directory.count == wide.count),
            name_, ": the end record and the zip64 end record say different things");
      directory = wide;
    }
    check(directory.begin <= directory_end && directory.size == directory_end - directory.begin,
          name_, ": expected the central directory (", directory.size, " bytes from byte ",
          directory.begin, ") to end at byte ", directory_end);
    return directory;
  }

  void read_directory(const Directory& directory) {
    constexpr std::uint64_t header_size = 46;
    check(directory.count <= directory.size / header_size, name_, ": expected at most ",
          directory.size / header_size, " entries in a central directory of ", directory.size,
          " bytes, got ", directory.count);
    const std::uint64_t end = directory.begin + directory.size;
    std::uint64_t at = directory.begin;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> places;  // begin, end in the file
    for (std::uint64_t k = 0; k < directory.count; ++k) {
      const auto header = record(at, header_size, "PK\1\2", "an entry of the central directory");
      const std::uint64_t name_size = number<std::uint16_t>(header, 28);
      const std::uint64_t extra_size = number<std::uint16_t>(header, 30);
      const std::uint64_t whole =
          header_size + name_size + extra_size + number<std::uint16_t>(header, 32);
      check(whole <= end - at, name_, ": an entry reaches past the end of the central directory");
      const auto rest = file_.subspan(static_cast<std::size_t>(at + header_size));
      const std::string_view entry_name = text(rest.first(static_cast<std::size_t>(name_size)));
      const auto extra =
          rest.subspan(static_cast<std::size_t>(name_size), static_cast<std::size_t>(extra_size));
      places.push_back(read_entry(header, entry_name, extra, directory.begin));
      at += whole;
    }
    check(at == end, name_, ": expected ", directory.count,
          " entries to fill the central directory");

    std::sort(places.begin(), places.end());
    for (std::size_t k = 1; k < places.size(); ++k) {
      check(places[k - 1].second <= places[k].first, name_, ": two entries overlap at byte ",
            places[k].first);
    }
  }

  /// Adds the entry with this header in the central directory; where it is in the file.
  std::pair<std::uint64_t, std::uint64_t> read_entry(std::span<const std::byte> header,
                                                     std::string_view entry_name,
                                                     std::span<const std::byte> extra,
                                                     std::uint64_t directory_begin) {
    const auto flags = number<std::uint16_t>(header, 8);
    const auto method = number<std::uint16_t>(header, 10);
    constexpr unsigned encrypted = 0x0001;
    constexpr unsigned known_flags = 0x080E;  // deflate's effort, sizes after the data, UTF-8
    check((flags & encrypted) == 0, where(entry_name), ": is encrypted");
    check((flags & ~known_flags) == 0, where(entry_name), ": has unknown flags ", flags);
    check(method == 0 || method == 8, where(entry_name),
          ": expected a stored or deflated entry (method 0 or 8), got method ", method);
    const bool sizes_follow = (flags & 0x0008) != 0;

    Sizes sizes{number<std::uint32_t>(header, 24), number<std::uint32_t>(header, 20),
                number<std::uint32_t>(header, 42)};
    std::uint64_t disk = number<std::uint16_t>(header, 34);
    read_zip64(extra, entry_name, {&sizes.size, &sizes.packed, &sizes.offset});
    check(disk == 0, where(entry_name), ": expected an archive in one piece, got one of several");
    check(method != 0 || sizes.size == sizes.packed, where(entry_name),
          ": is stored, expected equal sizes, got ", sizes.size, " and ", sizes.packed);

    // The header beside the contents.
    const auto local = record(sizes.offset, 30, "PK\3\4", "the header of an entry");
    const std::uint64_t name_size = number<std::uint16_t>(local, 26);
    const std::uint64_t extra_size = number<std::uint16_t>(local, 28);
    const std::uint64_t begin = sizes.offset + 30 + name_size + extra_size;
    check(begin <= directory_begin && sizes.packed <= directory_begin - begin, where(entry_name),
          ": expected ", sizes.packed, " bytes from byte ", begin,
          " on before the central directory at byte ", directory_begin);
    const auto rest = file_.subspan(static_cast<std::size_t>(sizes.offset + 30));
    const std::string_view local_name = text(rest.first(static_cast<std::size_t>(name_size)));
    check(local_name == entry_name, where(entry_name), ": is called ",
          detail::in_quotes(local_name), " beside its contents");
    Sizes local_sizes{number<std::uint32_t>(local, 22), number<std::uint32_t>(local, 18), 0};
    const auto local_crc = number<std::uint32_t>(local, 14);
    const auto crc = number<std::uint32_t>(header, 16);
    const bool left_out =
        sizes_follow && local_crc == 0 && local_sizes.size == 0 && local_sizes.packed == 0;
    if (!left_out) {
      const bool wide = local_sizes.size == none32 || local_sizes.packed == none32;
      read_zip64(
          rest.subspan(static_cast<std::size_t>(name_size), static_cast<std::size_t>(extra_size)),
          entry_name, {&local_sizes.size, &local_sizes.packed});
      const bool wide_left_out = sizes_follow && wide && local_crc == 0 && local_sizes.size == 0 &&
                                 local_sizes.packed == 0;
      check(wide_left_out || (local_crc == crc && local_sizes.size == sizes.size &&
                              local_sizes.packed == sizes.packed),
            where(entry_name), ": the central directory says ", sizes.size, " bytes, packed ",
            sizes.packed, ", CRC-32 ", crc, "; the header beside the contents ", local_sizes.size,
            ", ", local_sizes.packed, ", ", local_crc);
    }
    check(number<std::uint16_t>(local, 8) == method && number<std::uint16_t>(local, 6) == flags,
          where(entry_name),
          ": flags or method in the central directory are not those beside the contents");

    const std::size_t index = entries_.size();
    check(by_name_.emplace(entry_name, index).second, where(entry_name), ": comes twice");
    entries_.push_back(
        {entry_name, method == 8, crc, sizes.size,
         file_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(sizes.packed))});
    return {sizes.offset, begin + sizes.packed};
  }

  /// Replaces each field that says 0xFFFFFFFF by the next one of the extra field with id 1.
  void read_zip64(std::span<const std::byte> extra, std::string_view entry_name,
                  std::initializer_list<std::uint64_t*> fields) const {
    std::span<const std::byte> wide;
    while (extra.size() >= 4) {
      const auto id = number<std::uint16_t>(extra, 0);
      const std::size_t size = number<std::uint16_t>(extra, 2);
      check(size <= extra.size() - 4, where(entry_name), ": an extra field is longer than all");
      if (id == 1) {
        wide = extra.subspan(4, size);
        break;
      }
      extra = extra.subspan(4 + size);
    }
    for (std::uint64_t* field : fields) {
      if (*field == none32 && wide.size() >= 8) {
        *field = number<std::uint64_t>(wide, 0);
        wide = wide.subspan(8);
      }
    }
  }

  std::span<const std::byte> file_;
  std::string name_;
  std::vector<ZipEntry> entries_;
  std::map<std::string_view, std::size_t> by_name_;  // position in entries_
};

}  // namespace recur::inline RECUR_ABI
