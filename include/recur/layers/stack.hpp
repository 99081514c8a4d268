// SPDX-License-Identifier: MIT
//
// The recurrent module: layers one upon another, in one or two directions, over a cell's equations.
// RNN, LSTM and GRU are this class with their equations; see lstm.hpp, gru.hpp, rnn.hpp.
#pragma once

#include <concepts>  // std::same_as
#include <string_view>
#include <vector>

#include "recur/cells/options.hpp"
#include "recur/layers/calls.hpp"
#include "recur/layers/observe.hpp"
#include "recur/layers/stream.hpp"

namespace recur::inline RECUR_ABI {

/// Layers × directions of one cell: what torch.nn.LSTM, GRU and RNN are.
///
/// Shapes (T steps, B batch, I input_size, L num_layers, D directions, H_out = proj_size or H):
///   input    (T, B, I), or (B, T, I) with batch_first
///   output   (T, B, D·H_out), or (B, T, D·H_out) with batch_first
///   state    h (L·D, B, H_out), c (L·D, B, H), whatever batch_first says; at layer·D + direction
/// Unbatched, as Eigen matrices: row-major T × I → T × D·H_out and states L·D × H; or column-major,
/// all transposed: I × T → D·H_out × T and states H × L·D.
///
/// Const member functions can be called from many threads on one object; each takes its own Tape or
/// Workspace. All errors are recur::Error and thrown before anything is written.
///
/// Results are reproducible to the last bit, in one program on one processor. Output, final state
/// and the gradients by input and initial state of a sequence do not depend on the batch size, on
/// its place in the batch or the lengths of the others, on the number of threads, on whether there
/// is a tape, nor on whether its steps come in one call or in many; gradients by the parameters do
/// not depend on the number of threads.
///
/// A long sequence can be run in windows, the state of each handed to the next. Truncated
/// backpropagation cuts the gradient between them, and needs one tape:
///
///     auto [output, next] = lstm.forward(window, state, tape);
///     auto gradients = lstm.backward(tape, d_output);     // .state is dropped: PyTorch's detach()
///     state = std::move(next);
///
/// To let it flow, keep a tape for each window and go back from the last to the first, the gradient
/// by the state before one window being that by the state after the window before it:
///
///     LSTM<float>::Gradients gradients;                   // .state: none behind the last window
///     for (auto k = tapes.size(); k-- > 0;) {
///       lstm.backward(tapes[k], d_outputs[k], gradients.state, gradients);
///     }
///
/// which gives the gradients of the whole sequence. examples/truncated_bptt/ shows both. In a part
/// of the memory, by a SegmentedTape: layers/segments.hpp. A first state that is learnt:
/// nn/initial_state.hpp.
template <math::Equations E, class Scalar_, int InputSize = Dynamic, int HiddenSize = Dynamic>
class Recurrent {
 public:
  using Scalar = Scalar_;
  using Options = typename CellTraits<E>::Options;
  using Parameters = StackParameters<Scalar>;
  using Tape = recur::Tape<Scalar>;
  using SegmentedTape = recur::SegmentedTape<Scalar>;
  using Workspace = recur::Workspace<Scalar>;
  using Stream = recur::Stream<E, Scalar>;
  using State = StateOf<E, Tensor3<Scalar>>;
  using ConstView = Tensor3View<const Scalar>;
  using StateView = StateOf<E, ConstView>;

  using Packed = PackedSequence<Scalar>;
  using Output = LayerOutput<Tensor3<Scalar>, State>;
  using Gradients = LayerGradients<Tensor3<Scalar>, State>;
  using PackedOutput = LayerOutput<Packed, State>;
  using PackedGradients = LayerGradients<Packed, State>;

  /// The types of an unbatched call, by the storage order of its input.
  template <class Derived>
  using MatrixLike = layers::MatrixLike<Scalar, Derived>;
  template <class Derived>
  using MatrixState = StateOf<E, MatrixLike<Derived>>;
  template <class Derived>
  using MatrixOutput = LayerOutput<MatrixLike<Derived>, MatrixState<Derived>>;
  template <class Derived>
  using MatrixGradients = LayerGradients<MatrixLike<Derived>, MatrixState<Derived>>;

