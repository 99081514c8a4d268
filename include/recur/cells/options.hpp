// SPDX-License-Identifier: MIT
//
// What recurrent layers and cells are made with: the arguments of torch.nn.LSTM, LSTMCell, …, same
// names, order and defaults.
#pragma once

#include "recur/core/check.hpp"
#include "recur/math/rnn.hpp"

namespace recur::inline RECUR_ABI {

/// Arguments of LSTM and GRU.
struct RecurrentOptions {
  Index input_size = 0;  ///< features of the input; may be left out where it is a template argument
  Index hidden_size = 0;     ///< units of a layer; the same
  Index num_layers = 1;      ///< layers, each fed with the output of the one before
  bool bias = true;          ///< b_ih and b_hh
  bool batch_first = false;  ///< input and output (B, T, ·) instead of (T, B, ·)
  double dropout =
      0;  ///< probability of zeroing an output of every layer but the last, in training
  bool bidirectional = false;  ///< a second direction that reads the sequences backwards
  Index proj_size = 0;         ///< LSTM: h is projected to so many features
};

/// Arguments of RNN.
struct RNNOptions {
  Index input_size = 0;
  Index hidden_size = 0;
  Index num_layers = 1;
  Nonlinearity nonlinearity = Nonlinearity::tanh;
  bool bias = true;
  bool batch_first = false;
  double dropout = 0;
  bool bidirectional = false;
  Index proj_size = 0;  ///< refused unless 0, as PyTorch does
};

/// Arguments of LSTMCell and GRUCell.
struct CellOptions {
  Index input_size = 0;
  Index hidden_size = 0;
  bool bias = true;
};

/// Arguments of RNNCell.
struct RNNCellOptions {
  Index input_size = 0;
  Index hidden_size = 0;
  bool bias = true;
  Nonlinearity nonlinearity = Nonlinearity::tanh;
};

namespace detail {

inline RecurrentOptions common_options(const RecurrentOptions& options) { return options; }

inline RecurrentOptions common_options(const RNNOptions& o) {
  return {o.input_size,  o.hidden_size, o.num_layers,    o.bias,
          o.batch_first, o.dropout,     o.bidirectional, o.proj_size};
}

// A size from the options and the template argument, which must not contradict each other.
template <int Fixed>
Index merge_size(Index given, const char* name) {
  if constexpr (Fixed != Dynamic) {
    static_assert(Fixed > 0,
                  "a size given as template argument must be positive, or recur::Dynamic");
    check(given == 0 || given == Fixed, name, " is fixed to ", Fixed,
          " by a template argument, got ", given);
    return Fixed;
  } else {
    return given;
  }
}

inline void check_dropout(double p) {
  check(p >= 0 && p <= 1,
        "dropout should be a number in range [0, 1] representing the probability of an element "
        "being zeroed");
}

inline void check_sizes(Index input_size, Index hidden_size) {
  check(input_size > 0, "input_size must be greater than zero");
  check(hidden_size > 0, "hidden_size must be greater than zero");
}

inline void check_options(const RecurrentOptions& o, bool can_project) {
  check_dropout(o.dropout);
  check_sizes(o.input_size, o.hidden_size);
  check(o.num_layers > 0, "num_layers must be greater than zero");
  check(o.proj_size == 0 || can_project,
        "proj_size argument is only supported for LSTM, not RNN or GRU");
  check(o.proj_size >= 0, "proj_size should be a positive integer or zero to disable projections");
  check(o.proj_size < o.hidden_size, "proj_size has to be smaller than hidden_size");
  if (o.dropout > 0 && o.num_layers == 1) {
    warn(
        "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
        "expects num_layers greater than 1, but got dropout=",
        o.dropout, " and num_layers=1");
  }
}

}  // namespace detail

/// What the layers and cells must know of a cell besides its equations. A new cell with the usual
/// arguments needs nothing of this but a name in its equations.
template <class E>
struct CellTraits {
  using Options = RecurrentOptions;
  using CellOptions = recur::CellOptions;
  static E equations(const auto& /*options*/) { return {}; }
};

template <>
struct CellTraits<math::RNN> {
  using Options = RNNOptions;
  using CellOptions = RNNCellOptions;
  static math::RNN equations(const auto& options) { return {options.nonlinearity}; }
};

}  // namespace recur::inline RECUR_ABI
