// SPDX-License-Identifier: MIT
//
// The recurrent module: layers one upon another, in one or two directions, over a cell's equations.
// RNN, LSTM and GRU are this class with their equations; see lstm.hpp, gru.hpp, rnn.hpp.
#pragma once

#include <concepts>
#include <span>
#include <vector>

#include "recur/cells/options.hpp"
#include "recur/layers/passes.hpp"

namespace recur {

/// Parameters of all layers and directions, in PyTorch's order: layer outer, direction inner.
template <class Scalar>
struct StackParameters {
  std::vector<CellParameters<Scalar>> cells;  ///< L·D of them
  Index directions = 1;

  CellParameters<Scalar>& cell(Index layer, Index direction = 0) {
    return cells[static_cast<std::size_t>(layer * directions + direction)];
  }
  const CellParameters<Scalar>& cell(Index layer, Index direction = 0) const {
    return cells[static_cast<std::size_t>(layer * directions + direction)];
  }

  /// f(name, array of p...) for every parameter: `weight_ih_l0`, …, `bias_hh_l1_reverse`.
  static void visit(auto&& f, auto& first, auto&... others) {
    const Index count = static_cast<Index>(first.cells.size());
    check(((static_cast<Index>(others.cells.size()) == count) && ...), "parameters of ", count,
          " layers and directions stand beside others of a different number");
    for (Index k = 0; k < count; ++k) {
      const auto at = [k](auto& p) -> auto& { return p.cells[static_cast<std::size_t>(k)]; };
      CellParameters<Scalar>::visit_named(f, k / first.directions, k % first.directions == 1, at(first), at(others)...);
    }
  }
};

/// How many steps of each sequence count: made from a std::vector<Index> or anything alike. Refers to it.
struct Lengths {
  std::span<const Index> values;

  template <class Range>
    requires std::convertible_to<const Range&, std::span<const Index>>
  Lengths(const Range& lengths) : values(lengths) {}  // NOLINT(google-explicit-constructor)
};

/// Layers × directions of one cell: what torch.nn.LSTM, GRU and RNN are.
///
/// Shapes (T steps, B batch, I input_size, L num_layers, D directions, H_out = proj_size or H):
///   input   (T, B, I), or (B, T, I) with batch_first       output (T, B, D·H_out) / (B, T, D·H_out)
///   state   h (L·D, B, H_out), c (L·D, B, H); batch_first does not touch it; index layer·D + direction
/// Unbatched, as Eigen matrices: row-major T × I → T × D·H_out and states L·D × H; or column-major, all
/// transposed: I × T → D·H_out × T and states H × L·D.
///
/// Const member functions can be called from many threads on one object; each takes its own Tape or
/// Workspace. All errors are recur::Error and thrown before anything is written.
template <math::Equations E, class Scalar_, int InputSize = Dynamic, int HiddenSize = Dynamic>
class Recurrent {
 public:
  using Scalar = Scalar_;
  using Options = typename CellTraits<E>::Options;
  using Parameters = StackParameters<Scalar>;
  using Tape = recur::Tape<Scalar>;
  using Workspace = recur::Workspace<Scalar>;
  using State = StateOf<E, Tensor3<Scalar>>;
  using ConstView = Tensor3View<const Scalar>;
  using StateView = StateOf<E, ConstView>;

  struct Output {
    Tensor3<Scalar> output;
    State state;
  };
  struct Gradients {
    Tensor3<Scalar> input;  ///< by the input, in its shape
    State state;            ///< by the initial state
    Parameters parameters;
  };

  /// The types of an unbatched call, by the storage order of its input.
  template <class Derived>
  using MatrixLike = Eigen::Matrix<Scalar, Dynamic, Dynamic, Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor>;
  template <class Derived>
  using MatrixState = StateOf<E, MatrixLike<Derived>>;
  template <class Derived>
  struct MatrixOutput {
    MatrixLike<Derived> output;
    MatrixState<Derived> state;
  };
  template <class Derived>
  struct MatrixGradients {
    MatrixLike<Derived> input;
    MatrixState<Derived> state;
    Parameters parameters;
  };

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

  /// Calls f(Parameters&), then brings the packed copies up to date. Shapes must stay as they are.
  template <class F>
  void update_parameters(F&& f) {
    try {
      f(parameters_);
    } catch (...) {
      repack();
      throw;
    }
    repack();
  }

  /// Inference. `state`: the initial one; zeros where it is left out.
  Output forward(ConstView x, const StateView& state = {}) const {
    Output out;
    Workspace work;
    forward(x, state, out, work);
    return out;
  }

