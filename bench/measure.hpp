// SPDX-License-Identifier: MIT
//
// The timing loop of the programs <name>_case, and the JSON line that each of them prints.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "case.hpp"

namespace bench {

/// Seconds on a clock that only goes forwards.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// CPU seconds of all threads of this process.
inline double cpu_now() {
  rusage usage_so_far{};
  getrusage(RUSAGE_SELF, &usage_so_far);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage_so_far.ru_utime) + seconds(usage_so_far.ru_stime);
}

/// Ticks of all processors since the start of the machine, and those of them that a hypervisor
/// took. Zero where there is no /proc/stat.
struct MachineTicks {
  double stolen = 0;
  double all = 0;

  static MachineTicks now() {
    MachineTicks ticks;
    std::ifstream file("/proc/stat");
    std::string label;
    file >> label;
    double value = 0;
    for (int k = 0; k < 8 && file >> value; ++k) {
      ticks.all += value;
      ticks.stolen = k == 7 ? value : 0;
    }
    return ticks;
  }
};

/// Times of a pass, in µs.
struct Stats {
  double median_us = 0, min_us = 0, p90_us = 0;
  double cpu = 0;     ///< CPU seconds for each second of the clock: below `threads`, cores idled
  double cpu_us = 0;  ///< mean CPU time of a pass, all threads
  double steal = 0;   ///< part of the machine's CPU time that a hypervisor took meanwhile
  std::size_t samples = 0;
  long inner = 1;  ///< passes in a sample
};

/// Times `pass`. It runs first for as long as the memory and the clock rate need to settle (at
/// most 0.15 s, and twice at least unless it takes long). A sample is as many passes as fill 50 µs,
/// so that reading the clock costs nothing. At least `min_reps` samples and `min_time` seconds of
/// them; of passes longer than a second 3 samples are enough.
template <class Pass>
Stats measure(Pass&& pass, const Options& options) {
  const auto seconds_of_one = [&] {
    const double start = now();
    pass();
    return now() - start;
  };
  const double start = now();
  double estimate = seconds_of_one();
  if (estimate < 0.3) {
    do {
      estimate = seconds_of_one();
    } while (now() - start < std::min(0.15, options.min_time));
  }
  if (estimate < 0.01) {  // again as a mean over many
    const double from = now();
    int passes = 0;
    for (; now() - from < 0.02; ++passes) {
      pass();
    }
    estimate = (now() - from) / passes;
  }

  Stats stats;
  stats.inner = std::max(1L, static_cast<long>(std::ceil(50e-6 / std::max(estimate, 1e-9))));
  const auto enough = [&](std::size_t samples, double seconds) {
    const auto wanted = static_cast<std::size_t>(std::max(1, options.min_reps));
    return seconds >= options.min_time && (samples >= wanted || (samples >= 3 && seconds >= 4));
  };
  std::vector<double> samples;
  const MachineTicks ticks_before = MachineTicks::now();
  const double cpu_before = cpu_now();
  const double before = now();
  double after = before;
  while (!enough(samples.size(), after - before)) {
    const double from = now();
    for (long k = 0; k < stats.inner; ++k) {
      pass();
    }
    after = now();
    samples.push_back((after - from) * 1e6 / static_cast<double>(stats.inner));
  }
  const double cpu_seconds = cpu_now() - cpu_before;
  const MachineTicks ticks_after = MachineTicks::now();

  std::sort(samples.begin(), samples.end());
  const std::size_t count = samples.size();
  stats.samples = count;
  stats.median_us = 0.5 * (samples[(count - 1) / 2] + samples[count / 2]);
  stats.min_us = samples.front();
  stats.p90_us = samples[static_cast<std::size_t>(static_cast<double>(count - 1) * 0.9)];
  stats.cpu = cpu_seconds / (after - before);
  stats.cpu_us = cpu_seconds * 1e6 / (static_cast<double>(count) * double(stats.inner));
  const double ticks = ticks_after.all - ticks_before.all;
  stats.steal = ticks > 0 ? (ticks_after.stolen - ticks_before.stolen) / ticks : 0;
  return stats;
}

/// Mean number of running programs over the last minute; -1 where it is not known.
inline double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

/// Prints the JSON line of a case. `impl` says what the peer made of it.
inline void report(const char* peer, const std::string& version, const std::string& impl,
                   const Options& options, const Stats& s) {
  const Case& c = options.shape;
  std::printf(R"({"peer":"%s","version":"%s","variant":"%s","cell":"%s",)", peer, version.c_str(),
              options.variant.c_str(), c.cell_name());
  std::printf(R"("T":%ld,"B":%ld,"I":%ld,"H":%ld,"L":%ld,"dir":%ld,)", long(c.steps), long(c.batch),
              long(c.input), long(c.hidden), long(c.layers), long(c.directions));
  std::printf(R"("mode":"%s","threads":%d,"state":"%s",)", c.training ? "train" : "infer",
              c.threads, c.zero_state ? "zero" : "given");
  std::printf(R"("median_us":%.3f,"min_us":%.3f,"p90_us":%.3f,"gflops":%.3f,)", s.median_us,
              s.min_us, s.p90_us, c.flops() / s.median_us * 1e-3);
  std::printf(R"("samples":%zu,"inner":%ld,"cpu":%.2f,"cpu_us":%.3f,"steal":%.3f,)", s.samples,
              s.inner, s.cpu, s.cpu_us, s.steal);
  std::printf(R"("load1":%.2f,"impl":"%s"})", load_average(), impl.c_str());
  std::printf("\n");
}

}  // namespace bench
