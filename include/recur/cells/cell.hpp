// SPDX-License-Identifier: MIT
//
// One time step as a module: what torch.nn.LSTMCell, GRUCell and RNNCell are. See lstm_cell.hpp,
// gru_cell.hpp, rnn_cell.hpp for the names to use.
#pragma once

#include <type_traits>

#include "recur/cells/options.hpp"
#include "recur/cells/parameter_gradients.hpp"
#include "recur/cells/step.hpp"
#include "recur/core/state.hpp"

namespace recur::inline RECUR_ABI {

/// What a cell's forward leaves for backward; can be used again, then nothing is allocated.
template <math::Equations E, class Scalar>
struct CellTape {
  RowMatrix<Scalar> x;                 ///< (B × I)
  StateOf<E, RowMatrix<Scalar>> prev;  ///< the state before: h, c (B × H)
  StateOf<E, RowMatrix<Scalar>> next;  ///< the state after
  RowMatrix<Scalar> slots;             ///< (B × slots·H): activated gates (math/cell.hpp)
};

/// One step of `E`, with its own parameters `weight_ih` (G·H × I), `weight_hh` (G·H × H),
/// `bias_ih`, `bias_hh` (G·H).
///
/// x is a row-major B × I matrix with states B × H; or, all transposed, a column-major I × B matrix
/// with states H × B, a vector of I features (unbatched) with vectors of H as states. Const member
/// functions can be called from many threads. Errors are recur::Error.
template <math::Equations E, class Scalar_, int InputSize = Dynamic, int HiddenSize = Dynamic>
class Cell {
 public:
  using Scalar = Scalar_;
  using Options = typename CellTraits<E>::CellOptions;
  using Parameters = CellParameters<Scalar>;
  using State = StateOf<E, RowMatrix<Scalar>>;
  using Tape = CellTape<E, Scalar>;

  /// The array in which results come back, by the type of the input: vector, or matrix of its
  /// order.
  template <class Derived>
  using ArrayLike = Eigen::Matrix<Scalar, Derived::RowsAtCompileTime == 1 ? 1 : Dynamic,
                                  Derived::ColsAtCompileTime == 1 ? 1 : Dynamic,
                                  Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor>;
  template <class Derived>
  using StateLike = StateOf<E, ArrayLike<Derived>>;

  template <class Array>
  struct GradientsIn {
    Array input;
    StateOf<E, Array> state;  ///< by the state before
    Parameters parameters;
  };
  using Gradients = GradientsIn<RowMatrix<Scalar>>;

  /// Parameters ~ U(-1/sqrt(H), 1/sqrt(H)) from `generator`.
  explicit Cell(const Options& options = {}, Generator& generator = default_generator())
      : options_(options), equations_(CellTraits<E>::equations(options)) {
    options_.input_size = detail::merge_size<InputSize>(options.input_size, "input_size");
    options_.hidden_size = detail::merge_size<HiddenSize>(options.hidden_size, "hidden_size");
    detail::check_sizes(options_.input_size, options_.hidden_size);
    parameters_ = Parameters(sizes());
    initialize_uniform(parameters_, hidden_size(), generator);
    packed_.assign(sizes(), parameters_);
  }

  const Options& options() const { return options_; }
  Index input_size() const { return InputSize != Dynamic ? InputSize : options_.input_size; }
  Index hidden_size() const { return HiddenSize != Dynamic ? HiddenSize : options_.hidden_size; }
  const Parameters& parameters() const { return parameters_; }

  /// Calls f(Parameters&), then brings the packed copies up to date. Error where f resized one.
  template <class F>
  void update_parameters(F&& f) {
    change_parameters(parameters_, f, [this](ShapeRepair& repair) {
      parameters_.shape(sizes(), -1, false, repair);
      packed_.assign(sizes(), parameters_);
    });
  }

  /// The state after one step; `state`: the one before, zeros where it is left out.
  template <class Derived>
  StateLike<Derived> forward(const Eigen::MatrixBase<Derived>& x,
                             const StateLike<Derived>& state = {}) const {
    Tape tape;
    return forward(x, state, tape);
  }

  /// The same, leaving on the tape what backward needs.
  template <class Derived>
  StateLike<Derived> forward(const Eigen::MatrixBase<Derived>& x, const StateLike<Derived>& state,
                             Tape& tape) const {
    static_assert(std::is_same_v<typename Derived::Scalar, Scalar>,
                  "x must hold the cell's scalar: x.cast<Scalar>()");
    const Index batch = Derived::IsRowMajor ? x.rows() : x.cols();
    const Index features = Derived::IsRowMajor ? x.cols() : x.rows();
    check(features == input_size(), "input has inconsistent input_size: got ", features,
          " expected ", input_size());
    check_state(state.h, batch, 0);
    if constexpr (E::has_c) {
      check_state(state.c, batch, 1);
    }

    const kernels::FlushDenormals flush;
    assign_rows(x.derived(), tape.x);
    assign_or_zero(state.h, batch, tape.prev.h);
    tape.next.h.resize(batch, hidden_size());
    if constexpr (E::has_c) {
      assign_or_zero(state.c, batch, tape.prev.c);
      tape.next.c.resize(batch, hidden_size());
    }
    tape.slots.resize(batch, weights().slots());
    const kernels::SlotRows<Scalar> slots{tape.slots.data(), weights().slots()};
    cells::input_sums(weights(), batch, tape.x.data(), input_size(), slots);
    cells::forward_step<E, Scalar>(weights(), batch, slots, true, rows_of_state(tape.prev),
                                   rows_of_state(tape.next), {});

    StateLike<Derived> next;
    assign_back(tape.next.h, next.h);
    if constexpr (E::has_c) {
      assign_back(tape.next.c, next.c);
    }
    return next;
  }

