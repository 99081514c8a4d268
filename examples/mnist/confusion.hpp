// SPDX-License-Identifier: MIT
//
// Which digit is read as which.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace mnist {

/// Counts of (label, reading) pairs of ten classes.
class ConfusionMatrix {
 public:
  static constexpr std::size_t classes = 10;

  /// Throws std::out_of_range when one of them is not 0 ... 9.
  void add(std::size_t label, std::size_t reading) {
    if (label >= classes || reading >= classes) {
      throw std::out_of_range("ConfusionMatrix::add: expected classes 0 ... 9, got label " +
                              std::to_string(label) + " and reading " + std::to_string(reading));
    }
    ++counts_[label][reading];
  }

  std::uint64_t count(std::size_t label, std::size_t reading) const {
    return counts_.at(label).at(reading);
  }

  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      sum += labelled(k);
    }
    return sum;
  }

  /// The share of right readings; 0 of nothing.
  double accuracy() const {
    std::uint64_t right = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      right += counts_[k][k];
    }
    return share(right, total());
  }

  /// Of the images with this label, the share that was read right.
  double recall(std::size_t k) const { return share(counts_.at(k)[k], labelled(k)); }
  /// Of the images read as k, the share that was.
  double precision(std::size_t k) const { return share(counts_.at(k)[k], read_as(k)); }

  /// A table for the terminal: a row for each label, a column for each reading.
  std::string text() const {
    const int width = std::max(6, static_cast<int>(std::to_string(total()).size()) + 1);
    std::string out = "read as";
    for (std::size_t k = 0; k < classes; ++k) {
      out += padded(std::to_string(k), width);
    }
    out += " recall %\n";
    for (std::size_t label = 0; label < classes; ++label) {
      out += "digit " + std::to_string(label);
      for (const std::uint64_t cell : counts_[label]) {
        out += padded(cell == 0 ? "." : std::to_string(cell), width);
      }
      out += padded(percent(recall(label), labelled(label)), 9) + "\n";
    }
    out += "prec. %";
    for (std::size_t k = 0; k < classes; ++k) {
      out += padded(percent(precision(k), read_as(k)), width);
    }
    return out + padded(percent(accuracy(), total()), 9) + "\n" + worst_text();
  }

 private:
  static double share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
  static std::string padded(const std::string& text, int width) {
    const auto size = static_cast<std::size_t>(width);
    return text.size() < size ? std::string(size - text.size(), ' ') + text : " " + text;
  }
  static std::string percent(double value, std::uint64_t whole) {
    if (whole == 0) {
      return "-";
    }
    std::array<char, 16> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.1f", 100 * value);
    return buffer.data();
  }

  std::uint64_t labelled(std::size_t label) const {
    std::uint64_t sum = 0;
    for (const std::uint64_t cell : counts_[label]) {
      sum += cell;
    }
    return sum;
  }
  std::uint64_t read_as(std::size_t reading) const {
    std::uint64_t sum = 0;
    for (const auto& row : counts_) {
      sum += row[reading];
    }
    return sum;
  }

  /// The three most frequent mistakes in one line, or nothing.
  std::string worst_text() const {
    std::vector<std::tuple<std::uint64_t, std::size_t, std::size_t>> mistakes;
    for (std::size_t label = 0; label < classes; ++label) {
      for (std::size_t reading = 0; reading < classes; ++reading) {
        if (label != reading && counts_[label][reading] > 0) {
          mistakes.emplace_back(counts_[label][reading], label, reading);
        }
      }
    }
    std::stable_sort(mistakes.begin(), mistakes.end(),
                     [](const auto& a, const auto& b) { return std::get<0>(a) > std::get<0>(b); });
    std::string out;
    for (std::size_t k = 0; k < std::min<std::size_t>(3, mistakes.size()); ++k) {
      const auto& [times, label, reading] = mistakes[k];
      out += (k == 0 ? "most often: " : ", ") + std::to_string(label) + " read as " +
             std::to_string(reading) + " (" + std::to_string(times) + ")";
    }
    return out.empty() ? out : out + "\n";
  }

  std::array<std::array<std::uint64_t, classes>, classes> counts_{};
};

}  // namespace mnist
