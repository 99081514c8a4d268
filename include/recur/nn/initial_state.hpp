// SPDX-License-Identifier: MIT
//
// An initial state that is learnt: the parameters h_0 and c_0 of a recurrent layer, the same for
// every sequence of a batch. In PyTorch: two nn.Parameter, expanded over the batch.
#pragma once

#include "recur/core/parameters.hpp"
#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// The state before the first step as parameters of a `Layer` (LSTM<float>, GRU<double>, …).
///
/// Parameters: h_0 (L·D × H_out) and, for the LSTM, c_0 (L·D × H), zero at first; row as in the
/// layer's states. Const member functions can be called from many threads. All errors are
/// recur::Error and thrown before anything is written.
///
///     struct Model {
///       recur::LSTM<float> lstm{{.input_size = 28, .hidden_size = 100}};
///       recur::InitialState<recur::LSTM<float>> initial{lstm};
///       static auto members(auto& self) {
///         return recur::members("lstm", self.lstm, "initial", self.initial);
///       }
///     };
///
///     auto [output, state] = model.lstm.forward(x, model.initial.forward(x.size(1)), tape);
///     auto d_lstm = model.lstm.backward(tape, d_output);
///     auto d_initial = model.initial.backward(d_lstm.state);
///     adam.step(model, d_lstm.parameters, d_initial.parameters);
template <class Layer>
class InitialState {
 public:
  using Scalar = typename Layer::Scalar;
  using State = typename Layer::State;
  using StateView = typename Layer::StateView;
  static constexpr bool has_c = requires(State state) { state.c; };

  struct Parameters {
    RowMatrix<Scalar> h_0;  ///< (L·D × H_out)
    RowMatrix<Scalar> c_0;  ///< (L·D × H), where the layer has a cell state; else empty

    /// f(name, p.h_0...), f(name, p.c_0...).
    static void visit(auto&& f, auto&... p) {
      f(ParameterName{"h_0"}, p.h_0...);
      if constexpr (has_c) {
        f(ParameterName{"c_0"}, p.c_0...);
      }
    }
  };
  struct Gradients {
    Parameters parameters;
  };

  /// For layers of the sizes of `layer`, which is not kept.
  explicit InitialState(const Layer& layer)
      : states_(layer.num_layers() * layer.directions()),
        h_columns_(layer.output_size()),
        c_columns_(layer.hidden_size()) {
    parameters_.h_0.setZero(states_, h_columns_);
    if constexpr (has_c) {
      parameters_.c_0.setZero(states_, c_columns_);
    }
  }

  const Parameters& parameters() const { return parameters_; }

  /// Calls f(Parameters&). Error where f resized one.
  template <class F>
  void update_parameters(F&& f) {
    change_parameters(parameters_, f, [this](ShapeRepair& repair) {
      repair(ParameterName{"h_0"}, parameters_.h_0, states_, h_columns_);
      if constexpr (has_c) {
        repair(ParameterName{"c_0"}, parameters_.c_0, states_, c_columns_);
      }
    });
  }

  /// The state of `batch` sequences: h (L·D, B, H_out), c (L·D, B, H).
  State forward(Index batch) const {
    State state;
    forward(batch, state);
    return state;
  }

  /// Into memory that is used again. state: overwritten.
  void forward(Index batch, State& state) const {
    expand(parameters_.h_0, batch, state.h);
    if constexpr (has_c) {
      expand(parameters_.c_0, batch, state.c);
    }
  }

  /// d_state: gradient of the loss by the state that forward gave: the .state of the layer's
  /// gradients. h or c may be left out, which stands for zeros.
  Gradients backward(const StateView& d_state) const {
    Gradients gradients;
    backward(d_state, gradients);
    return gradients;
  }

  /// gradients.parameters: added to (zero on first use, when empty).
  void backward(const StateView& d_state, Gradients& gradients) const {
    check_gradient("d_state.h", d_state.h, parameters_.h_0);
    if constexpr (has_c) {
      check_gradient("d_state.c", d_state.c, parameters_.c_0);
    }
    if (gradients.parameters.h_0.size() == 0) {
      gradients.parameters = zero_gradients(*this);
    }
    check_gradients(parameters_, gradients.parameters);
    add_batch(d_state.h, gradients.parameters.h_0);
    if constexpr (has_c) {
      add_batch(d_state.c, gradients.parameters.c_0);
    }
  }

 private:
  using Matrix = RowMatrix<Scalar>;
  using ConstView = Tensor3View<const Scalar>;

  static void expand(const Matrix& rows, Index batch, Tensor3<Scalar>& tensor) {
    check(batch >= 0, "InitialState::forward: expected a batch size from 0 on, got ", batch);
    tensor.resize(rows.rows(), batch, rows.cols());
    for (Index k = 0; k < rows.rows(); ++k) {
      tensor[k].rowwise() = rows.row(k);
    }
  }

  static void check_gradient(const char* what, ConstView given, const Matrix& parameter) {
    if (!given.absent() &&
        (given.size(0) != parameter.rows() || given.size(2) != parameter.cols())) {
      fail("InitialState::backward: ", what, ": expected (", parameter.rows(), ", batch, ",
           parameter.cols(), "), got ", given.shape());
    }
  }

  // The sum over the batch.
  static void add_batch(ConstView d_state, Matrix& gradient) {
    for (Index k = 0; k < d_state.size(0); ++k) {
      gradient.row(k) += d_state[k].colwise().sum();
    }
  }

  Index states_;     // L·D
  Index h_columns_;  // H_out
  Index c_columns_;  // H
  Parameters parameters_;
};

}  // namespace recur::inline RECUR_ABI
