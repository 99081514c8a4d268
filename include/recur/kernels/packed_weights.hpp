// SPDX-License-Identifier: MIT
//
// The copies of a cell's weights that the kernels read, derived from the parameters whenever those
// change. W (N × K) is kept transposed, in panels of as many columns as a register tile has, so
// that a product walks through it in one stream:  element (k, n) at [panel of n][k][n % panel].
#pragma once

#include <vector>

#include "recur/core/cell_parameters.hpp"
#include "recur/kernels/gemm.hpp"

namespace recur::kernels {

/// Wᵀ in panels. The last panel is padded with zeros, which no product reads.
template <class Scalar>
class PackedMatrix {
 public:
  /// Rows [first, first + count) of W become the columns.
  void assign(const RowMatrix<Scalar>& w, Index first, Index count) {
    constexpr Index panel = tile_columns<Scalar>;
    rows_ = w.cols();
    const Index panels = (count + panel - 1) / panel;
    data_.resize(static_cast<std::size_t>(panels * rows_ * panel));
    for (Index n = 0; n < panels * panel; ++n) {
      Scalar* to = data_.data() + n / panel * rows_ * panel + n % panel;
      for (Index k = 0; k < rows_; ++k) {
        to[k * panel] = n < count ? w(first + n, k) : Scalar(0);
      }
    }
  }

  GemmB<Scalar> operand() const {
    return {data_.data(), tile_columns<Scalar>, rows_ * tile_columns<Scalar>};
  }

 private:
  Index rows_ = 0;  // K
  std::vector<Scalar, Eigen::aligned_allocator<Scalar>> data_;
};

/// Everything that a cell of `Equations` multiplies by.
template <class Equations, class Scalar>
struct PackedWeights {
  CellSizes sizes;
  PackedMatrix<Scalar> ih;        ///< W_ihᵀ (I × G·H)
  PackedMatrix<Scalar> hh;        ///< W_hhᵀ of the shared gates (output × shared·H)
  PackedMatrix<Scalar> hh_apart;  ///< W_hhᵀ of the others
  PackedMatrix<Scalar> hr;        ///< W_hrᵀ (H × output)
  Vector<Scalar> bias;            ///< slot by slot: b_ih + b_hh, b_ih, b_hh; zeros without bias

  void assign(const CellSizes& cell_sizes, const CellParameters<Scalar>& p) {
    const Index H = cell_sizes.hidden;
    const Index shared = Equations::shared_gates * H;
    const Index apart = Equations::gates * H - shared;
    sizes = cell_sizes;
    ih.assign(p.weight_ih, 0, shared + apart);
    hh.assign(p.weight_hh, 0, shared);
    hh_apart.assign(p.weight_hh, shared, apart);
    if (sizes.projected()) {
      hr.assign(p.weight_hr, 0, sizes.output);
    }
    bias.setZero(shared + 2 * apart);
    if (sizes.bias) {
      bias.head(shared) = p.bias_ih.head(shared) + p.bias_hh.head(shared);
      bias.segment(shared, apart) = p.bias_ih.tail(apart);
      bias.tail(apart) = p.bias_hh.tail(apart);
    }
  }
};

}  // namespace recur::kernels