  /// Inference into memory that is used again: allocates nothing once it has the sizes.
  /// out, work: overwritten. `state` may be out.state.
  void forward(ConstView x, const StateView& state, Output& out, Workspace& work) const {
    run_batched(x, nullptr, state, out, work, nullptr);
  }

  /// Training: what backward needs goes to the tape.
  Output forward(ConstView x, const StateView& state, Tape& tape) const {
    Output out;
    forward(x, state, out, tape);
    return out;
  }

  /// Training into memory that is used again.
  void forward(ConstView x, const StateView& state, Output& out, Tape& tape) const {
    run_batched(x, nullptr, state, out, tape.workspace, &tape);
  }

  /// Sequences of different lengths: lengths[b] steps of sequence b count, 0 … T, in any order, without
  /// packing. The state is taken at each sequence's last step, where its reverse direction starts;
  /// outputs behind it are zero. The work is proportional to the sum of the lengths.
  ///
  ///     std::vector<recur::Index> lengths = {3, 7, 0};
  ///     auto [output, state] = lstm.forward(x, lengths);     // x (7, 3, I)
  Output forward(ConstView x, const Lengths& lengths, const StateView& state = {}) const {
    Output out;
    Workspace work;
    forward(x, lengths, state, out, work);
    return out;
  }
  void forward(ConstView x, const Lengths& lengths, const StateView& state, Output& out, Workspace& work) const {
    run_batched(x, &lengths, state, out, work, nullptr);
  }
  Output forward(ConstView x, const Lengths& lengths, const StateView& state, Tape& tape) const {
    Output out;
    forward(x, lengths, state, out, tape);
    return out;
  }
  void forward(ConstView x, const Lengths& lengths, const StateView& state, Output& out, Tape& tape) const {
    run_batched(x, &lengths, state, out, tape.workspace, &tape);
  }

  /// Inference on one sequence: a row-major T × I matrix, or a column-major I × T one.
  template <class Derived>
  MatrixOutput<Derived> forward(const Eigen::MatrixBase<Derived>& x, const MatrixState<Derived>& state = {}) const {
    MatrixOutput<Derived> out;
    Workspace work;
    forward_matrix(x, state, out, work, nullptr);
    return out;
  }

  /// Training on one sequence.
  template <class Derived>
  MatrixOutput<Derived> forward(const Eigen::MatrixBase<Derived>& x, const MatrixState<Derived>& state, Tape& tape) const {
    MatrixOutput<Derived> out;
    forward_matrix(x, state, out, tape.workspace, &tape);
    return out;
  }

  /// Backpropagation through time. d_output: gradient of the loss by the output, in its shape;
  /// d_state: by the final state. Each may be left out ({}), which stands for zeros.
  /// The tape's records are only read: a second backward on them gives the same.
  Gradients backward(Tape& tape, ConstView d_output, const StateView& d_state = {}) const {
    Gradients gradients;
    backward(tape, d_output, d_state, gradients);
    return gradients;
  }

  /// The same into memory that is used again. gradients.parameters: added to (zero on first use, when
  /// empty); .input and .state: overwritten.
  void backward(Tape& tape, ConstView d_output, const StateView& d_state, Gradients& gradients) const {
    const Schedule& s = tape.schedule;
    check_tape(tape);
    const Index outer = options_.batch_first ? s.batch : s.steps;
    const Index inner = options_.batch_first ? s.steps : s.batch;
    check_gradient("d_output", d_output, {outer, inner, directions() * output_size()});
    check_state_gradients(d_state, s.batch);
    prepare(gradients.parameters);
    gradients.input.resize(outer, inner, input_size());
    resize_state(s.batch, gradients.state);
    run_backward(tape, d_output.absent() ? d_output : time_major(d_output), d_state, time_major(gradients.input.view()),
                 views(gradients.state), gradients.parameters);
  }

  /// Backward of a call on one sequence; the same storage order.
  template <class Derived>
  MatrixGradients<Derived> backward(Tape& tape, const Eigen::MatrixBase<Derived>& d_output,
                                    const MatrixState<Derived>& d_state = {}) const {
    check_tape(tape);
    check(tape.schedule.batch == 1, E::name, ": the tape holds a batch of ", tape.schedule.batch,
          ", expected d_output of three dimensions, got two");
    const MatrixRef<Derived> d_rows(d_output.derived());
    const ConstView d_output_view = matrix_view(d_rows);
    check_gradient("d_output", d_output_view, {tape.schedule.steps, 1, directions() * output_size()});
    const StateView d_state_view = matrix_state_view(d_state);
    check_state_gradients(d_state_view, 1);

    MatrixGradients<Derived> gradients;
    prepare(gradients.parameters);
    resize_matrix(gradients.input, tape.schedule.steps, input_size());
    resize_matrix_state(gradients.state);
    run_backward(tape, d_output_view, d_state_view, matrix_view(gradients.input), matrix_state_view(gradients.state),
                 gradients.parameters);
    return gradients;
  }

