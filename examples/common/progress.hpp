// SPDX-License-Identifier: MIT
//
// A progress line for training: a bar that renews itself in a terminal, plain lines now and then
// where the output goes to a file or a log.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <string>
#include <utility>

#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

namespace examples {

/// Whether standard output is read by a person.
inline bool stdout_is_terminal() {
#ifdef _WIN32
  return _isatty(_fileno(stdout)) != 0;
#else
  return isatty(STDOUT_FILENO) == 1;
#endif
}

/// One pass over `total` samples.
///
///     examples::Progress progress(std::cout, "epoch 1/3", 60000);
///     for (...) progress.update(samples_done, loss, accuracy);   // as often as one likes
///     progress.finish(loss, accuracy);
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    bool terminal = stdout_is_terminal();
    double seconds_between = 0.1;         ///< between two pictures of the bar
    double seconds_between_lines = 10.0;  ///< the same where the output is not a terminal
    Clock::time_point (*now)() = &Clock::now;
  };

  Progress(std::ostream& out, std::string label, std::size_t total)
      : Progress(out, std::move(label), total, Options{}) {}
  Progress(std::ostream& out, std::string label, std::size_t total, Options options)
      : out_(out),
        label_(std::move(label)),
        total_(total),
        options_(options),
        start_(options.now()),
        shown_(start_) {}

  /// Shows the state unless it was shown a moment ago. `accuracy` is 0 ... 1.
  void update(std::size_t done, double loss, double accuracy) {
    const Clock::time_point now = options_.now();
    const double wait =
        options_.terminal ? options_.seconds_between : options_.seconds_between_lines;
    if (seconds(now - shown_) < wait) {
      return;
    }
    shown_ = now;
    const double elapsed = seconds(now - start_);
    const double left =
        done == 0 ? 0 : elapsed * (static_cast<double>(total_) / static_cast<double>(done) - 1);
    show(done, line(done, loss, accuracy, elapsed) + duration(std::max(left, 0.0)) + " left",
         false);
  }

  /// Shows the end and the time that all took, and starts a new line.
  void finish(double loss, double accuracy) {
    const double elapsed = seconds(options_.now() - start_);
    show(total_, line(total_, loss, accuracy, elapsed) + duration(elapsed), true);
  }

 private:
  static double seconds(Clock::duration span) {
    return std::chrono::duration<double>(span).count();
  }

  static std::string duration(double seconds) {
    const auto whole = static_cast<long long>(std::min(seconds, 3.6e8) + 0.5);
    std::array<char, 32> text{};
    if (whole < 3600) {
      std::snprintf(text.data(), text.size(), "%lld:%02lld", whole / 60, whole % 60);
    } else {
      std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                    whole % 60);
    }
    return text.data();
  }

  double share(std::size_t done) const {
    return total_ == 0 ? 1.0
                       : std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  }

  std::string line(std::size_t done, double loss, double accuracy, double elapsed) const {
    const double speed = elapsed > 0 ? static_cast<double>(done) / elapsed : 0;
    std::array<char, 128> text{};
    const int digits = std::abs(loss) < 1e4 ? 4 : 0;  // a loss that diverged may be very long
    std::snprintf(text.data(), text.size(), "%3.0f%%  loss %.*f  acc %5.2f%%  %.0f/s  ",
                  std::floor(100 * share(done)), digits, std::clamp(loss, -1e9, 1e9),
                  100 * accuracy, speed);
    return text.data();
  }

  void show(std::size_t done, const std::string& figures, bool last) {
    if (!options_.terminal) {
      out_ << label_ << ' ' << figures << '\n' << std::flush;
      return;
    }
    constexpr std::size_t width = 20;
    const auto full = static_cast<std::size_t>(share(done) * width);
    const std::string text =
        label_ + " [" + std::string(full, '#') + std::string(width - full, '-') + "] " + figures;
    // Blanks wipe what a longer line left behind.
    out_ << '\r' << text;
    if (text.size() < written_) {
      out_ << std::string(written_ - text.size(), ' ');
    }
    written_ = text.size();
    if (last) {
      out_ << '\n';
      written_ = 0;
    }
    out_ << std::flush;
  }

  std::ostream& out_;
  std::string label_;
  std::size_t total_;
  Options options_;
  Clock::time_point start_;
  Clock::time_point shown_;
  std::size_t written_ = 0;
};

}  // namespace examples
