// SPDX-License-Identifier: MIT
//
// What every module must do when a callback of update_parameters() resizes a parameter.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/core/parameters.hpp"

#include "support/compare.hpp"

namespace recur::test {

/// Resizes each parameter of the module in turn: the error names it with both shapes, and the
/// module is left as one that has zeros there. forward(module): an Eigen array that depends on them
/// all.
template <class AnyModule>
void expect_resizing_is_refused(const AnyModule& module, auto&& forward) {
  std::vector<std::string> names;
  for_each_parameter(module, [&](const std::string& name, const auto&) { names.push_back(name); });
  ASSERT_FALSE(names.empty());
  for (const std::string& resized : names) {
    SCOPED_TRACE(resized);
    std::string sizes;
    AnyModule expected = module;
    update_parameters(expected, [&](const std::string& name, auto& array) {
      if (name == resized) {
        sizes = "expected " + std::string(shape_string({array.rows(), array.cols()})) + ", got " +
                std::string(shape_string({array.rows() + 1, array.cols()}));
        array.setZero();
      }
    });
    AnyModule got = module;
    const std::string error = error_of([&] {
      update_parameters(got, [&](const std::string& name, auto& array) {
        if (name == resized) {
          array.setOnes(array.rows() + 1, array.cols());
        }
      });
    });
    EXPECT_NE(error.find("parameter " + resized + ": "), std::string::npos) << error;
    EXPECT_NE(error.find(sizes), std::string::npos) << error;
    EXPECT_EQ(forward(got), forward(expected));
  }
}

}  // namespace recur::test
