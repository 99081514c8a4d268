// SPDX-License-Identifier: MIT
//
// Modules whose weights are all zero, where a step can be written down.
#pragma once

#include <string>

#include "recur/core/parameters.hpp"

namespace recur::test {

/// The module with every parameter zero.
template <class AnyModule>
AnyModule with_zero_weights(AnyModule module) {
  update_parameters(module, [](const std::string&, auto& array) { array.setZero(); });
  return module;
}

}  // namespace recur::test
