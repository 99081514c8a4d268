// SPDX-License-Identifier: MIT
//
// How the threads share the work of a layer.
#pragma once

#include <algorithm>  // std::clamp, std::max, std::min

#include "recur/cells/step.hpp"
#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI::layers {

/// The sequences of the batch (and directions), which needs no barrier: each thread multiplies the
/// inputs of its own and scans them, while their slots are in its cache. Of too few sequences for
/// that, the rows of the products; of a few sequences and many units, the units: then the threads
/// meet at every step.
struct Sharing {
  int threads = 1;
  int step_threads = 1;  ///< that share the units of a single step
  Index parts = 1;       ///< of the batch, that are scanned at the same time
  bool products_in_tasks =
      false;  ///< products with the inputs, and gradients by them, by sequences
};

/// That of a layer of such cells, with at most so many threads. meeting: see useful_threads.
template <math::Equations E, class Scalar>
Sharing sharing_of(const CellSizes& n, Index directions, const Schedule& schedule, int most_threads,
                   double meeting = 0) {
  Sharing s;
  constexpr Index equations =
      25 * math::slot_count<E>;  // of a unit, in multiply-adds of equal time
  // Fewer than eight sequences make tiles of few rows, which take more of the time: two threads
  // need more of them. (GRU (30, 5, 1, 64, 5), on a Xeon where meeting costs 2: with two threads a
  // training step took 1.14 times as long as with one.)
  const double gain = schedule.batch > 1 && schedule.batch < 8 ? 0.5 : 1;
  s.threads = kernels::useful_threads(
      gain * static_cast<double>(n.hidden * (n.gates * (n.input + n.output) + equations)) *
          static_cast<double>(schedule.steps * schedule.batch),
      most_threads, false, meeting);
  if (s.threads == 1) {
    s.products_in_tasks = true;  // the one task does everything
    return s;
  }
  // By sequences: two rows are multiplied about as fast as weights come from a second-level cache;
  // from farther away it takes a whole tile.
  constexpr Index in_cache = 800 * 1024 / static_cast<Index>(sizeof(Scalar));
  constexpr Index near_cache = 2048 * 1024 / static_cast<Index>(sizeof(Scalar));
  const Index products = n.gates * n.hidden * n.output;
  const Index rows = products <= in_cache ? 2 : Index(kernels::tile_rows);
  s.parts = std::clamp<Index>(schedule.batch / rows, 1, std::max(s.threads / directions, Index(1)));
  s.products_in_tasks = directions * s.parts > 1;
  // Of too few sequences, by units, which can be shared evenly: then the threads meet at every
  // step, which must be worth it, in multiply-adds of each. Where the weights stay in every
  // thread's second-level cache, four sequences a thread are enough; where they come from far away,
  // it takes many that each of them is read for. (A single sequence, two threads: LSTM of 128 units
  // a quarter less time, RNN of 256 a third. Below 2e4 they win little or lose; where five
  // sequences could be shared as such, at 4e4 they would lose a third. LSTM of 200 units, 8 to 16
  // sequences: by units 5 to 10 % more, GRU of 256, 12 sequences: 3 to 5. LSTM of 512 and 1,024,
  // 32 and 64 sequences: 2 to 9 % less in training, 1 to 11 % in inference; of 300 units 5 % more.
  // Where meeting is dear, a single sequence: LSTM of 128 units would take 1.4 to 1.7 times as long
  // as with one thread; of 256 units it takes three quarters.)
  const double cost = meeting > 0 ? meeting : kernels::cost_of_meeting();
  const double worth_meeting = (s.parts > 1 ? 7.5e4 : 2e4) * cost;
  const Index enough = products <= in_cache     ? 4 * std::min(s.threads, kernels::tile_rows)
                       : products <= near_cache ? 4 * kernels::tile_rows
                                                : 12 * kernels::tile_rows;
  const int step_threads = static_cast<int>(
      std::min<double>(s.threads, static_cast<double>(products * schedule.batch) / worth_meeting));
  if (directions == 1 && schedule.batch < enough && step_threads > 1) {
    const Index share =
        kernels::largest_range(step_threads, n.hidden, cells::unit_grain<E, Scalar>);
    if (4 * share * step_threads <= 5 * n.hidden) {
      s.step_threads = step_threads;
      s.parts = 1;
      s.products_in_tasks = false;
    }
  }
  return s;
}

}  // namespace recur::inline RECUR_ABI::layers
