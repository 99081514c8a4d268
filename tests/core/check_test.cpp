// SPDX-License-Identifier: MIT
#include "recur/core/check.hpp"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "support/compare.hpp"

namespace check_test {
namespace {

using recur::shape_string;
using recur::test::error_of;

TEST(Check, ShapesAreWrittenAsPyTorchWritesThem) {
  EXPECT_EQ(std::string(shape_string({2, 3, 5})), "(2, 3, 5)");
  EXPECT_EQ(std::string(shape_string({4, 0})), "(4, 0)");
  EXPECT_EQ(std::string(shape_string({3})), "(3,)");
  EXPECT_EQ(std::string(shape_string({})), "()");
}

TEST(Check, FailPutsThePartsTogether) {
  EXPECT_EQ(error_of([] { recur::fail("expected ", 3, ", got ", 2.5, std::string("!")); }),
            "expected 3, got 2.5!");
}

TEST(Check, ThrowsOnlyWhereTheConditionFails) {
  EXPECT_NO_THROW(recur::check(true, "not seen"));
  EXPECT_EQ(error_of([] { recur::check(1 > 2, "sizes ", shape_string({1, 2})); }), "sizes (1, 2)");
}

TEST(Check, ErrorIsAnInvalidArgument) {
  EXPECT_THROW(recur::fail("x"), std::invalid_argument);
  EXPECT_THROW(recur::fail("x"), std::exception);
}

std::string warned;  // a handler is a plain function

TEST(Check, WarningsGoToTheHandler) {
  const recur::WarningHandler before =
      recur::set_warning_handler([](const char* text) { warned = text; });
  recur::warn("got ", 3, " of ", shape_string({1, 2}));
  EXPECT_EQ(warned, "got 3 of (1, 2)");
  recur::set_warning_handler(nullptr);
  recur::warn("unheard");
  EXPECT_EQ(warned, "got 3 of (1, 2)");
  recur::set_warning_handler(before);
  testing::internal::CaptureStderr();
  recur::warn("heard");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "recur: warning: heard\n");
}

}  // namespace
}  // namespace check_test