 private:
  using View = Tensor3View<Scalar>;
  template <class Derived>
  using MatrixRef = Eigen::Ref<const MatrixLike<Derived>, 0, Eigen::OuterStride<>>;
  template <class Array>
  using States = StateOf<E, Array>;

  CellSizes cell_sizes(Index layer) const {
    return {layer == 0 ? input_size() : directions() * output_size(), hidden_size(), output_size(), E::gates,
            options_.bias};
  }

  void repack() {
    packed_.resize(parameters_.cells.size());
    for (std::size_t k = 0; k < packed_.size(); ++k) {
      packed_[k].assign(cell_sizes(static_cast<Index>(k) / directions()), parameters_.cells[k]);
    }
  }

  // ---- shapes: what the user gave, seen as time-major views ----

  template <class V>
  V time_major(V view) const {
    return options_.batch_first ? view.transposed() : view;
  }

  static States<View> views(State& state) {
    if constexpr (E::has_c) {
      return {state.h.view(), state.c.view()};
    } else {
      return {state.h.view()};
    }
  }

  void run_batched(ConstView x, const Lengths* lengths, const StateView& state, Output& out, Workspace& work,
                   Tape* tape) const {
    const Index batch = check_batched(x, state);
    const Index steps = x.size(options_.batch_first ? 1 : 0);
    Schedule& schedule = tape != nullptr ? tape->schedule : work.schedule;
    if (lengths != nullptr) {
      check_lengths(lengths->values, batch, steps);
      schedule.assign(steps, batch, lengths->values);
    } else {
      schedule.assign(steps, batch);
    }
    out.output.resize(x.size(0), x.size(1), directions() * output_size());
    resize_state(batch, out.state);
    run_forward(time_major(x), state, time_major(out.output.view()), views(out.state), work, tape);
  }

  void resize_state(Index batch, State& state) const {
    state.h.resize(num_layers() * directions(), batch, output_size());
    if constexpr (E::has_c) {
      state.c.resize(num_layers() * directions(), batch, hidden_size());
    }
  }

  // An unbatched matrix as (rows, 1, columns): rows × columns row-major is columns × rows column-major.
  template <class Matrix>
  static auto matrix_view(Matrix& m) {
    using Element = std::remove_pointer_t<decltype(m.data())>;
    const Index rows = Matrix::IsRowMajor ? m.rows() : m.cols();
    const Index columns = Matrix::IsRowMajor ? m.cols() : m.rows();
    return m.size() == 0 && rows == 0 ? Tensor3View<Element>()
                                      : Tensor3View<Element>(m.data(), rows, 1, columns, m.outerStride(), m.outerStride());
  }
  template <class AnyState>
  static auto matrix_state_view(AnyState& state) {
    using Array = decltype(matrix_view(state.h));
    if constexpr (E::has_c) {
      return StateOf<E, Array>{matrix_view(state.h), matrix_view(state.c)};
    } else {
      return StateOf<E, Array>{matrix_view(state.h)};
    }
  }

  template <class Matrix>
  static void resize_matrix(Matrix& m, Index rows, Index columns) {
    Matrix::IsRowMajor ? m.resize(rows, columns) : m.resize(columns, rows);
  }
  template <class AnyState>
  void resize_matrix_state(AnyState& state) const {
    resize_matrix(state.h, num_layers() * directions(), output_size());
    if constexpr (E::has_c) {
      resize_matrix(state.c, num_layers() * directions(), hidden_size());
    }
  }

  template <class Derived>
  void forward_matrix(const Eigen::MatrixBase<Derived>& x, const MatrixState<Derived>& state, MatrixOutput<Derived>& out,
                      Workspace& work, Tape* tape) const {
    static_assert(std::is_same_v<typename Derived::Scalar, Scalar>, "the matrix must hold the layer's scalar: x.cast<Scalar>()");
    const MatrixRef<Derived> rows(x.derived());
    const ConstView x_view = rows.size() == 0 ? ConstView(rows.data(), Derived::IsRowMajor ? x.rows() : x.cols(), 1,
                                                          Derived::IsRowMajor ? x.cols() : x.rows())
                                              : matrix_view(rows);
    const StateView state_view = matrix_state_view(state);
    check_input(x_view);
    check_states(state_view, 1);
    check(x_view.size(0) > 0, "Expected sequence length to be larger than 0 in RNN");
    (tape != nullptr ? tape->schedule : work.schedule).assign(x_view.size(0), 1);
    resize_matrix(out.output, x_view.size(0), directions() * output_size());
    resize_matrix_state(out.state);
    run_forward(x_view, state_view, matrix_view(out.output), matrix_state_view(out.state), work, tape);
  }

