// SPDX-License-Identifier: MIT
//
// What both passes through the layers of a module know of it. The module that users hold, with its
// options and checks, is in stack.hpp; the passes in forward_pass.hpp and backward_pass.hpp.
#pragma once

#include <algorithm>  // std::copy_n, std::fill_n
#include <array>
#include <span>

#include "recur/cells/step.hpp"
#include "recur/core/state.hpp"
#include "recur/layers/layer_buffers.hpp"
#include "recur/layers/stack_parameters.hpp"

namespace recur::inline RECUR_ABI::layers {

/// One of something for each direction; without a second direction the last is not used.
template <class T>
using PerDirection = std::array<T, 2>;

/// The layers of a module, as the passes see them.
template <math::Equations E, class Scalar>
struct Network {
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;

  const E& equations;
  const StackParameters<Scalar>& parameters;
  std::span<const kernels::PackedWeights<E, Scalar>> packed;  ///< layer outer, direction inner
  Index layers;
  Index directions;
  double dropout;

  const CellSizes& sizes(Index layer) const {
    return packed[static_cast<std::size_t>(layer * directions)].sizes;
  }
  Index hidden() const { return sizes(0).hidden; }
  Index output() const { return sizes(0).output; }  ///< of one direction
  bool projected() const { return output() != hidden(); }

  PerDirection<cells::Weights<E, Scalar>> weights(Index layer) const {
    const auto of = [&](Index d) {
      const auto k = static_cast<std::size_t>(layer * directions + d);
      return cells::Weights<E, Scalar>{equations, packed[k]};
    };
    return {of(0), of(directions - 1)};
  }

  template <class T>
  std::span<const T> in_use(const PerDirection<T>& both) const {
    return {both.data(), static_cast<std::size_t>(directions)};
  }

  /// Sets b to one direction's part of a layer's tensors. A c of one slot is updated in place.
  template <class Element, class Tensor>
  void find_buffers(Index d, Tensor& h, Tensor& c, Tensor& slots, Tensor& unprojected,
                    DirectionBuffers<Element>& b) const {
    b.h = h.data() + d * output();
    b.h_row = h.size(2);
    b.h_slot = h.size(1) * h.size(2);
    if constexpr (E::has_c) {
      b.c = c.data() + d * (c.size(2) / directions);
      b.c_row = c.size(2);
      b.c_slot = c.size(0) == 1 ? 0 : c.size(1) * c.size(2);
    }
    b.slots = slots.data();
    b.slots_row = slots.size(2);
    b.unprojected = projected() ? unprojected.data() : nullptr;
  }

  /// State `index` (layer · D + direction) of a sequence of the caller's; zeros where it is absent.
  void copy_state(const StateOf<E, ConstView>& from, Index index, Index sequence,
                  const kernels::StateRows<Scalar>& to) const {
    copy_or_zero(from.h, index, sequence, to.h, output());
    if constexpr (E::has_c) {
      copy_or_zero(from.c, index, sequence, to.c, hidden());
    }
  }

  /// The same to the caller.
  void store_state(const kernels::StateRows<Scalar>& from, const StateOf<E, View>& to, Index index,
                   Index sequence) const {
    std::copy_n(from.h, output(), to.h.row(index, sequence));
    if constexpr (E::has_c) {
      std::copy_n(from.c, hidden(), to.c.row(index, sequence));
    }
  }

 private:
  static void copy_or_zero(const ConstView& from, Index index, Index sequence, Scalar* to,
                           Index count) {
    if (from.absent()) {
      std::fill_n(to, count, Scalar(0));
    } else {
      std::copy_n(from.row(index, sequence), count, to);
    }
  }
};

}  // namespace recur::inline RECUR_ABI::layers