  /// Parameters ~ U(-1/sqrt(H), 1/sqrt(H)) from `generator`.
  explicit Recurrent(const Options& options = {}, Generator& generator = default_generator())
      : options_(options), equations_(CellTraits<E>::equations(options)) {
    RecurrentOptions o = detail::common_options(options);
    o.input_size = detail::merge_size<InputSize>(o.input_size, "input_size");
    o.hidden_size = detail::merge_size<HiddenSize>(o.hidden_size, "hidden_size");
    detail::check_options(o, E::can_project);
    options_.input_size = o.input_size;
    options_.hidden_size = o.hidden_size;
    parameters_.directions = directions();
    for (Index layer = 0; layer < num_layers(); ++layer) {
      for (Index d = 0; d < directions(); ++d) {
        parameters_.cells.emplace_back(cell_sizes(layer));
      }
    }
    initialize_uniform(parameters_, hidden_size(), generator);
    repack();
  }

  const Options& options() const { return options_; }
  Index input_size() const { return InputSize != Dynamic ? InputSize : options_.input_size; }
  Index hidden_size() const { return HiddenSize != Dynamic ? HiddenSize : options_.hidden_size; }
  Index num_layers() const { return options_.num_layers; }
  Index directions() const { return options_.bidirectional ? 2 : 1; }
  /// H_out: columns of h and, for each direction, of the output.
  Index output_size() const { return options_.proj_size > 0 ? options_.proj_size : hidden_size(); }

  /// Probability of dropout from the next call on.
  void set_dropout(double p) {
    detail::check_dropout(p);
    options_.dropout = p;
  }

  const Parameters& parameters() const { return parameters_; }

  /// Calls f(Parameters&), then brings the packed copies up to date. Error where f resized one.
  template <class F>
  void update_parameters(F&& f) {
    change_parameters(parameters_, f, [this](ShapeRepair& repair) {
      restore_shapes(repair);
      repack();
    });
  }

  /// Inference. `state`: the initial one; zeros where it is left out.
  Output forward(const ConstView& x, const StateView& state = {}) const {
    Output out;
    Workspace work;
    forward(x, state, out, work);
    return out;
  }

  /// Inference into memory that is used again: allocates nothing once it has the sizes.
  /// out, work: overwritten. `state` may be out.state.
  void forward(const ConstView& x, const StateView& state, Output& out, Workspace& work) const {
    run(x, nullptr, state, out, work, nullptr);
  }

  /// Training: what backward needs goes to the tape, whose generator draws the masks of dropout: a
  /// fresh one for every call, kept on the tape. To use a generator of one's own, or a seed:
  ///
  ///     tape.generator = mine;                              // or recur::Generator(seed)
  ///     auto [output, state] = lstm.forward(x, {}, tape);
  ///     mine = tape.generator;                              // as it stands after the draws
  ///
  /// With tape.training = false there is no dropout.
  Output forward(const ConstView& x, const StateView& state, Tape& tape) const {
    Output out;
    forward(x, state, out, tape);
    return out;
  }

  /// Training into memory that is used again.
  void forward(const ConstView& x, const StateView& state, Output& out, Tape& tape) const {
    run(x, nullptr, state, out, tape.workspace, &tape);
  }

  /// Training of long sequences in little memory: layers/segments.hpp.
  Output forward(const ConstView& x, const StateView& state, SegmentedTape& tape) const {
    Output out;
    forward(x, state, out, tape);
    return out;
  }
  void forward(const ConstView& x, const StateView& state, Output& out, SegmentedTape& tape) const {
    run(x, nullptr, state, out, tape);
  }

