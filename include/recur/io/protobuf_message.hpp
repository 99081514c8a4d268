// SPDX-License-Identifier: MIT
//
// The fields of a protobuf message, one after the other, without generated code: what reading a few
// fields of a large format takes. Needs libprotobuf (target recur::onnx).
//
//   field     tag: varint of number << 3 | type, and then by type
//   type 0    varint                          1    8 bytes, little-endian
//        2    varint of a length, the bytes   5    4 bytes, little-endian
//
// Types 3 and 4, groups, are not in use any more and refused. A message in a message is bytes that
// the reader hands to another ProtobufMessage: no recursion that the file drives.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <google/protobuf/io/coded_stream.h>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI {

/// One field as it stands in a message. `bytes` belongs to the message.
struct ProtobufField {
  std::uint32_t id = 0;              ///< number of the field
  std::uint32_t type = 0;            ///< 0, 1, 2 or 5, see above
  std::uint64_t value = 0;           ///< types 0, 1 and 5
  std::span<const std::byte> bytes;  ///< type 2

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

/// A message; `where` begins its error texts.
class ProtobufMessage {
 public:
  ProtobufMessage(std::span<const std::byte> bytes, std::string where)
      : bytes_(bytes), where_(std::move(where)) {
    check(bytes_.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()), where_,
          ": expected a protobuf message of less than 2 GB, got ", bytes_.size(), " bytes");
  }

  const std::string& where() const { return where_; }

  /// Calls f(field) for every field, in the order of the file. Throws Error where the bytes are no
  /// message.
  template <class F>
  void for_each_field(F&& f) const {
    google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes_.data()),
                                              static_cast<int>(bytes_.size()));
    while (static_cast<std::size_t>(in.CurrentPosition()) < bytes_.size()) {
      const auto begin = in.CurrentPosition();
      const auto good = [&](bool read) {
        check(read, where_, ": no protobuf message: the field at byte ", begin, " of ",
              bytes_.size(), " is broken or cut off");
      };
      std::uint64_t tag = 0;
      good(in.ReadVarint64(&tag) && tag <= std::numeric_limits<std::uint32_t>::max());
      ProtobufField field;
      field.id = static_cast<std::uint32_t>(tag >> 3);
      field.type = static_cast<std::uint32_t>(tag & 7);
      std::uint32_t word = 0;
      good(field.id > 0);
      switch (field.type) {
        case 0:
          good(in.ReadVarint64(&field.value));
          break;
        case 1:
          good(in.ReadLittleEndian64(&field.value));
          break;
        case 2: {
          good(in.ReadVarint64(&field.value));
          const auto at = static_cast<std::size_t>(in.CurrentPosition());
          good(field.value <= bytes_.size() - at);
          field.bytes = bytes_.subspan(at, static_cast<std::size_t>(field.value));
          good(in.Skip(static_cast<int>(field.value)));
          break;
        }
        case 5:
          good(in.ReadLittleEndian32(&word));
          field.value = word;
          break;
        default:
          good(false);
      }
      f(field);
    }
  }

  // ---- The value of a field; Error when it is of another type ----

  std::int64_t number(const ProtobufField& field) const {
    expect(field, 0);
    return static_cast<std::int64_t>(field.value);
  }
  float real(const ProtobufField& field) const {
    expect(field, 5);
    return std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
  }
  std::string text(const ProtobufField& field) const {
    expect(field, 2);
    return std::string(field.text());
  }
  std::span<const std::byte> bytes(const ProtobufField& field) const {
    expect(field, 2);
    return field.bytes;
  }
  ProtobufMessage message(const ProtobufField& field, const std::string& where) const {
    expect(field, 2);
    return {field.bytes, where};
  }

  /// Calls f(number) for what a field of repeated varints holds: one, or many packed together.
  template <class F>
  void for_each_number(const ProtobufField& field, F&& f) const {
    if (field.type == 0) {
      f(field.value);
      return;
    }
    expect(field, 2);
    google::protobuf::io::CodedInputStream in(
        reinterpret_cast<const std::uint8_t*>(field.bytes.data()),
        static_cast<int>(field.bytes.size()));
    while (static_cast<std::size_t>(in.CurrentPosition()) < field.bytes.size()) {
      std::uint64_t value = 0;
      check(in.ReadVarint64(&value), where_, ": no protobuf message: field ", field.id,
            " holds a number that is broken or cut off");
      f(value);
    }
  }

 private:
  void expect(const ProtobufField& field, std::uint32_t type) const {
    check(field.type == type, where_, ": field ", field.id, ": expected protobuf's type ", type,
          ", got ", field.type);
  }

  std::span<const std::byte> bytes_;
  std::string where_;
};

}  // namespace recur::inline RECUR_ABI
