// SPDX-License-Identifier: MIT
//
// How products of several rows go through the panels of B: panel by panel, or block by block.
#pragma once

#include <algorithm>  // std::max, std::min
#include <limits>

#include "recur/kernels/gemm_parts.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// How a product is made.
struct Manner {
  SumOf what = SumOf::inputs;  ///< decides how it is cut into sums
  /// Panels that begin here or behind it are multiplied in parts (parts_of_sum).
  Index parts_from = std::numeric_limits<Index>::max();
  bool back = false;             ///< from the last panel to the first: see Walk
  Place place = Place::unknown;  ///< of C
};

namespace detail {

// [begin, end) in groups of `size`, from the first or back from the last.
class Groups {
 public:
  struct Group {
    Index first;
    Index last;
    Index next;  // the first of the group that follows; `end` behind the last one
  };

  Groups(Index begin, Index end, Index size, bool back)
      : begin_(begin),
        end_(end),
        size_(size),
        count_(end - begin <= size ? (begin < end ? 1 : 0) : (end - begin + size - 1) / size),
        back_(back) {}

  Index count() const { return count_; }
  Group operator[](Index k) const {
    const Index first = begin_ + (back_ ? count_ - 1 - k : k) * size_;
    return {first, std::min(end_, first + size_),
            k + 1 == count_ ? end_ : first + (back_ ? -size_ : size_)};
  }

 private:
  Index begin_;
  Index end_;
  Index size_;
  Index count_;
  bool back_;
};

// What the products of a panel have in common with those of the others: C = start + A B, of all
// terms. N: the columns in panels. block: see length_of_block.
template <class Scalar>
struct Product {
  Index M;
  Index N;
  Index K;
  Index block;
  GemmA<Scalar> a;
  const Scalar* b;
  GemmC<Scalar> c;
  Start start;
  const Scalar* bias;
  const Manner& manner;

  // Rows [first, first + count) of A and C.
  Product rows(Index first, Index count) const {
    Product some = *this;
    some.M = count;
    some.a.data += first * a.row_stride;
    some.c.data += first * c.row_stride;
    return some;
  }

  // B from term k of the panel on that begins at column n and is `width` wide.
  const Scalar* weights(Index n, Index width, Index k) const { return b + n * K + k * width; }
  GemmA<Scalar> terms_from(Index k) const {
    return {a.data + k * a.column_stride, a.row_stride, a.column_stride};
  }
  GemmC<Scalar> columns_from(Index n) const { return {c.data + n, c.row_stride}; }
  const Scalar* bias_from(Start from, Index n) const {
    return from == Start::bias ? bias + n : nullptr;
  }
};

// Whether a product goes through all columns for a block of terms before the next one, instead of
// through all terms for a panel: A is then read once and the weights once, and C, which is narrow
// beside them, as often as there are blocks. (Gradients by the inputs, of 256 to 1,024: training
// 0.5 to 1.5 % faster.)
template <class Scalar>
bool goes_block_by_block(const Product<Scalar>& of) {
  const SumOf what = of.manner.what;
  return what == SumOf::gradients && of.M >= m_block / 2 &&
         of.K >= 4 * terms_in_one_go(what).most && of.manner.parts_from >= of.N && of.N > 0;
}

// Such a product, block by block.
template <class Scalar>
void gemm_by_blocks(const Product<Scalar>& of) {
  const Panels<Scalar> panels(of.N);
  const Stretches stretches(of.K, 1, of.block);
  const Index first_width = panels.width(0);
  Start start = of.start;
  for (Index k = 0; k < of.K; start = Start::accumulate) {
    const Index depth = stretches.at(k);
    for (Index p = 0; p < panels.count(); ++p) {
      const Index n = panels.begin(p);
      const Index width = panels.width(p);
      const Scalar* ahead = p + 1 < panels.count()
                                ? of.weights(panels.begin(p + 1), panels.width(p + 1), k)
                            : k + depth < of.K ? of.weights(0, first_width, k + depth)
                                               : nullptr;
      gemm_panel<Scalar>(
          of.M, panels.columns(p), depth, of.terms_from(k), of.weights(n, width, k), width,
          of.columns_from(n), start, of.bias_from(start, n),
          panel_ahead(count_of_tiles(of.M, width / native_width<Scalar>), depth, width, ahead),
          of.manner.place);
    }
    k += depth;
  }
}

// Panel p of such a product. One row reads faster than anything could be fetched ahead, more of
// them fetch what is read next: `behind` after the last block.
template <class Scalar>
void gemm_of_panel(const Product<Scalar>& of, const Panels<Scalar>& panels, Index p,
                   const Scalar* behind) {
  const Index n = panels.begin(p);
  const Index columns = panels.columns(p);
  const Index width = panels.width(p);
  const Index vectors = width / native_width<Scalar>;
  const Index parts = n < of.manner.parts_from ? 1 : parts_of_sum(of.K, vectors);
  if (parts > 1 && gemm_panel_in_parts<Scalar>(
                       parts, of.M, columns, of.K, of.a, of.weights(n, width, 0), width,
                       of.columns_from(n), of.start, of.bias_from(of.start, n), of.manner.back)) {
    return;
  }
  const Stretches stretches(of.K, parts, of.block);
  Start from = of.start;
  Index k = 0;
  do {  // at least once: K = 0 still sets C
    const Index depth = stretches.at(k);
    const Scalar* ahead = of.M == 1          ? nullptr
                          : k + depth < of.K ? of.weights(n, width, k + depth)
                                             : behind;
    gemm_panel<Scalar>(of.M, columns, depth, of.terms_from(k), of.weights(n, width, k), width,
                       of.columns_from(n), from, of.bias_from(from, n),
                       panel_ahead(count_of_tiles(of.M, vectors), depth, width, ahead),
                       k > 0 ? Place::near : of.manner.place);
    from = Start::accumulate;
    k += depth;
  } while (k < of.K);
}

// Such a product, all rows panel by panel.
template <class Scalar>
void gemm_by_panels(const Product<Scalar>& of) {
  const Panels<Scalar> panels(of.N);
  const Groups order(0, panels.count(), 1, of.manner.back);
  for (Index g = 0; g < order.count(); ++g) {
    const auto [p, last, next] = order[g];
    gemm_of_panel<Scalar>(of, panels, p,
                          next < panels.count() ? of.weights(panels.begin(next), 0, 0) : nullptr);
  }
}

}  // namespace detail

}  // namespace recur::inline RECUR_ABI::kernels
