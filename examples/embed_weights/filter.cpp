// SPDX-License-Identifier: MIT
//
// A program without a file system: its weights are constexpr arrays (filter_weights.hpp, which
// embed_weights makes of filter.safetensors when this is built), and once started it allocates
// nothing. Filters a test signal and prints it.
//
//   embedded_filter
#include "filter.hpp"

#include <cstdio>

int main() {
  Filter filter;
  for (int t = 0; t < 200; ++t) {
    const float sample = static_cast<float>(37 * t % 200 - 100) / 100;
    std::printf("%.9g\n", static_cast<double>(filter.step(sample)));
  }
  return 0;
}
