// SPDX-License-Identifier: MIT
#include "common/svg_chart.hpp"

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mnist/report.hpp"

namespace svg_chart_test {
namespace {

using examples::Chart;
using examples::ChartPoint;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++times;
  }
  return times;
}

/// Every tag closed in the right order, no stray "<" or "&", attributes quoted.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < xml.size(); ++at) {
    if (xml[at] == '&') {
      const std::size_t end = xml.find(';', at);
      if (end == std::string::npos || end - at > 5) {
        return false;
      }
    }
    if (xml[at] != '<') {
      continue;
    }
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) {
      return false;
    }
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (count(tag, "\"") % 2 != 0 || tag.find('<') != std::string::npos) {
      return false;
    }
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) {
        return false;
      }
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end;
  }
  return open.empty();
}

void expect_sound(const std::string& svg) {
  EXPECT_TRUE(well_formed(svg)) << svg;
  EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(SvgChart, OneLine) {
  Chart chart({.title = "a < b & \"c\"", .x_label = "x", .y_label = "y"});
  chart.add(std::vector<ChartPoint>{{0, 0}, {1, 2}, {2, 1}}, {.name = "truth"});
  const std::string svg = chart.svg();
  expect_sound(svg);
  EXPECT_EQ(svg.find("<svg xmlns=\"http://www.w3.org/2000/svg\""), 0U);
  EXPECT_NE(svg.find("a &lt; b &amp; &quot;c&quot;"), std::string::npos);
  EXPECT_NE(svg.find(">truth</text>"), std::string::npos);
  EXPECT_EQ(count(svg, "<path "), 1U);
  for (const char* tick : {">0.0</text>", ">0.5</text>", ">1.0</text>", ">2.0</text>"}) {
    EXPECT_NE(svg.find(tick), std::string::npos) << tick;
  }
  EXPECT_EQ(svg, chart.svg());
}

TEST(SvgChart, TwoAxesAndStyles) {
  Chart chart({.y_label = "loss", .right_label = "accuracy"});
  chart.add(std::vector<double>{2.3, 1.1, 0.4}, {.name = "loss"});
  EXPECT_EQ(chart.svg().find(">accuracy<"), std::string::npos);  // no line uses it yet
  chart.add(std::vector<double>{10, 60, 95},
            {.name = "accuracy", .color = "teal", .right = true, .dashed = true, .dots = true});
  const std::string svg = chart.svg();
  expect_sound(svg);
  EXPECT_EQ(count(svg, ">accuracy</text>"), 2U);  // legend and axis
  EXPECT_EQ(count(svg, "<circle "), 3U);
  EXPECT_EQ(count(svg, "stroke-dasharray"), 2U);  // legend and line
  EXPECT_NE(svg.find(">100</text>"), std::string::npos);
}

TEST(SvgChart, OddData) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<std::vector<ChartPoint>> cases{
      {},
      {{1, 1}},
      {{1, nan}},
      {{nan, 1}, {inf, 2}, {1, -inf}},
      {{0, 5}, {1, 5}, {2, 5}},
      {{0, 0}, {0, 0}},
      {{0, 1e300}, {1, -1e300}},
      {{0, 1e-200}, {1, 2e-200}},
      {{0, 1e9}, {1e12, 1e9 + 1}},
      {{-3, -2}, {-1, -1}, {-2, -7}},
  };
  for (const auto& points : cases) {
    Chart chart({.title = "odd"});
    chart.add(points, {.name = "line"});
    chart.add(points, {.name = "right", .right = true});
    expect_sound(chart.svg());
  }
  expect_sound(Chart({}).svg());
}

TEST(SvgChart, GapsBreakTheLine) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Chart chart({});
  chart.add(std::vector<double>{1, 2, nan, 2, 1, nan, 3}, {});
  const std::string svg = chart.svg();
  expect_sound(svg);
  const std::size_t path = svg.find("<path d=\"");
  const std::string data = svg.substr(path, svg.find("\" fill", path) - path);
  EXPECT_EQ(count(data, "M"), 3U);
  EXPECT_EQ(count(svg, "<circle "), 1U);  // a point alone is a dot
}

