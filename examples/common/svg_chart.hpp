// SPDX-License-Identifier: MIT
//
// Line charts as SVG files, with one or two vertical axes.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/atomic_file.hpp"

namespace examples {

struct ChartPoint {
  double x;
  double y;
};

/// A line chart: add the lines, then write the file.
///
///     examples::Chart chart({.title = "Sine", .x_label = "t", .y_label = "sin t"});
///     chart.add(points, {.name = "truth"});
///     chart.add(others, {.name = "forecast", .dashed = true});
///     chart.write("sine.svg");
///
/// Points that are not finite interrupt their line. A line with far more points than the picture
/// has columns keeps the lowest and the highest of each column.
class Chart {
 public:
  struct Options {
    std::string title{};
    std::string x_label{};
    std::string y_label{};
    std::string right_label{};  ///< of the second vertical axis, which is drawn when a line uses it
    int width = 800;
    int height = 450;
  };

  struct Line {
    std::string name{};   ///< in the legend; "" leaves it out
    std::string color{};  ///< any SVG colour; "" takes the next of the chart's own
    bool right = false;   ///< against the axis on the right
    bool dashed = false;
    bool dots = false;  ///< a dot at each point
    double stroke = 2;  ///< the line's width in pixels
    double opacity = 1;
  };

  explicit Chart(Options options) : options_(std::move(options)) {}

  void add(std::span<const ChartPoint> points, Line line) {
    if (line.color.empty()) {
      constexpr std::array<const char*, 6> colors{"#2563eb", "#dc2626", "#059669",
                                                  "#d97706", "#7c3aed", "#475569"};
      line.color = colors[series_.size() % colors.size()];
    }
    series_.push_back({std::move(line), std::vector<ChartPoint>(points.begin(), points.end())});
  }

  /// Line through y over 0, 1, 2, ...
  void add(std::span<const double> values, Line line) {
    std::vector<ChartPoint> points;
    points.reserve(values.size());
    for (const double value : values) {
      points.push_back({static_cast<double>(points.size()), value});
    }
    add(points, std::move(line));
  }

  /// The vertical axes are fitted to the lines; these fix them instead.
  void set_y_range(double low, double high) { left_ = {low, high, true}; }
  void set_right_range(double low, double high) { right_ = {low, high, true}; }

  std::string svg() const;

  /// Overwrites the file. Throws std::runtime_error when it cannot be written.
  void write(const std::filesystem::path& path) const { write_file(path, svg()); }

 private:
  struct Series {
    Line line;
    std::vector<ChartPoint> points;
  };
  struct Range {
    double low = 0;
    double high = 1;
    bool fixed = false;
  };
  /// Values from low to high stand at the pixels from `at_low` to `at_high`.
  struct Axis {
    double low, high, step;
    double at_low, at_high;

    double pixel(double value) const {
      return at_low + (value - low) / (high - low) * (at_high - at_low);
    }
    std::vector<double> ticks() const {
      std::vector<double> values;
      const double slack = 1e-9 * step;
      for (double k = std::ceil((low - slack) / step); k * step <= high + slack; ++k) {
        values.push_back(k * step);
      }
      return values;
    }
  };

  static std::string number(double value, int digits) {
    std::array<char, 400> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                   std::chars_format::fixed, digits);
    const std::string_view result(text.data(), static_cast<std::size_t>(end.ptr - text.data()));
    const bool zero = result.find_first_not_of("-0.") == std::string_view::npos;
    return std::string(zero && result.front() == '-' ? result.substr(1) : result);
  }