  /// Sequences of different lengths: lengths[b] steps of sequence b count, 0 … T, in any order,
  /// without packing. The state is taken at each sequence's last step, where its reverse direction
  /// starts; outputs behind it are zero. The work is proportional to the sum of the lengths.
  ///
  ///     std::vector<recur::Index> lengths = {3, 7, 0};
  ///     auto [output, state] = lstm.forward(x, lengths);     // x (7, 3, I)
  Output forward(const ConstView& x, const Lengths& lengths, const StateView& state = {}) const {
    Output out;
    Workspace work;
    forward(x, lengths, state, out, work);
    return out;
  }
  void forward(const ConstView& x, const Lengths& lengths, const StateView& state, Output& out,
               Workspace& work) const {
    run(x, &lengths, state, out, work, nullptr);
  }
  Output forward(const ConstView& x, const Lengths& lengths, const StateView& state,
                 Tape& tape) const {
    Output out;
    forward(x, lengths, state, out, tape);
    return out;
  }
  void forward(const ConstView& x, const Lengths& lengths, const StateView& state, Output& out,
               Tape& tape) const {
    run(x, &lengths, state, out, tape.workspace, &tape);
  }
  Output forward(const ConstView& x, const Lengths& lengths, const StateView& state,
                 SegmentedTape& tape) const {
    Output out;
    forward(x, lengths, state, out, tape);
    return out;
  }
  void forward(const ConstView& x, const Lengths& lengths, const StateView& state, Output& out,
               SegmentedTape& tape) const {
    run(x, &lengths, state, out, tape);
  }

  /// Sequences packed by pack_padded_sequence or pack_sequence; output is packed as x is, the state
  /// in the order of the caller's sequences. Error when the fields of x do not fit together.
  PackedOutput forward(const Packed& x, const StateView& state = {}) const {
    PackedOutput out;
    Workspace work;
    forward(x, state, out, work);
    return out;
  }
  void forward(const Packed& x, const StateView& state, PackedOutput& out, Workspace& work) const {
    run(x, state, out, work, nullptr);
  }
  PackedOutput forward(const Packed& x, const StateView& state, Tape& tape) const {
    PackedOutput out;
    forward(x, state, out, tape);
    return out;
  }
  void forward(const Packed& x, const StateView& state, PackedOutput& out, Tape& tape) const {
    run(x, state, out, tape.workspace, &tape);
  }

  /// Inference on one sequence: a row-major T × I matrix, or a column-major I × T one.
  template <class Derived>
  MatrixOutput<Derived> forward(const Eigen::MatrixBase<Derived>& x,
                                const MatrixState<Derived>& state = {}) const {
    MatrixOutput<Derived> out;
    Workspace work;
    run(x, state, out, work, nullptr);
    return out;
  }

  /// Training on one sequence.
  template <class Derived>
  MatrixOutput<Derived> forward(const Eigen::MatrixBase<Derived>& x,
                                const MatrixState<Derived>& state, Tape& tape) const {
    MatrixOutput<Derived> out;
    run(x, state, out, tape.workspace, &tape);
    return out;
  }

  /// Inference step by step, as samples come, of `batch` sequences side by side: layers/stream.hpp.
  Stream stream(Index batch = 1) const& { return {equations_, packed_, directions(), batch}; }
  Stream stream(Index batch = 1) const&& = delete;  // it would outlive the layer

  /// Backpropagation through time. d_output: gradient of the loss by the output, in its shape;
  /// d_state: by the final state. Each may be left out ({}), which stands for zeros.
  /// The tape's records are only read: a second backward on them gives the same.
  Gradients backward(Tape& tape, const ConstView& d_output, const StateView& d_state = {}) const {
    Gradients gradients;
    backward(tape, d_output, d_state, gradients);
    return gradients;
  }

  /// The same into memory that is used again. gradients.parameters: added to (overwritten when
  /// empty, or with gradients.accumulate = false); .input and .state: overwritten. d_output may be
  /// gradients.input, d_state gradients.state.
  void backward(Tape& tape, const ConstView& d_output, const StateView& d_state,
                Gradients& gradients) const {
    run_backward(tape, d_output, d_state, gradients);
  }

  /// Backward of a call in segments, each of which but the last runs forward once more before.
  Gradients backward(SegmentedTape& tape, const ConstView& d_output,
                     const StateView& d_state = {}) const {
    Gradients gradients;
    backward(tape, d_output, d_state, gradients);
    return gradients;
  }
  void backward(SegmentedTape& tape, const ConstView& d_output, const StateView& d_state,
                Gradients& gradients) const {
    run_backward(tape, d_output, d_state, gradients);
  }

