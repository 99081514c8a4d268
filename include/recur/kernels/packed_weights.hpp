// SPDX-License-Identifier: MIT
//
// The copies of a cell's weights that the kernels read, derived from the parameters whenever those
// change: each in the order in which a product walks through it, as one stream (gemm.hpp).
#pragma once

#include <algorithm>  // std::copy, std::copy_n, std::fill, std::max, std::min
#include <vector>

#include "recur/core/cell_parameters.hpp"
#include "recur/kernels/gemm.hpp"
#include "recur/math/cell.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// A matrix B (K × N) in panels, and columns behind them: see PackedB.
template <class Scalar>
class PackedMatrix {
 public:
  /// B = rows [first, first + count) of w.
  void assign(const RowMatrix<Scalar>& w, Index first, Index count) {
    const RowsB<Scalar> b{w.data() + first * w.cols(), w.cols()};
    resize(count, w.cols(), dot_columns<Scalar>(w.cols(), count));
    const Panels<Scalar> panels(w.cols() - dots_);
    assign_panels(count, panels, 0, panels.count(), b);
    for (Index n = w.cols() - dots_; n < w.cols(); ++n) {
      for (Index k = 0; k < count; ++k) {
        data_[static_cast<std::size_t>(n * count + k)] = b.row(k)[n];
      }
    }
  }

  /// The memory that assign and assign_panels need for so large a B.
  void reserve(Index K, Index N) { resize(K, N, 0); }

  /// B as it stands elsewhere (RowsB, RunsB, ScatteredRowsB).
  template <class Rows>
  void assign(Index K, const Panels<Scalar>& panels, const Rows& b) {
    reserve(K, panels.begin(panels.count()));
    assign_panels(K, panels, 0, panels.count(), b);
  }
  template <class Rows>
  void assign(Index K, Index N, const Rows& b) {
    assign(K, Panels<Scalar>(N), b);
  }

  /// Some of them, [first, last) of all, in memory that is there: reserve().
  template <class Rows>
  void assign_panels(Index K, const Panels<Scalar>& panels, Index first, Index last,
                     const Rows& b) {
    for_each_panel(K, panels, first, last, [&](Index n, Index columns, Index width, Scalar* to) {
      copy_rows(K, b, n, columns, width, to);
    });
  }

  /// B (K × N) as it stands, but for its rows, which stand together afterwards.
  RowsB<Scalar> gather(Index K, Index N, const RunsB<Scalar>& b) {
    resize(K, N, 0);
    Scalar* to = data_.data();
    for_each_run(K, b, [&](Index count, const RowsB<Scalar>& run) {
      const Index at_once = run.row_stride == N ? count : 1;
      for (Index k = 0; k < count; k += at_once) {
        to = std::copy_n(run.row(k), at_once * N, to);
      }
    });
    return {data_.data(), N};
  }
  RowsB<Scalar> gather(Index K, Index N, const ScatteredRowsB<Scalar>& b) {
    resize(K, N, 0);
    Scalar* to = data_.data();
    for (Index k = 0, end = 0; k < K; k = end) {
      for (end = k + 1; end < K && b.row(end) == b.row(end - 1) + N;) {
        ++end;
      }
      to = std::copy_n(b.row(k), (end - k) * N, to);
    }
    return {data_.data(), N};
  }

  /// B = the transposed rows [first, first + count) of w.
  void assign_transposed(const RowMatrix<Scalar>& w, Index first, Index count) {
    resize(w.cols(), count, dot_columns<Scalar>(count, w.cols()));
    std::copy(w.data() + (first + count - dots_) * w.cols(), w.data() + (first + count) * w.cols(),
              data_.data() + (count - dots_) * w.cols());
    const Panels<Scalar> panels(count - dots_);
    for_each_panel(w.cols(), panels, 0, panels.count(),
                   [&](Index n, Index columns, Index width, Scalar* to) {
                     for (Index k = 0; k < w.cols(); ++k, to += width) {
                       const Scalar* from = w.data() + (first + n) * w.cols() + k;
                       for (Index j = 0; j < columns; ++j) {
                         to[j] = from[j * w.cols()];
                       }
                       std::fill(to + columns, to + width, Scalar(0));
                     }
                   });
  }

