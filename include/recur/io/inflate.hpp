// SPDX-License-Identifier: MIT
//
// Deflated bytes, as zip archives hold them, unpacked by zlib where the build has it: the target
// recur::io then defines RECUR_HAS_ZLIB.
#pragma once

#include <algorithm>  // std::min, std::max
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "recur/core/check.hpp"

#ifdef RECUR_HAS_ZLIB
#include <zlib.h>
#endif

namespace recur::inline RECUR_ABI::detail {

/// Deflate makes at most this many bytes of one (https://zlib.net/zlib_tech.html).
inline constexpr std::uint64_t max_deflate_ratio = 1032;

/// Unpacks raw deflate data of exactly `size` bytes. `where` begins the texts of errors. Memory is
/// taken as the bytes come, not as `size` announces them.
inline std::vector<std::byte> inflate([[maybe_unused]] std::span<const std::byte> packed,
                                      [[maybe_unused]] std::uint64_t size,
                                      const std::string& where) {
#ifdef RECUR_HAS_ZLIB
  check(size / max_deflate_ratio <= packed.size(), where, ": expected at most ",
        packed.size() * max_deflate_ratio, " bytes out of ", packed.size(),
        " deflated ones, got a size of ", size);
  struct Stream : z_stream {
    Stream() : z_stream{} {}
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { inflateEnd(this); }
  } stream;
  check(inflateInit2(&stream, -MAX_WBITS) == Z_OK, where, ": zlib cannot be started");

  constexpr std::uint64_t most = 1U << 30;  // zlib counts in 32 bits
  std::vector<std::byte> bytes;
  std::size_t used = 0;
  std::size_t filled = 0;
  for (int result = Z_OK; result != Z_STREAM_END;) {
    if (filled == bytes.size() && bytes.size() < size) {
      const std::uint64_t more = std::clamp<std::uint64_t>(bytes.size(), 1U << 12, most);
      bytes.resize(static_cast<std::size_t>(std::min(size, bytes.size() + more)));
    }
    std::byte extra{};  // where all `size` bytes are there: one more would be too many
    const bool full = filled == bytes.size();
    const std::size_t room = full ? 1 : std::min<std::size_t>(bytes.size() - filled, most);
    const std::size_t input = std::min<std::size_t>(packed.size() - used, most);
    // zlib does not write to its input; before version 1.2.5.2 the pointer was not const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + used));
    stream.avail_in = static_cast<uInt>(input);
    stream.next_out = reinterpret_cast<Bytef*>(full ? &extra : bytes.data() + filled);
    stream.avail_out = static_cast<uInt>(room);
    result = ::inflate(&stream, Z_NO_FLUSH);
    check(result == Z_OK || result == Z_STREAM_END, where, ": expected valid deflated data, got ",
          result == Z_BUF_ERROR   ? "the end of it"
          : stream.msg != nullptr ? stream.msg
                                  : "an error of zlib");
    used += input - stream.avail_in;
    const std::size_t made = room - stream.avail_out;
    check(!full || made == 0, where, ": expected ", size, " bytes, got more");
    filled += made;
  }
  check(filled == size, where, ": expected ", size, " bytes, got ", filled);
  check(used == packed.size(), where, ": expected ", packed.size(), " deflated bytes, got ", used);
  return bytes;
#else
  fail(where,
       ": is deflated, and this program was built without zlib (CMake: find_package(ZLIB); "
       "in Python, numpy.savez instead of savez_compressed needs none)");
#endif
}

}  // namespace recur::inline RECUR_ABI::detail
