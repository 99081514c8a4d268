// SPDX-License-Identifier: MIT
#include "common/progress.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace progress_test {
namespace {

using examples::Progress;

Progress::Clock::time_point now_for_test;

Progress::Options options(bool terminal) {
  now_for_test = {};
  return {.terminal = terminal, .now = [] { return now_for_test; }};
}

void pass(int milliseconds) { now_for_test += std::chrono::milliseconds(milliseconds); }

TEST(Progress, TerminalBarIsRenewedAtMostTenTimesASecond) {
  std::ostringstream out;
  Progress progress(out, "epoch 1/3", 1000, options(true));
  for (std::size_t k = 1; k <= 100; ++k) {
    pass(10);
    progress.update(10 * k, 0.5, 0.25);
  }
  progress.finish(0.25, 0.9);
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 11);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_NE(text.find("\repoch 1/3 [##########----------]  50%  loss 0.5000  acc 25.00%  1000/s  "
                      "0:01 left"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find("\repoch 1/3 [####################] 100%  loss 0.2500  acc 90.00%  1000/s  0:01"),
      std::string::npos)
      << text;
}

TEST(Progress, PlainLinesAtIntervals) {
  std::ostringstream out;
  Progress progress(out, "epoch 2/3", 60000, options(false));
  for (std::size_t k = 1; k <= 60; ++k) {
    pass(500);
    progress.update(1000 * k, 1, 0.5);
  }
  progress.finish(1, 0.5);
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);  // after 10, 20 and 30 s, and the end
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find("epoch 2/3  33%  loss 1.0000  acc 50.00%  2000/s  0:20 left\n"), 0U) << text;
}

TEST(Progress, OddValues) {
  std::ostringstream out;
  Progress progress(out, "odd", 0, options(true));
  pass(200);
  progress.update(0, std::numeric_limits<double>::quiet_NaN(), 0);
  pass(200);
  progress.update(5, std::numeric_limits<double>::infinity(), 1);
  progress.finish(1e300, 1);
  EXPECT_NE(out.str().find("loss nan"), std::string::npos) << out.str();
  EXPECT_LT(out.str().size(), 400U);
}

TEST(Progress, HoursAndAShorterLine) {
  std::ostringstream out;
  Progress progress(out, "slow", 1000000, options(true));
  pass(3600000);
  progress.update(250000, 123456789.0, 0.5);
  EXPECT_NE(out.str().find(" 25%"), std::string::npos);
  EXPECT_NE(out.str().find("3:00:00 left"), std::string::npos) << out.str();
  pass(1000);
  progress.update(1000000, 0.5, 0.5);
  EXPECT_EQ(out.str().back(), ' ');  // the longer line is wiped
}

}  // namespace
}  // namespace progress_test