  PackedB<Scalar> operand() const { return {data_.data(), dots_}; }

 private:
  // Columns [n, n + columns) of K rows, one behind the other.
  template <class Rows>
  static void copy_rows(Index K, const Rows& b, Index n, Index columns, Index width, Scalar* to) {
    constexpr Index ahead = 8;  // rows: those of a tape are far away
    for (Index k = 0; k < K; ++k, to += width) {
      const Scalar* later = b.row(std::min(k + ahead, K - 1)) + n;
      for (Index j = 0; j < width; j += native_width<Scalar>) {
        detail::prefetch(later + j);
      }
      copy_row(b.row(k) + n, columns, to);
    }
  }

  static void copy_rows(Index K, const RunsB<Scalar>& b, Index n, Index columns, Index width,
                        Scalar* to) {
    for_each_run(K, b, [&](Index count, const RowsB<Scalar>& run) {
      copy_rows(count, run, n, columns, width, to);
      to += count * width;
    });
  }

  // f(rows, where they are)
  template <class F>
  static void for_each_run(Index K, const RunsB<Scalar>& b, F&& f) {
    for (Index run = 0, k = 0; k < K; ++run, k += b.length) {
      f(std::min(b.length, K - k), b.run(run));
      if (b.length >= K) {
        break;
      }
    }
  }

  // Never smaller than before, as growing again would write zeros.
  void resize(Index K, Index N, Index dots) {
    dots_ = dots;
    const auto size = static_cast<std::size_t>(K * (whole_registers<Scalar>(N - dots) + dots));
    data_.resize(std::max(data_.size(), size));
  }

  // f(first column, columns, width, place of the panel), for panels [first, last)
  template <class F>
  void for_each_panel(Index K, const Panels<Scalar>& panels, Index first, Index last, F&& f) {
    for (Index p = first; p < last; ++p) {
      const Index n = panels.begin(p);
      f(n, panels.columns(p), panels.width(p), data_.data() + n * K);
    }
  }

  std::vector<Scalar, Eigen::aligned_allocator<Scalar>> data_;
  Index dots_ = 0;
};

/// W_hhᵀ in blocks of units with all their gates, so that the sums of a unit are complete when its
/// block is: element (k, gate, unit) at block(unit / units_per_block).data[k * width + gate * units
/// + unit % units_per_block]. The last block may have fewer units; its rows end with zeros.
template <class E, class Scalar>
class PackedGates {
 public:
  /// Four registers a row, as a tile takes them; three with three gates. (Of an RNN three, as tiles
  /// of AVX2 have: 16 sequences 3 to 12 % faster, a single one of 64 units 12 to 29 % slower, as
  /// some of its units are left over.)
  static constexpr Index units_per_block = native_width<Scalar> * std::max(1, 4 / E::gates);

  struct Block {
    const Scalar* data;
    Index units;
    Index width;
  };

  void assign(const RowMatrix<Scalar>& w) {
    hidden_ = w.rows() / E::gates;
    depth_ = w.cols();
    const Index whole = hidden_ / units_per_block * units_per_block;
    data_.resize(static_cast<std::size_t>(
        depth_ * (E::gates * whole + whole_registers<Scalar>(E::gates * (hidden_ - whole)))));
    for (Index first = 0; first < hidden_; first += units_per_block) {
      const Block to = block(first);
      Scalar* row = data_.data() + (to.data - data_.data());
      for (Index k = 0; k < depth_; ++k, row += to.width) {
        for (Index gate = 0; gate < E::gates; ++gate) {
          const Scalar* from = w.data() + (gate * hidden_ + first) * depth_ + k;
          for (Index j = 0; j < to.units; ++j) {
            row[gate * to.units + j] = from[j * depth_];
          }
        }
        std::fill(row + E::gates * to.units, row + to.width, Scalar(0));
      }
    }
  }

