// SPDX-License-Identifier: MIT
//
// The picture of a training run: loss and accuracy over the iterations.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common/svg_chart.hpp"

namespace mnist {

/// The mean over each point and up to `reach` neighbours on either side, equally many on both so
/// that a slope is not shifted. Values that are not finite stay and do not count.
inline std::vector<examples::ChartPoint> smooth(std::span<const examples::ChartPoint> points,
                                                std::size_t reach) {
  std::vector<double> sums{0};  // of all values before k
  std::vector<double> counts{0};
  for (const examples::ChartPoint& point : points) {
    const bool finite = std::isfinite(point.y);
    sums.push_back(sums.back() + (finite ? point.y : 0));
    counts.push_back(counts.back() + (finite ? 1 : 0));
  }
  std::vector<examples::ChartPoint> result(points.begin(), points.end());
  for (std::size_t k = 0; k < points.size(); ++k) {
    const std::size_t half = std::min({reach, k, points.size() - 1 - k});
    const std::size_t first = k - half;
    const std::size_t end = k + half + 1;
    if (std::isfinite(points[k].y)) {
      result[k].y = (sums[end] - sums[first]) / (counts[end] - counts[first]);
    }
  }
  return result;
}

/// Writes an SVG file with the loss on the left axis and the accuracy (0 ... 1, drawn as percent)
/// on the right one; x is the iteration. Throws std::runtime_error when it cannot be written.
inline void write_training_curve(const std::filesystem::path& path,
                                 std::span<const examples::ChartPoint> loss,
                                 std::span<const examples::ChartPoint> accuracy,
                                 const std::string& title) {
  examples::Chart chart(
      {.title = title, .x_label = "iteration", .y_label = "loss", .right_label = "accuracy (%)"});
  constexpr std::size_t noisy = 50;  // with fewer points the line itself is readable
  if (loss.size() > noisy) {
    chart.add(loss, {.color = "#2563eb", .stroke = 1, .opacity = 0.25});
    chart.add(smooth(loss, loss.size() / noisy), {.name = "training loss", .color = "#2563eb"});
  } else {
    chart.add(loss, {.name = "training loss", .color = "#2563eb"});
  }
  std::vector<examples::ChartPoint> percent(accuracy.begin(), accuracy.end());
  for (examples::ChartPoint& point : percent) {
    point.y *= 100;
  }
  chart.add(percent, {.name = "test accuracy", .color = "#dc2626", .right = true, .dots = true});
  chart.write(path);
}

}  // namespace mnist
