// SPDX-License-Identifier: MIT
//
// Two versions of recur (module.hpp), run by turns of half a millisecond or a pass in one process:
// what slows the machine down for longer than that meets both. Called by compare.py.
//
//     by_turns BASE.so[,BASE2.so...] OTHER.so[,OTHER2.so...] OPTIONS
//
// Several files of a version are copies of it, and a file can be loaded once only: how fast a pass
// is depends by a per cent on where its code and its arrays happen to be. OPTIONS: see case.hpp;
// --min-reps turns of each file at least. Prints one JSON line.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <dlfcn.h>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../measure.hpp"
#include "module.hpp"

namespace {

using bench::Pass;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bench::WithPass* load(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = library != nullptr ? dlsym(library, "recur_with_pass") : nullptr;
  if (entry == nullptr) {
    throw std::runtime_error(dlerror());
  }
  return reinterpret_cast<bench::WithPass*>(entry);
}

// Has every module make its case, each within the call of the one before, and then calls `use` with
// all passes.
void with_passes(const std::vector<bench::WithPass*>& modules, const bench::Options& options,
                 std::vector<Pass>& passes, const std::function<void()>& use) {
  if (passes.size() == modules.size()) {
    use();
    return;
  }
  struct Next {
    const std::vector<bench::WithPass*>& modules;
    const bench::Options& options;
    std::vector<Pass>& passes;
    const std::function<void()>& use;
  } next{modules, options, passes, use};
  modules[passes.size()](
      options,
      [](void* user, const Pass& pass) {
        const Next& then = *static_cast<Next*>(user);
        then.passes.push_back(pass);
        with_passes(then.modules, then.options, then.passes, then.use);
      },
      &next);
}

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
}

// Seconds of a pass, in a turn. Threads that helped the version before are given the time to fall
// asleep; a short pass then runs untimed until its own are awake and its data near.
double turn(const Pass& pass, int threads) {
  constexpr double settle = 150e-6;
  constexpr double enough = 500e-6;
  double start = bench::now();
  if (threads > 1) {
    while (bench::now() - start < settle) {
    }
  }
  start = bench::now();
  double now = start;
  double before = start;
  do {  // a pass that takes long is timed at once
    before = now;
    pass();
    now = bench::now();
    if (now - before >= enough) {
      return now - before;
    }
  } while (now - start < settle);
  start = now;
  int count = 0;
  for (; now - start < enough; now = bench::now()) {
    pass();
    ++count;
  }
  return (now - start) / count;
}

void run(const std::vector<std::string>& base, const std::vector<std::string>& other,
         const bench::Options& options) {
  std::vector<bench::WithPass*> modules;  // the first `base.size()` are the base
  for (const auto* files : {&base, &other}) {
    for (const std::string& path : *files) {
      modules.push_back(load(path));
    }
  }
  std::vector<Pass> passes;
  with_passes(modules, options, passes, [&] {
    std::vector<double> ratios;
    std::vector<double> times[2];
    const std::size_t count = passes.size();
    const double start = bench::now();
    for (std::size_t round = 0; bench::now() - start < options.min_time ||
                                ratios.size() < static_cast<std::size_t>(options.min_reps);
         ++round) {
      double sum[2] = {0, 0};  // of logarithms
      for (std::size_t k = 0; k < count; ++k) {
        // In every round another begins, and every other round goes back.
        const std::size_t place = (k + round / 2) % count;
        const std::size_t which = round % 2 == 0 ? place : count - 1 - place;
        const std::size_t side = which < base.size() ? 0 : 1;
        const double seconds = turn(passes[which], options.shape.threads);
        times[side].push_back(seconds);
        sum[side] += std::log(seconds);
      }
      ratios.push_back(std::exp(sum[1] / static_cast<double>(other.size()) -
                                sum[0] / static_cast<double>(base.size())));
    }
    std::printf(R"({"base_us":%.3f,"other_us":%.3f,)", 1e6 * quantile(times[0], 0.5),
                1e6 * quantile(times[1], 0.5));
    std::printf(R"("base_best_us":%.3f,"other_best_us":%.3f,)", 1e6 * quantile(times[0], 0.02),
                1e6 * quantile(times[1], 0.02));
    std::printf(R"("ratio":%.4f,"ratio_quarter":%.4f,"ratio_three_quarters":%.4f,"rounds":%zu})",
                quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75),
                ratios.size());
    std::printf("\n");
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "by_turns BASE.so[,...] OTHER.so[,...] OPTIONS\n%s", bench::usage);
    return 2;
  }
  return bench::main_of(argc - 2, argv + 2, [&](const bench::Options& options) {
    run(split(argv[1]), split(argv[2]), options);
  });
}