  // ---- checks ----

  void check_input(ConstView x) const {
    check(x.size(2) == input_size(), "input.size(-1) must be equal to input_size. Expected ", input_size(), ", got ",
          x.size(2));
  }

  // Returns the batch size.
  Index check_batched(ConstView x, const StateView& state) const {
    check_input(x);
    const Index batch = x.size(options_.batch_first ? 0 : 1);
    check_states(state, batch);
    check(x.size(options_.batch_first ? 1 : 0) > 0, "Expected sequence length to be larger than 0 in RNN");
    return batch;
  }

  static void check_array(ConstView given, std::initializer_list<Index> expected, const char* what) {
    const Index* e = expected.begin();
    if (given.size(0) != e[0] || given.size(1) != e[1] || given.size(2) != e[2]) {  // no text where there is no error
      fail("Expected ", what, " size ", shape_string(expected), ", got [", given.size(0), ", ", given.size(1), ", ",
           given.size(2), "]");
    }
  }

  void check_states(const StateView& state, Index batch) const {
    const Index count = num_layers() * directions();
    if (!state.h.absent()) {
      check_array(state.h, {count, batch, output_size()}, E::has_c ? "hidden[0]" : "hidden");
    }
    if constexpr (E::has_c) {
      if (!state.c.absent()) {
        check_array(state.c, {count, batch, hidden_size()}, "hidden[1]");
      }
    }
  }

  void check_gradient(const char* what, ConstView given, std::initializer_list<Index> expected) const {
    if (!given.absent()) {
      check_array(given, expected, what);
    }
  }

  void check_state_gradients(const StateView& d_state, Index batch) const {
    const Index count = num_layers() * directions();
    check_gradient("d_state.h", d_state.h, {count, batch, output_size()});
    if constexpr (E::has_c) {
      check_gradient("d_state.c", d_state.c, {count, batch, hidden_size()});
    }
  }

  // A tape of another layer, or of none, would be read out of bounds.
  void check_tape(const Tape& tape) const {
    check(tape.layers.size() == static_cast<std::size_t>(num_layers()), E::name, "::backward: expected a tape of ",
          num_layers(), " layers, got ", tape.layers.size(), " (call forward with this tape first)");
    const LayerTape<Scalar>& first = tape.layers[0];
    check(first.input.size(2) == input_size() && first.h.size(2) == directions() * output_size() &&
              first.slots.size() == static_cast<std::size_t>(directions()) &&
              first.slots[0].size(2) == math::slot_count<E> * hidden_size() &&
              first.c.size(0) == (E::has_c ? tape.schedule.steps + 2 : 0),  // LSTM and GRU have as many slots
          E::name, "::backward: the tape was recorded by a layer of other sizes");
  }

  // Gradients that are empty become zeros; others must have the parameters' shapes.
  void prepare(Parameters& gradients) const {
    if (gradients.cells.empty()) {
      gradients = zero_gradients(*this);
    }
    check(gradients.cells.size() == parameters_.cells.size(), E::name, "::backward: expected gradients of ",
          parameters_.cells.size(), " layers and directions, got ", gradients.cells.size());
    Parameters::visit(
        [](const ParameterName& name, const auto& parameter, const auto& gradient) {
          detail::check_gradient_shape(name, parameter, gradient);
        },
        parameters_, gradients);
  }

  // ---- passes ----

  layers::Network<E, Scalar> network() const {
    return {equations_, parameters_.cells, packed_, num_layers(), directions(), options_.dropout};
  }

  // x, output: time-major. The schedule has been assigned.
  void run_forward(ConstView x, const StateView& state, View output, const States<View>& final, Workspace& work,
                   Tape* tape) const {
    const auto all_layers = network();
    layers::Passes<E, Scalar>(all_layers, tape != nullptr ? tape->schedule : work.schedule)
        .forward(x, state, output, final, work, tape);
  }

  void run_backward(Tape& tape, ConstView d_output, const StateView& d_state, View d_input, const States<View>& d_initial,
                    Parameters& gradients) const {
    const auto all_layers = network();
    layers::Passes<E, Scalar>(all_layers, tape.schedule)
        .backward(tape, d_output, d_state, d_input, d_initial, gradients.cells);
  }

  Options options_;
  E equations_;
  Parameters parameters_;
  std::vector<kernels::PackedWeights<E, Scalar>> packed_;
};

}  // namespace recur