  /// A tick's value with as many digits as the step needs.
  static std::string tick_text(double value, double step) {
    if (std::abs(value) >= 1e7 || step < 1e-6) {
      std::array<char, 64> text{};
      const auto end =
          std::to_chars(text.data(), text.data() + text.size(),
                        std::abs(value) < 1e-9 * step ? 0.0 : value, std::chars_format::general, 6);
      return {text.data(), end.ptr};
    }
    return number(value, std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))));
  }

  static std::string escape(std::string_view text) {
    std::string result;
    for (const char c : text) {
      switch (c) {
        case '&':
          result += "&amp;";
          break;
        case '<':
          result += "&lt;";
          break;
        case '>':
          result += "&gt;";
          break;
        case '"':
          result += "&quot;";
          break;
        default:
          if (static_cast<unsigned char>(c) >= 0x20) {  // XML has no control characters
            result += c;
          }
      }
    }
    return result;
  }

  /// 1, 2 or 5 times a power of ten, such that about `count` steps make `extent`.
  static double nice_step(double extent, int count) {
    const double rough = extent / count;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= rough * (1 - 1e-9)) {
        return factor * power;
      }
    }
    return 10 * power;
  }

  /// Around the values of the lines that `chosen` accepts; whole steps when `whole`.
  template <class Chosen, class Value>
  static Axis fit(const std::vector<Series>& series, const Range& range, int steps, bool whole,
                  Chosen chosen, Value value) {
    double low = range.low;
    double high = range.high;
    if (!range.fixed) {
      low = std::numeric_limits<double>::infinity();
      high = -low;
      for (const Series& each : series) {
        for (const ChartPoint& point : each.points) {
          if (chosen(each.line) && finite(point)) {
            low = std::min(low, value(point));
            high = std::max(high, value(point));
          }
        }
      }
    }
    if (low > high) {
      low = 0;  // nothing to show
      high = 1;
    }
    // Equal values, or a span that rounding would swallow, get room around them.
    const double least = std::max(1e-12 * std::max(std::abs(low), std::abs(high)), 1e-300);
    if (!(high - low > least)) {
      const double room = low == 0 ? 1 : 0.1 * std::abs(low);
      low -= room;
      high += room;
    }
    const double step = nice_step(high - low, steps);
    if (whole && !range.fixed) {
      low = step * std::floor(low / step + 1e-9);
      high = step * std::ceil(high / step - 1e-9);
    }
    return {low, high, step, 0, 1};
  }

  static bool finite(const ChartPoint& point) {
    // Values near the largest double would overflow in the axis' arithmetic.
    return std::abs(point.x) < 1e150 && std::abs(point.y) < 1e150;
  }

  static std::string text(double x, double y, std::string_view content,
                          std::string_view attributes) {
    return "<text x=\"" + number(x, 1) + "\" y=\"" + number(y, 1) + "\" " +
           std::string(attributes) + ">" + escape(content) + "</text>\n";
  }
  static std::string rule(double x1, double y1, double x2, double y2, std::string_view attributes) {
    return "<line x1=\"" + number(x1, 1) + "\" y1=\"" + number(y1, 1) + "\" x2=\"" + number(x2, 1) +
           "\" y2=\"" + number(y2, 1) + "\" " + std::string(attributes) + "/>\n";
  }

  static std::string style(const Line& line) {
    return "stroke=\"" + escape(line.color) + "\" stroke-width=\"" + number(line.stroke, 1) + "\"" +
           (line.opacity < 1 ? " stroke-opacity=\"" + number(line.opacity, 2) + "\"" : "") +
           (line.dashed ? " stroke-dasharray=\"6 4\"" : "");
  }

  static std::string draw(const Series& series, const Axis& x, const Axis& y);
  std::string legend(double left, double top) const;

  Options options_;
  std::vector<Series> series_;
  Range left_;
  Range right_;
};

