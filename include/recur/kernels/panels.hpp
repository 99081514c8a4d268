// SPDX-License-Identifier: MIT
//
// The shapes that matrix products are cut into: *tiles* of C, which are held in registers
// (gemm_tile.hpp), and *panels* of B, which are as wide as tiles are.
#pragma once

#include <algorithm>  // std::max, std::min

#include "recur/kernels/packet.hpp"
#include "recur/kernels/registers.hpp"

namespace recur::inline RECUR_ABI::kernels {

// Registers: rows_of_tile × tile_vectors sums, tile_vectors of B, one of A; without multiply_add
// one of a product. Of 32, a tile has up to 24 sums. (AVX-512, three registers of B: GRU of 72 to
// 1,024 units, inference 1 to 8 % faster than with six rows. Of two, twelve rows won nothing.) Of
// sixteen, twelve, or eight, which just hide the latency of an addition. (AVX2: 6 × 2 instead of 4
// × 3 took 1 to 3 % longer, for three gates, which are 2 and then 1 register, up to 12; 6 × 1
// instead of 8 × 1 a fifth.)
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = register_count >= 32 ? 4 : has_multiply_add ? 3 : 2;
constexpr int rows_of_tile(Index vectors) {
  if (tile_vectors == 4) {
    return vectors == 3 ? 8 : tile_rows;
  }
  return tile_vectors != 3 || vectors == 2 ? tile_rows : vectors == 1 ? 8 : 4;
}
inline constexpr int tile_sums = rows_of_tile(tile_vectors) * tile_vectors;
template <class Scalar>
inline constexpr Index tile_columns = tile_vectors* native_width<Scalar>;

/// Columns as whole registers.
template <class Scalar>
constexpr Index whole_registers(Index columns) {
  constexpr Index width = native_width<Scalar>;
  return (columns + width - 1) / width * width;
}

/// The panels of N columns: `tile_columns` each, but for the last ones, which are a register
/// narrower, so that none is much narrower than the others: six registers are 3 and 3, not 4 and 2.
/// (AVX-512, 100 units: training 1 to 3 % faster.) The very last is what remains. Packed
/// (packed_weights.hpp), the rows of a panel stand together and end with zeros up to a whole
/// register; panel p begins at scalar K * begin(p). Those of some panels beside each other are the
/// panels of their columns alone, too.
template <class Scalar>
class Panels {
 public:
  /// The last `apart` columns, less than a register behind whole ones, do not count: they stand in
  /// the last panel, or, if that is whole, in one of their own.
  RECUR_ALWAYS_INLINE explicit constexpr Panels(Index N, Index apart = 0)
      : N_(N), in_common_(N - apart) {
    const Index registers = whole_registers<Scalar>(in_common_) / native_width<Scalar>;
    const Index count = (registers + tile_vectors - 1) / tile_vectors;
    wide_ = std::max<Index>(0, count - (count * tile_vectors - registers));
    count_ = count + (apart > 0 && wide_ == count ? 1 : 0);
  }

  RECUR_ALWAYS_INLINE constexpr Index count() const { return count_; }
  /// How many of the first have `tile_columns` columns.
  RECUR_ALWAYS_INLINE constexpr Index whole() const {
    return std::min(wide_, in_common_ / tile_columns<Scalar>);
  }

  /// The first column of panel p; of the one behind the last: N.
  RECUR_ALWAYS_INLINE constexpr Index begin(Index p) const {
    return p >= count_ ? N_ : std::min(in_common_, p * tile_columns<Scalar> - missing(p));
  }
  RECUR_ALWAYS_INLINE constexpr Index columns(Index p) const { return begin(p + 1) - begin(p); }
  /// Scalars in a row of it.
  RECUR_ALWAYS_INLINE constexpr Index width(Index p) const {
    return whole_registers<Scalar>(columns(p));
  }

  /// The panel of a column; of N: count().
  RECUR_ALWAYS_INLINE constexpr Index at(Index column) const {
    if (column >= in_common_) {
      return column >= N_ ? count_ : count_ - 1;
    }
    const Index behind = column - wide_ * tile_columns<Scalar>;
    return behind < 0 ? column / tile_columns<Scalar> : wide_ + behind / narrow;
  }

 private:
  static constexpr Index narrow = tile_columns<Scalar> - native_width<Scalar>;

  // By how many columns the panels before p are narrower than as many whole ones.
  RECUR_ALWAYS_INLINE constexpr Index missing(Index p) const {
    return std::max<Index>(0, p - wide_) * native_width<Scalar>;
  }

  Index N_;
  Index in_common_;
  Index wide_;  // panels that are not narrower
  Index count_;
};

}  // namespace recur::inline RECUR_ABI::kernels