  Index hidden() const { return hidden_; }
  /// Number of columns of W_hh.
  Index depth() const { return depth_; }

  /// The block that begins at unit `first`, a multiple of units_per_block.
  Block block(Index first) const {
    const Index units = std::min(units_per_block, hidden_ - first);
    return {data_.data() + first * E::gates * depth_, units,
            whole_registers<Scalar>(E::gates * units)};
  }

 private:
  Index hidden_ = 0;
  Index depth_ = 0;
  std::vector<Scalar, Eigen::aligned_allocator<Scalar>> data_;
};

/// W_hhᵀ of a cell of two products: the one by h, and the one by the operand.
template <math::TwoProducts E, class Scalar>
class PackedGates<E, Scalar> {
 public:
  void assign(const RowMatrix<Scalar>& w) {
    hidden_ = w.rows() / E::gates;
    depth_ = w.cols();
    by_state_.assign_transposed(w, 0, E::shared_gates * hidden_);
    by_operand_.assign_transposed(w, E::shared_gates * hidden_, hidden_);
  }

  Index hidden() const { return hidden_; }
  Index depth() const { return depth_; }
  PackedB<Scalar> by_state() const { return by_state_.operand(); }      ///< (H × shared·H)
  PackedB<Scalar> by_operand() const { return by_operand_.operand(); }  ///< (H × H)

 private:
  Index hidden_ = 0;
  Index depth_ = 0;
  PackedMatrix<Scalar> by_state_;
  PackedMatrix<Scalar> by_operand_;
};

/// Everything that a cell of `Equations` multiplies by, forwards and backwards.
template <class Equations, class Scalar>
struct PackedWeights {
  CellSizes sizes;
  PackedMatrix<Scalar> ih;             ///< W_ihᵀ (I × G·H)
  PackedGates<Equations, Scalar> hh;   ///< W_hhᵀ (output × G·H)
  PackedMatrix<Scalar> hr;             ///< W_hrᵀ (H × output)
  PackedMatrix<Scalar> ih_back;        ///< W_ih (G·H × I)
  PackedMatrix<Scalar> hh_back;        ///< W_hh (shared·H × output), rows of the shared gates
  PackedMatrix<Scalar> hh_apart_back;  ///< those of the others
  PackedMatrix<Scalar> hr_back;        ///< W_hr (output × H)
  Vector<Scalar> bias;  ///< slot by slot: b_ih + b_hh, b_ih, b_hh; zeros without bias

  void assign(const CellSizes& cell_sizes, const CellParameters<Scalar>& p) {
    const Index H = cell_sizes.hidden;
    const Index shared = Equations::shared_gates * H;
    const Index apart = Equations::gates * H - shared;
    sizes = cell_sizes;
    ih.assign_transposed(p.weight_ih, 0, shared + apart);
    ih_back.assign(p.weight_ih, 0, shared + apart);
    hh.assign(p.weight_hh);
    hh_back.assign(p.weight_hh, 0, shared);
    hh_apart_back.assign(p.weight_hh, shared, apart);
    if (sizes.projected()) {
      hr.assign_transposed(p.weight_hr, 0, sizes.output);
      hr_back.assign(p.weight_hr, 0, sizes.output);
    }
    bias.setZero(shared + 2 * apart);
    if (sizes.bias) {
      bias.head(shared) = p.bias_ih.head(shared) + p.bias_hh.head(shared);
      bias.segment(shared, apart) = p.bias_ih.tail(apart);
      if constexpr (math::TwoProducts<Equations>) {  // one sum a gate, the operand has no bias
        bias.segment(shared, apart) += p.bias_hh.tail(apart);
      } else {
        bias.tail(apart) = p.bias_hh.tail(apart);
      }
    }
  }
};

}  // namespace recur::inline RECUR_ABI::kernels
