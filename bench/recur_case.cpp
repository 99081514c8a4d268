// SPDX-License-Identifier: MIT
//
// One case of the comparison with other libraries (peers/), run by recur.
#include "recur/version.hpp"

#include "measure.hpp"
#include "recur_pass.hpp"

int main(int argc, char** argv) {
  return bench::main_of(argc, argv, [](const bench::Options& options) {
    bench::with_pass(options, [&](auto& pass) {
      const bench::Stats stats = bench::measure(pass, options);
      bench::report("recur", recur::version, Eigen::SimdInstructionSetsInUse(), options, stats);
    });
  });
}