TEST(SvgChart, ManyPointsStaySmallAndKeepTheirPeaks) {
  std::vector<double> values(200000);
  for (std::size_t k = 0; k < values.size(); ++k) {
    values[k] = std::sin(static_cast<double>(k) * 0.7);
  }
  values[123456] = 50;
  Chart chart({});
  chart.add(values, {});
  const std::string svg = chart.svg();
  expect_sound(svg);
  EXPECT_LT(svg.size(), 60000U);
  EXPECT_NE(svg.find(" 20.0"), std::string::npos);  // 50 is the top of the plot, y = 20
}

TEST(SvgChart, FixedRange) {
  Chart chart({});
  chart.add(std::vector<double>{-1000, 0.5, 1000}, {});
  chart.set_y_range(0, 1);
  const std::string svg = chart.svg();
  expect_sound(svg);
  EXPECT_NE(svg.find(">0.8</text>"), std::string::npos);
  EXPECT_EQ(svg.find(">1000</text>"), std::string::npos);
}

TEST(SvgChart, WritesWholeFilesOnly) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / "recur_svg_chart";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  Chart chart({.title = "file"});
  chart.write(folder / "a.svg");
  chart.write(folder / "a.svg");
  EXPECT_EQ(read(folder / "a.svg"), chart.svg());
  const auto files = std::distance(std::filesystem::directory_iterator(folder), {});
  EXPECT_EQ(files, 1);

  try {
    chart.write(folder / "missing" / "a.svg");
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("a.svg: cannot be written"), std::string::npos);
  }
  std::filesystem::create_directories(folder / "taken.svg" / "inside");
  EXPECT_THROW(chart.write(folder / "taken.svg"), std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder / "taken.svg.tmp"));
  std::filesystem::remove_all(folder);
}

TEST(TrainingCurve, LossAndAccuracy) {
  std::vector<ChartPoint> loss;
  for (int k = 0; k < 1000; ++k) {
    loss.push_back({static_cast<double>(k), 2.3 * std::exp(-k / 200.0) + 0.1 * (k % 7)});
  }
  const std::vector<ChartPoint> accuracy{{300, 0.91}, {600, 0.96}, {999, 0.97}};
  const auto path = std::filesystem::path(testing::TempDir()) / "recur_training_curve.svg";
  mnist::write_training_curve(path, loss, accuracy, "LSTM on MNIST");
  const std::string svg = read(path);
  expect_sound(svg);
  EXPECT_EQ(count(svg, "<path "), 3U);  // loss, its running mean, accuracy
  EXPECT_EQ(count(svg, "<circle "), 3U);
  for (const char* part : {"LSTM on MNIST", ">training loss<", ">test accuracy<", ">iteration<",
                           ">loss<", ">accuracy (%)<", ">96<"}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
  std::filesystem::remove(path);
}

TEST(TrainingCurve, RunningMean) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<ChartPoint> points{{0, 4}, {1, 0}, {2, 5}, {3, nan}, {4, 1}, {5, 7}};
  const auto mean = mnist::smooth(points, 2);
  const std::vector<double> expected{4, 3, 2.5, nan, 4, 7};
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_EQ(mean[k].x, points[k].x);
    if (k == 3) {
      EXPECT_TRUE(std::isnan(mean[k].y));
    } else {
      EXPECT_DOUBLE_EQ(mean[k].y, expected[k]) << k;
    }
  }
  EXPECT_DOUBLE_EQ(mnist::smooth(points, 0)[2].y, 5);
  EXPECT_TRUE(mnist::smooth({}, 3).empty());
}

}  // namespace
}  // namespace svg_chart_test
