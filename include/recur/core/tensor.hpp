// SPDX-License-Identifier: MIT
//
// Arrays of three dimensions with PyTorch's memory layout, and views of the user's memory.
//
//   Tensor3<Scalar>            owns (size 0, size 1, size 2), row-major: the bytes of a contiguous
//                              PyTorch tensor
//   Tensor3View<Scalar>        refers to memory; rows may stand apart (strides), elements of a row
//   not Tensor3View<const Scalar>  the same, read only; a Tensor3 converts to it by itself
//
// x[k] is an Eigen map of slice k (size 1 × size 2), x(i, j, k) one element.
#pragma once

#include <algorithm>  // std::copy_n, std::fill
#include <string>
#include <type_traits>
#include <utility>  // std::swap
#include <vector>

#include "recur/core/check.hpp"

namespace recur::inline RECUR_ABI {

/// Matrix in PyTorch's layout: parameters, unbatched sequences, batches of one step.
template <class Scalar, int Rows = Dynamic, int Cols = Dynamic>
using RowMatrix =
    Eigen::Matrix<Scalar, Rows, Cols,
                  // Eigen refuses a row-major column vector; both layouts are the same.
                  Cols == 1 && Rows != 1 ? Eigen::ColMajor : Eigen::RowMajor>;

/// One-dimensional parameter (biases).
template <class Scalar>
using Vector = Eigen::Matrix<Scalar, Dynamic, 1>;

/// Rows of a matrix in memory that may stand apart: `Scalar` may be const.
template <class Scalar, int Cols = Dynamic>
using RowMap =
    Eigen::Map<std::conditional_t<std::is_const_v<Scalar>,
                                  const RowMatrix<std::remove_const_t<Scalar>, Dynamic, Cols>,
                                  RowMatrix<Scalar, Dynamic, Cols>>,
               Eigen::Unaligned, Eigen::OuterStride<>>;

namespace detail {

// Throws Error if one is negative, for `who` asked for them.
inline void check_sizes(const char* who, Index size0, Index size1, Index size2) {
  if ((size0 | size1 | size2) < 0) [[unlikely]] {  // the sign of any
    fail(who, ": sizes must not be negative, got ", shape_string({size0, size1, size2}));
  }
}

}  // namespace detail

template <class Scalar>
class Tensor3;

/// A view of three dimensions. Does not own; copying the view copies no element.
///
/// A default-constructed view means "left out" wherever an argument is optional.
template <class Scalar>
class Tensor3View {
 public:
  Tensor3View() = default;

  /// Contiguous memory of size0 × size1 × size2 elements.
  Tensor3View(Scalar* data, Index size0, Index size1, Index size2)
      : Tensor3View(data, size0, size1, size2, size1 * size2, size2) {}

  /// Memory in which element (i, j, k) stands at data[i * stride0 + j * stride1 + k].
  Tensor3View(Scalar* data, Index size0, Index size1, Index size2, Index stride0, Index stride1)
      : data_(data), sizes_{size0, size1, size2}, strides_{stride0, stride1} {
    detail::check_sizes("Tensor3View", size0, size1, size2);
  }

  /// A view of elements becomes a view of const elements.
  operator Tensor3View<const Scalar>() const  // NOLINT(google-explicit-constructor)
      requires(!std::is_const_v<Scalar>) {
    Tensor3View<const Scalar> view;
    view.data_ = data_;
    std::copy_n(sizes_, 3, view.sizes_);
    std::copy_n(strides_, 2, view.strides_);
    return view;
  }

  Scalar* data() const { return data_; }
  Index size(int dimension) const { return sizes_[dimension]; }
  Index size() const { return sizes_[0] * sizes_[1] * sizes_[2]; }
  /// Distance in elements between neighbours along dimension 0 or 1 (along 2 it is 1).
  Index stride(int dimension) const { return strides_[dimension]; }
  std::string shape() const { return shape_string({sizes_[0], sizes_[1], sizes_[2]}); }

  /// True for a view that was left out (default-constructed): no data, every size zero.
  bool absent() const { return data_ == nullptr && sizes_[0] == 0 && sizes_[2] == 0; }
  bool contiguous() const {
    return strides_[1] == sizes_[2] && strides_[0] == sizes_[1] * sizes_[2];
  }

  Scalar& operator()(Index i, Index j, Index k) const {
    return data_[i * strides_[0] + j * strides_[1] + k];
  }
  Scalar* row(Index i, Index j) const { return data_ + i * strides_[0] + j * strides_[1]; }

  /// Slice i as a matrix (size 1 × size 2).
  RowMap<Scalar> operator[](Index i) const {
    return {data_ + i * strides_[0], sizes_[1], sizes_[2], Eigen::OuterStride<>(strides_[1])};
  }

  /// The same memory with dimensions 0 and 1 exchanged: (B, T, I) seen as (T, B, I).
  Tensor3View transposed() const {
    Tensor3View view = *this;
    std::swap(view.sizes_[0], view.sizes_[1]);
    std::swap(view.strides_[0], view.strides_[1]);
    return view;
  }

