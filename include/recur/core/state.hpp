// SPDX-License-Identifier: MIT
//
// States of recurrent modules: h, and c for the LSTM. The same struct for owning tensors, for views
// and for matrices: batched (L·D, B, H), unbatched (L·D, H), of a cell (B, H).
#pragma once

#include <concepts>

#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// State of an RNN or a GRU. An empty array (default-constructed) means "left out": zeros for an
/// initial state, no gradient for a gradient.
template <class Array>
struct HiddenState {
  Array h{};

  template <class Other>
  requires(!std::same_as<Array, Other> && std::convertible_to<const Array&, Other>)
  operator HiddenState<Other>() const {  // NOLINT(google-explicit-constructor)
    return {h};
  }
};

/// State of an LSTM. c has H columns, h has proj_size of them where there is a projection.
template <class Array>
struct LSTMState {
  Array h{};
  Array c{};

  template <class Other>
  requires(!std::same_as<Array, Other> && std::convertible_to<const Array&, Other>)
  operator LSTMState<Other>() const {  // NOLINT(google-explicit-constructor)
    return {h, c};
  }
};

/// The state type of a cell's equations.
template <class E, class Array>
using StateOf = std::conditional_t<E::has_c, LSTMState<Array>, HiddenState<Array>>;

}  // namespace recur::inline RECUR_ABI
