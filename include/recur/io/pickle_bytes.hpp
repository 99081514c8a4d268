// SPDX-License-Identifier: MIT
//
// The bytes of a pickle, one instruction and its operands after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI::detail {

/// `where` begins the texts of errors, and the place of the instruction follows; the bytes must
/// outlive the object.
class PickleBytes {
 public:
  PickleBytes(std::span<const std::byte> bytes, std::string where)
      : bytes_(bytes), where_(std::move(where)) {}

  std::size_t size() const { return bytes_.size(); }
  bool at_end() const { return at_ == bytes_.size(); }

  /// The next instruction.
  std::uint8_t instruction() {
    instruction_ = at_;
    require(!at_end(), "expected another instruction, got the end");
    return number<std::uint8_t>();
  }

  /// Throws an Error about this instruction.
  template <class... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail(where_, ": byte ", instruction_, ": ", parts...);
  }
  template <class... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) {
      fail_here(parts...);
    }
  }

  /// The next bytes; Error when there are not so many.
  std::span<const std::byte> take(std::uint64_t count) {
    require(count <= bytes_.size() - at_, "expected ", count, " bytes more, got ",
            bytes_.size() - at_);
    const auto taken = bytes_.subspan(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  /// As far as the next newline, without it.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                                bytes_.size() - at_);
    const std::size_t length = rest.find('\n');
    require(length != std::string_view::npos, "expected a line, got the end");
    at_ += length + 1;
    return rest.substr(0, length);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string where_;
  std::size_t at_ = 0;           // the next byte
  std::size_t instruction_ = 0;  // where this one began
};

}  // namespace recur::inline RECUR_ABI::detail
