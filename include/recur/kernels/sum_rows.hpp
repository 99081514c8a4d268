// SPDX-License-Identifier: MIT
//
// Sums of rows, which gradients by biases are.
#pragma once

#include <algorithm>  // std::min

#include "recur/kernels/operands.hpp"
#include "recur/kernels/packet.hpp"
#include "recur/kernels/panels.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// sum (N) = start + the rows of B (K × N); and the same to `also`, where it is not null. start:
/// zero or accumulate. Eight rows are added up in pairs, which rounds as often as four one by one,
/// and such sums in double: in float the error would grow with their number. (Sums of 8 one by one,
/// of 64 and of all in float: gradients by biases were wrong by a tenth more, some by a quarter.)
template <class Scalar>
void sum_rows(Index K, Index N, RowsB<Scalar> b, Start start, Scalar* sum, Scalar* also = nullptr) {
  using V = Vec<Scalar>;
  constexpr Index eight = 8;
  constexpr Index panel = tile_columns<Scalar>;
  // Of rows [k, k + rows), 8 at most, columns [n, n + count).
  const auto sum_few = [&](Index k, Index rows, Index n, Index count) {
    const Scalar* from = b.row(k) + n;
    const auto row = [&](Index m) { return V::load(from + m * b.row_stride, count); };
    if (rows == eight) {
      return ((row(0) + row(1)) + (row(2) + row(3))) + ((row(4) + row(5)) + (row(6) + row(7)));
    }
    V total(Scalar(0));
    for (Index m = 0; m < rows; ++m) {
      total = total + row(m);
    }
    return total;
  };
  // total(n, count, sum before): the sum of the register of columns that begins at n.
  const auto give = [&](Index first, Index behind, const auto& total) {
    for (Index n = first; n < behind; n += V::width) {
      const Index count = std::min<Index>(V::width, behind - n);
      for (Scalar* to : {sum, also}) {
        if (to != nullptr) {
          const V before = start == Start::zero ? V(Scalar(0)) : V::load(to + n, count);
          total(n, count, before).store(to + n, count);
        }
      }
    }
  };
  if (K <= eight) {
    give(0, N,
         [&](Index n, Index count, const V& before) { return before + sum_few(0, K, n, count); });
    return;
  }
  for (Index first = 0; first < N; first += panel) {
    const Index behind = std::min(N, first + panel);
    alignas(64) double totals[panel] = {};
    alignas(64) Scalar part[V::width];
    for (Index k = 0; k < K; k += eight) {
      double* total = totals;
      for (Index n = first; n < behind; n += V::width, total += V::width) {
        const Index count = std::min<Index>(V::width, behind - n);
        sum_few(k, std::min(eight, K - k), n, count).store(part);
        for (Index column = 0; column < V::width; ++column) {
          total[column] += static_cast<double>(part[column]);
        }
      }
    }
    give(first, behind, [&](Index n, Index /*count*/, const V& before) {
      before.store(part);
      for (Index column = 0; column < V::width; ++column) {
        part[column] =
            static_cast<Scalar>(static_cast<double>(part[column]) + totals[n - first + column]);
      }
      return V::load(part);
    });
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