inline std::string Chart::svg() const {
  const bool two_axes =
      std::any_of(series_.begin(), series_.end(), [](const Series& s) { return s.line.right; });
  const bool named = std::any_of(series_.begin(), series_.end(),
                                 [](const Series& s) { return !s.line.name.empty(); });
  const double left = 72;
  const double right = options_.width - (two_axes ? 72 : 28);
  const double top = (options_.title.empty() ? 20 : 48) + (named ? 24 : 0);
  const double bottom = options_.height - 56;

  Axis x = fit(
      series_, {}, 8, false, [](const Line&) { return true; },
      [](const ChartPoint& p) { return p.x; });
  Axis y = fit(
      series_, left_, 5, true, [](const Line& line) { return !line.right; },
      [](const ChartPoint& p) { return p.y; });
  Axis y2 = fit(
      series_, right_, 5, true, [](const Line& line) { return line.right; },
      [](const ChartPoint& p) { return p.y; });
  x.at_low = left;
  x.at_high = right;
  y.at_low = y2.at_low = bottom;
  y.at_high = y2.at_high = top;

  const std::string width = std::to_string(options_.width);
  const std::string height = std::to_string(options_.height);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + width + "\" height=\"" + height +
      "\" viewBox=\"0 0 " + width + " " + height +
      "\" font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\" font-size=\"12\" "
      "fill=\"#334155\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  if (!options_.title.empty()) {
    out += text(left, 30, options_.title, "font-size=\"17\" font-weight=\"600\" fill=\"#0f172a\"");
  }
  out += legend(left, top - 20);

  const std::string_view grid = "stroke=\"#e2e8f0\"";
  const std::string_view frame = "stroke=\"#94a3b8\"";
  for (const double value : y.ticks()) {
    const double at = y.pixel(value);
    out += rule(left, at, right, at, grid);
    out += text(left - 8, at + 4, tick_text(value, y.step), "text-anchor=\"end\"");
  }
  for (const double value : x.ticks()) {
    const double at = x.pixel(value);
    out += rule(at, bottom, at, bottom + 5, frame);
    out += text(at, bottom + 20, tick_text(value, x.step), "text-anchor=\"middle\"");
  }
  out += rule(left, bottom, right, bottom, frame);
  out +=
      text((left + right) / 2, options_.height - 14.0, options_.x_label, "text-anchor=\"middle\"");
  const auto sideways = [&](double at, double angle, const std::string& label) {
    const double middle = (top + bottom) / 2;
    out += text(at, middle, label,
                "text-anchor=\"middle\" transform=\"rotate(" + number(angle, 0) + " " +
                    number(at, 1) + " " + number(middle, 1) + ")\"");
  };
  sideways(20, -90, options_.y_label);
  if (two_axes) {
    for (const double value : y2.ticks()) {
      const double at = y2.pixel(value);
      out += rule(right, at, right + 5, at, frame);
      out += text(right + 9, at + 4, tick_text(value, y2.step), "text-anchor=\"start\"");
    }
    sideways(options_.width - 20.0, 90, options_.right_label);
  }

  // Fixed ranges may leave points outside; they are cut off at the frame.
  out += "<clipPath id=\"plot\"><rect x=\"" + number(left - 4, 1) + "\" y=\"" + number(top - 4, 1) +
         "\" width=\"" + number(right - left + 8, 1) + "\" height=\"" +
         number(bottom - top + 8, 1) + "\"/></clipPath>\n<g clip-path=\"url(#plot)\">\n";
  for (const Series& series : series_) {
    out += draw(series, x, series.line.right ? y2 : y);
  }
  return out + "</g>\n</svg>\n";
}

/// One row of names with a sample of their lines.
inline std::string Chart::legend(double left, double top) const {
  std::string out;
  double at = left;
  for (const Series& series : series_) {
    if (!series.line.name.empty()) {
      out += rule(at, top, at + 24, top, style(series.line));
      out += text(at + 30, top + 4, series.line.name, "text-anchor=\"start\"");
      at += 30 + 6.5 * static_cast<double>(series.line.name.size()) + 24;
    }
  }
  return out;
}

inline std::string Chart::draw(const Series& series, const Axis& x, const Axis& y) {
  std::vector<ChartPoint> pixels;
  std::string path;
  std::string dots;
  // A column of pixels shows no more than where its line enters, its extremes and where it leaves.
  const auto thin = [&] {
    std::vector<ChartPoint> kept;
    for (std::size_t first = 0; first < pixels.size();) {
      std::size_t last = first;
      std::size_t low = first;
      std::size_t high = first;
      for (; last + 1 < pixels.size() &&
             std::floor(pixels[last + 1].x) == std::floor(pixels[first].x);
           ++last) {
        low = pixels[last + 1].y < pixels[low].y ? last + 1 : low;
        high = pixels[last + 1].y > pixels[high].y ? last + 1 : high;
      }
      std::array<std::size_t, 4> order{first, low, high, last};
      std::sort(order.begin(), order.end());
      const auto end = std::unique(order.begin(), order.end());
      for (auto k = order.begin(); k != end; ++k) {
        kept.push_back(pixels[*k]);
      }
      first = last + 1;
    }
    pixels = std::move(kept);
  };
  const auto finish = [&] {
    thin();
    for (std::size_t k = 0; k < pixels.size(); ++k) {
      path += (k == 0 ? "M" : "L") + number(pixels[k].x, 1) + " " + number(pixels[k].y, 1) + " ";
      if (series.line.dots || pixels.size() == 1) {
        dots += "<circle cx=\"" + number(pixels[k].x, 1) + "\" cy=\"" + number(pixels[k].y, 1) +
                "\" r=\"3\" fill=\"" + escape(series.line.color) + "\"/>\n";
      }
    }
    pixels.clear();
  };
  for (const ChartPoint& point : series.points) {
    if (finite(point)) {
      // Far outside, a coordinate needs no more than to stay outside.
      pixels.push_back(
          {std::clamp(x.pixel(point.x), -1e6, 1e6), std::clamp(y.pixel(point.y), -1e6, 1e6)});
    } else {
      finish();
    }
  }
  finish();
  if (path.empty()) {
    return "";
  }
  path.pop_back();
  return "<path d=\"" + path +
         "\" fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\" " +
         style(series.line) + "/>\n" + dots;
}

}  // namespace examples
