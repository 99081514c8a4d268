// SPDX-License-Identifier: MIT
//
// Errors. The library throws one type for every wrong argument, before anything was written. The
// texts are PyTorch's where PyTorch has one; every text says what, where, expected and got.
#pragma once

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>

#include "recur/config.hpp"

namespace recur {

/// Wrong argument: a shape, an option, a missing or misshaped tensor of a file.
class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// The sizes of an array as PyTorch prints them: `(2, 3, 5)`, and `(3,)` for one dimension.
inline std::string shape_string(std::initializer_list<Index> sizes) {
  std::ostringstream text;
  text << '(';
  const char* separator = "";
  for (Index size : sizes) {
    text << separator << size;
    separator = ", ";
  }
  text << (sizes.size() == 1 ? ",)" : ")");
  return text.str();
}

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

}  // namespace recur