  /// Backward of a call on a PackedSequence. d_output: packed as the output; Packed() for zeros.
  template <std::same_as<Packed> P>  // so that backward(tape, {}) is the one above
  PackedGradients backward(Tape& tape, const P& d_output, const StateView& d_state = {}) const {
    PackedGradients gradients;
    backward(tape, d_output, d_state, gradients);
    return gradients;
  }
  void backward(Tape& tape, const Packed& d_output, const StateView& d_state,
                PackedGradients& gradients) const {
    run_backward(tape, d_output, d_state, gradients);
  }

  /// Backward of a call on one sequence; the same storage order.
  template <class Derived>
  MatrixGradients<Derived> backward(Tape& tape, const Eigen::MatrixBase<Derived>& d_output,
                                    const MatrixState<Derived>& d_state = {}) const {
    MatrixGradients<Derived> gradients;
    run_backward(tape, d_output, d_state, gradients);
    return gradients;
  }

  /// What a training call left on its tape, by name: (T, B, ·) with step t in slice t, also where
  /// the input was batch_first, packed or a matrix. Sequences in the caller's order; zeros behind
  /// their ends.
  ///   h, c         states after the step (c: LSTM); h of the last layer is the output
  ///   i f g o      LSTM, gates after their activation
  ///   r z n hn     GRU, the same, and hn = W_hn h + b_hn before the reset gate's product
  /// A cell of one's own has the names of its slot_names. Error, which lists them, for any other.
  ///
  ///     auto forget = lstm.observe(tape, "f", 1);    // second layer
  Tensor3<Scalar> observe(const Tape& tape, std::string_view name, Index layer = 0,
                          Index direction = 0) const {
    return layers::observe<E>(tape, name, layer, direction, sizes());
  }

 private:
  CellSizes cell_sizes(Index layer) const {
    return {layer == 0 ? input_size() : directions() * output_size(), hidden_size(), output_size(),
            E::gates, options_.bias};
  }
  layers::ModuleSizes sizes() const {
    return {input_size(), hidden_size(), output_size(), num_layers(), directions()};
  }
  layers::Network<E, Scalar> network() const {
    return {equations_, parameters_, packed_, num_layers(), directions(), options_.dropout};
  }

  void restore_shapes(ShapeRepair& repair) {
    const auto count = static_cast<std::size_t>(num_layers() * directions());
    if (parameters_.cells.size() != count || parameters_.directions != directions()) {
      repair.note(
          "cells and directions of the parameters",
          shape_string({static_cast<Index>(count), directions()}),
          shape_string({static_cast<Index>(parameters_.cells.size()), parameters_.directions}));
      parameters_.cells.resize(count);
      parameters_.directions = directions();
    }
    for (Index layer = 0; layer < num_layers(); ++layer) {
      for (Index d = 0; d < directions(); ++d) {
        parameters_.cell(layer, d).shape(cell_sizes(layer), layer, d == 1, repair);
      }
    }
  }

  void repack() {
    packed_.resize(parameters_.cells.size());
    for (std::size_t k = 0; k < packed_.size(); ++k) {
      packed_[k].assign(cell_sizes(static_cast<Index>(k) / directions()), parameters_.cells[k]);
    }
  }

  // What the calls of all kinds of arrays come down to; see layers/calls.hpp.
  void run(auto&&... arguments) const {
    const auto all_layers = network();
    layers::Calls<E, Scalar>(all_layers, sizes(), options_.batch_first).forward(arguments...);
  }
  void run_backward(auto&&... arguments) const {
    const auto all_layers = network();
    layers::Calls<E, Scalar>(all_layers, sizes(), options_.batch_first).backward(arguments...);
  }

  Options options_;
  E equations_;
  Parameters parameters_;
  std::vector<kernels::PackedWeights<E, Scalar>> packed_;
};

}  // namespace recur::inline RECUR_ABI