  /// Elements [first, first + count) of dimension `dimension`.
  Tensor3View narrow(int dimension, Index first, Index count) const {
    Tensor3View part = *this;
    part.sizes_[dimension] = count;
    part.data_ += first * (dimension == 2 ? 1 : strides_[dimension]);
    return part;
  }

  void set_zero() const {
    for (Index i = 0; i < sizes_[0]; ++i) {
      (*this)[i].setZero();
    }
  }

 private:
  template <class>
  friend class Tensor3View;
  template <class>
  friend class Tensor3;

  // Contiguous memory of sizes that have been checked.
  Tensor3View(Scalar* data, const Index (&sizes)[3])
      : data_(data),
        sizes_{sizes[0], sizes[1], sizes[2]},
        strides_{sizes[1] * sizes[2], sizes[2]} {}

  Scalar* data_ = nullptr;
  Index sizes_[3] = {0, 0, 0};
  Index strides_[2] = {0, 0};
};

/// Owns size 0 × size 1 × size 2 elements, row-major, aligned for vector instructions.
///
///     recur::Tensor3<float> x(28, 64, 28);   // (T, B, I), zeros
///     x[0].setRandom();                      // step 0: an Eigen map, 64 × 28
///     x(27, 63, 0) = 1.0f;
template <class Scalar_>
class Tensor3 {
 public:
  using Scalar = Scalar_;
  using View = Tensor3View<Scalar>;
  using ConstView = Tensor3View<const Scalar>;
  static_assert(!std::is_const_v<Scalar>,
                "an owner's elements can be written: Tensor3View<const Scalar> is read only");

  Tensor3() = default;
  Tensor3(const Tensor3&) = default;
  Tensor3& operator=(const Tensor3&) = default;
  // A moved-from tensor is empty: its sizes go with its elements.
  Tensor3(Tensor3&& other) noexcept { swap(other); }
  Tensor3& operator=(Tensor3&& other) noexcept {
    Tensor3 taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Tensor3() = default;

  /// All elements zero.
  Tensor3(Index size0, Index size1, Index size2) { resize(size0, size1, size2); }
  /// A copy of what the view shows.
  explicit Tensor3(ConstView other) { assign(other); }

  Index size(int dimension) const { return sizes_[dimension]; }
  Index size() const { return static_cast<Index>(data_.size()); }
  Scalar* data() { return data_.data(); }
  const Scalar* data() const { return data_.data(); }
  std::string shape() const { return shape_string({sizes_[0], sizes_[1], sizes_[2]}); }

  /// New sizes; what the elements hold afterwards is unspecified. Allocates only to grow.
  RECUR_ALWAYS_INLINE void resize(Index size0, Index size1, Index size2) {
    if (size0 != sizes_[0] || size1 != sizes_[1] || size2 != sizes_[2]) {  // seldom
      change_sizes(size0, size1, size2);
    }
  }

  /// Takes the sizes and the elements of `other`.
  void assign(ConstView other) {
    resize(other.size(0), other.size(1), other.size(2));
    for (Index i = 0; i < sizes_[0]; ++i) {
      (*this)[i] = other[i];
    }
  }

  void swap(Tensor3& other) noexcept {
    data_.swap(other.data_);
    std::swap(sizes_, other.sizes_);
  }

  void set_zero() { std::fill(data_.begin(), data_.end(), Scalar(0)); }

  RECUR_ALWAYS_INLINE View view() { return View(data(), sizes_); }
  RECUR_ALWAYS_INLINE ConstView view() const { return ConstView(data(), sizes_); }
  operator View() { return view(); }             // NOLINT(google-explicit-constructor)
  operator ConstView() const { return view(); }  // NOLINT(google-explicit-constructor)

  Scalar& operator()(Index i, Index j, Index k) {
    return data()[(i * sizes_[1] + j) * sizes_[2] + k];
  }
  const Scalar& operator()(Index i, Index j, Index k) const {
    return data()[(i * sizes_[1] + j) * sizes_[2] + k];
  }
  RowMap<Scalar> operator[](Index i) { return view()[i]; }
  RowMap<const Scalar> operator[](Index i) const { return view()[i]; }

  /// All rows one below the other: (size 0 · size 1) × size 2.
  RowMap<Scalar> rows() {
    return {data(), sizes_[0] * sizes_[1], sizes_[2], Eigen::OuterStride<>(sizes_[2])};
  }
  RowMap<const Scalar> rows() const {
    return {data(), sizes_[0] * sizes_[1], sizes_[2], Eigen::OuterStride<>(sizes_[2])};
  }

 private:
  void change_sizes(Index size0, Index size1, Index size2) {
    detail::check_sizes("Tensor3", size0, size1, size2);
    data_.resize(static_cast<std::size_t>(size0 * size1 * size2));
    sizes_[0] = size0;
    sizes_[1] = size1;
    sizes_[2] = size2;
  }

  std::vector<Scalar, Eigen::aligned_allocator<Scalar>> data_;
  Index sizes_[3] = {0, 0, 0};
};

}  // namespace recur::inline RECUR_ABI
