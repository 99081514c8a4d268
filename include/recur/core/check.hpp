// SPDX-License-Identifier: MIT
//
// Errors and warnings. The library throws one type for every wrong argument, before anything was
// written. The texts are PyTorch's where PyTorch has one; every text says what, where, expected and
// got.
#pragma once

#include <algorithm>  // std::copy_n, std::min
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>

#include "recur/config.hpp"

namespace recur {

/// Wrong argument: a shape, an option, a missing or misshaped tensor of a file. One type for parts
/// of a program that are compiled for different processors.
class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

}  // namespace recur

namespace recur::inline RECUR_ABI {

/// The sizes of an array as PyTorch prints them: `(2, 3, 5)`, and `(3,)` for one dimension. Turned
/// into text only where it is printed, so that checks that hold cost nothing.
class ShapeText {
 public:
  explicit ShapeText(std::initializer_list<Index> sizes)
      : count_(std::min<std::size_t>(sizes.size(), 4)) {
    std::copy_n(sizes.begin(), count_, sizes_.begin());
  }

  operator std::string() const {  // NOLINT(google-explicit-constructor)
    std::ostringstream text;
    text << *this;
    return text.str();
  }

  friend std::ostream& operator<<(std::ostream& out, const ShapeText& shape) {
    out << '(';
    for (std::size_t k = 0; k < shape.count_; ++k) {
      out << (k == 0 ? "" : ", ") << shape.sizes_[k];
    }
    return out << (shape.count_ == 1 ? ",)" : ")");
  }

 private:
  std::array<Index, 4> sizes_{};
  std::size_t count_;
};

inline ShapeText shape_string(std::initializer_list<Index> sizes) { return ShapeText(sizes); }

/// Throws Error with all parts written one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

/// Throws Error unless `condition` holds. The text is put together only when it is needed.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]] {
    fail(parts...);
  }
}

/// Takes the text of a warning: of something that is allowed and does not do what it looks like.
using WarningHandler = void (*)(const char* text);

namespace detail {

inline void print_warning(const char* text) { std::fprintf(stderr, "recur: warning: %s\n", text); }

inline std::atomic<WarningHandler>& warning_handler() {
  static std::atomic<WarningHandler> handler{print_warning};
  return handler;
}

}  // namespace detail

/// Sends the warnings of all threads to `handler` (nullptr: nowhere) instead of to stderr. The
/// handler before.
inline WarningHandler set_warning_handler(WarningHandler handler) {
  return detail::warning_handler().exchange(handler);
}

/// Gives the handler all parts written one after the other.
template <class... Parts>
void warn(const Parts&... parts) {
  if (const WarningHandler handler = detail::warning_handler()) {
    std::ostringstream text;
    (text << ... << parts);
    handler(text.str().c_str());
  }
}

}  // namespace recur::inline RECUR_ABI