  /// Gradients of one step. d_next: by the state after; h or c may be left out (empty), which
  /// stands for zeros. The tape is only read.
  Gradients backward(const Tape& tape, const State& d_next) const {
    Gradients gradients;
    backward(tape, d_next, gradients);
    return gradients;
  }

  /// The same for column-major matrices and vectors.
  template <class Array>
  GradientsIn<Array> backward(const Tape& tape, const LSTMState<Array>& d_next) const
      requires(E::has_c) {
    return backward_in<Array>(tape, d_next);
  }
  template <class Array>
  GradientsIn<Array> backward(const Tape& tape, const HiddenState<Array>& d_next) const
      requires(!E::has_c) {
    return backward_in<Array>(tape, d_next);
  }

  /// gradients.parameters: added to (zero on first use, when empty); .input and .state:
  /// overwritten.
  template <class Array>
  void backward(const Tape& tape, const StateOf<E, Array>& d_next,
                GradientsIn<Array>& gradients) const {
    const Index batch = tape.x.rows();
    const Index slots_width = weights().slots();
    check(tape.slots.cols() == slots_width && tape.x.cols() == input_size(), E::name,
          "Cell::backward: expected a tape of input_size ", input_size(), " and hidden_size ",
          hidden_size(), ", got one of others (call forward with this tape first)");
    check_state(d_next.h, batch, 0);
    if constexpr (E::has_c) {
      check_state(d_next.c, batch, 1);
    }
    if (gradients.parameters.weight_ih.size() == 0) {
      gradients.parameters = zero_gradients(*this);
    }
    check_gradients(parameters_, gradients.parameters);

    const kernels::FlushDenormals flush;
    State d;
    assign_or_zero(d_next.h, batch, d.h);
    if constexpr (E::has_c) {
      assign_or_zero(d_next.c, batch, d.c);
    }
    RowMatrix<Scalar> d_slots(batch, kernels::spread_row<Scalar>(slots_width));
    RowMatrix<Scalar> d_x(batch, input_size());
    const kernels::SlotRows<const Scalar> d_rows{d_slots.data(), d_slots.cols()};
    cells::backward_step<E, Scalar>(
        weights(), batch, {tape.slots.data(), slots_width}, rows_of_state(tape.prev),
        rows_of_state(tape.next), {d_slots.data(), d_slots.cols()}, rows_of_state(d), {}, nullptr);
    cells::input_gradient(weights(), batch, d_rows, d_x.data(), input_size());
    cells::PackedFactors<Scalar> packed_factors;
    cells::parameter_gradients(weights(),
                               cells::GradientRows<Scalar>{.rows = batch,
                                                           .d_slots = d_rows,
                                                           .x = tape.x.data(),
                                                           .x_stride = input_size(),
                                                           .h_prev = tape.prev.h.data(),
                                                           .h_stride = hidden_size()},
                               kernels::Start::accumulate, 1, packed_factors, gradients.parameters);
    assign_back(d_x, gradients.input);
    assign_back(d.h, gradients.state.h);
    if constexpr (E::has_c) {
      assign_back(d.c, gradients.state.c);
    }
  }

 private:
  CellSizes sizes() const {
    return {input_size(), hidden_size(), hidden_size(), E::gates, options_.bias};
  }
  cells::Weights<E, Scalar> weights() const { return {equations_, packed_}; }

  template <class Array>
  GradientsIn<Array> backward_in(const Tape& tape, const StateOf<E, Array>& d_next) const {
    GradientsIn<Array> gradients;
    backward<Array>(tape, d_next, gradients);
    return gradients;
  }

  template <class Array>
  void check_state(const Array& given, Index batch, int index) const {
    const Index rows = Array::IsRowMajor ? given.rows() : given.cols();
    const Index units = Array::IsRowMajor ? given.cols() : given.rows();
    if (units == 0 && (rows == 0 || Array::IsVectorAtCompileTime)) {
      return;  // left out
    }
    check(rows == batch, "Input batch size ", batch, " doesn't match hidden", index, " batch size ",
          rows);
    check(units == hidden_size(), "hidden", index, " has inconsistent hidden_size: got ", units,
          ", expected ", hidden_size());
  }

  // Between the caller's order and rows of sequences.
  template <class Array>
  static void assign_rows(const Array& from, RowMatrix<Scalar>& to) {
    if constexpr (Array::IsRowMajor) {
      to = from;
    } else {
      to = from.transpose();
    }
  }
  template <class Array>
  static void assign_back(const RowMatrix<Scalar>& from, Array& to) {
    if constexpr (Array::IsRowMajor) {
      to = from;
    } else {
      to = from.transpose();
    }
  }
  template <class Array>
  void assign_or_zero(const Array& from, Index batch, RowMatrix<Scalar>& to) const {
    if (from.size() == 0) {
      to.setZero(batch, hidden_size());
    } else {
      assign_rows(from, to);
    }
  }

  template <class AnyState>
  auto rows_of_state(AnyState& state) const {
    using Element = std::remove_pointer_t<decltype(state.h.data())>;
    if constexpr (E::has_c) {
      return kernels::StateRows<Element>{state.h.data(), hidden_size(), state.c.data(),
                                         hidden_size()};
    } else {
      return kernels::StateRows<Element>{state.h.data(), hidden_size(), nullptr, 0};
    }
  }

  Options options_;
  E equations_;
  Parameters parameters_;
  kernels::PackedWeights<E, Scalar> packed_;
};

}  // namespace recur::inline RECUR_ABI
