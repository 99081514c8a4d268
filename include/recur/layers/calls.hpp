// SPDX-License-Identifier: MIT
//
// What a call of a recurrent module does, for each kind of array that users hold (tensors, packed
// sequences, Eigen matrices): checks what was given, gives the results their sizes, and runs the
// passes on time-major views. The functions that users call are in stack.hpp.
#pragma once

#include <span>
#include <type_traits>
#include <vector>

#include "recur/layers/backward_pass.hpp"
#include "recur/layers/forward_pass.hpp"
#include "recur/layers/packed_sequence.hpp"
#include "recur/layers/segments.hpp"
#include "recur/layers/shape_checks.hpp"
#include "recur/layers/stack_parameters.hpp"

namespace recur::inline RECUR_ABI {

/// What forward gives. Array: of the output, in the shape of the input.
template <class Array, class State>
struct LayerOutput {
  Array output;
  State state;
};

/// What backward gives. Array: as the input.
template <class Array, class State>
struct LayerGradients {
  using Scalar = typename Array::Scalar;

  Array input;  ///< by the input
  State state;  ///< by the initial state
  StackParameters<Scalar> parameters;
  bool accumulate = true;  ///< backward adds to `parameters`, as PyTorch does; false: it overwrites
                           ///< them, and there is no need for set_zero
  bool input_requires_grad = true;  ///< false: backward leaves `input` alone, which is faster
  bool state_requires_grad = true;  ///< false: backward leaves `state` alone, which saves a product
                                    ///< with W_hh (of the first step)
};

namespace layers {

/// Calls of one module. Results are overwritten, gradients by the parameters, too, or added to, as
/// they say; `tape` is null for inference.
/// From here on, views are passed by reference: to copy one that was just put together takes as
/// long as some registers of equations (one step of one sequence and 16 units: a tenth).
template <math::Equations E, class Scalar>
class Calls {
 public:
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;
  using StateView = StateOf<E, ConstView>;
  using Packed = PackedSequence<Scalar>;
  template <class Array>
  using Output = LayerOutput<Array, StateOf<E, Array>>;
  using PackedOutput = LayerOutput<Packed, StateOf<E, Tensor3<Scalar>>>;
  template <class Array>
  using Gradients = LayerGradients<Array, StateOf<E, Array>>;
  using PackedGradients = LayerGradients<Packed, StateOf<E, Tensor3<Scalar>>>;

  Calls(const Network<E, Scalar>& network, const ModuleSizes& sizes, bool batch_first)
      : network_(network), sizes_(sizes), batch_first_(batch_first) {}

  /// A padded batch; lengths: null where all steps count.
  void forward(const ConstView& x, const Lengths* lengths, const StateView& state,
               Output<Tensor3<Scalar>>& out, Workspace<Scalar>& work, Tape<Scalar>* tape) const {
    Schedule& schedule = schedule_of(work, tape);
    prepare(x, lengths, state, schedule, out);
    forward_pass(schedule).run(time_major(x), state, time_major(out.output.view()),
                               views(out.state), work, tape);
  }

  void backward(Tape<Scalar>& tape, const ConstView& d_output, const StateView& d_state,
                Gradients<Tensor3<Scalar>>& gradients) const {
    const Schedule& s = tape.schedule;
    checks().tape(tape, "backward");
    check(!s.packed(), E::name,
          "::backward: the tape is of a PackedSequence, and so must d_output be (to leave it out: "
          "PackedSequence<Scalar>())");
    check_gradients_by_results(s, d_output, d_state);
    const kernels::Start start = prepare(gradients);
    const View d_input = input_gradients(s, gradients);
    backward_pass(s).run(tape, d_output.absent() ? d_output : time_major(d_output), d_state,
                         d_input, state_gradients(s.batch, gradients), start,
                         gradients.parameters.cells);
  }

  /// The same in segments.
  void forward(const ConstView& x, const Lengths* lengths, const StateView& state,
               Output<Tensor3<Scalar>>& out, SegmentedTape<Scalar>& tape) const {
    check(sizes_.directions == 1, E::name,
          "::forward: expected a layer of one direction for a SegmentedTape, got ",
          sizes_.directions, " (the reverse one begins with the last step)");
    check(tape.segment_steps >= 0, E::name,
          "::forward: expected segment_steps of a SegmentedTape to be 0 or more, got ",
          tape.segment_steps);
    prepare(x, lengths, state, tape.schedule, out);
    SegmentedPass<E, Scalar>(network_, tape)
        .forward(time_major(x), state, time_major(out.output.view()), views(out.state));
  }

  void backward(SegmentedTape<Scalar>& tape, const ConstView& d_output, const StateView& d_state,
                Gradients<Tensor3<Scalar>>& gradients) const {
    const Schedule& s = tape.schedule;
    check(tape.on_tape >= 0, E::name,
          "::backward: expected a tape of a forward pass (call forward with this tape first)");
    checks().tape(tape.segment, "backward");
    check_gradients_by_results(s, d_output, d_state);
    const kernels::Start start = prepare(gradients);
    const View d_input = input_gradients(s, gradients);
    SegmentedPass<E, Scalar>(network_, tape)
        .backward(d_output.absent() ? d_output : time_major(d_output), d_state, d_input,
                  state_gradients(s.batch, gradients), start, gradients.parameters.cells);
  }

  /// A PackedSequence.
  void forward(const Packed& x, const StateView& state, PackedOutput& out, Workspace<Scalar>& work,
               Tape<Scalar>* tape) const {
    check_packed_sequence(x);
    checks().input(x.data.cols(), state, x.batch_sizes[0],
                   static_cast<Index>(x.batch_sizes.size()));
    Schedule& schedule = schedule_of(work, tape);
    schedule.assign_packed(x.batch_sizes, x.sorted_indices);
    resize_packed(schedule, sizes_.features(), out.output);
    resize_state(schedule.batch, out.state);
    forward_pass(schedule).run(packed_view(x.data), state, packed_view(out.output.data),
                               views(out.state), work, tape);
  }

  void backward(Tape<Scalar>& tape, const Packed& d_output, const StateView& d_state,
                PackedGradients& gradients) const {
    const Schedule& s = tape.schedule;
    checks().tape(tape, "backward");
    check(s.packed(), E::name,
          "::backward: the tape is of a padded batch, and so must d_output be");
    if (!d_output.absent()) {
      check_packed_sequence(d_output);
      check(d_output.batch_sizes == s.active && d_output.sorted_indices == s.order, E::name,
            "::backward: d_output: expected the batch_sizes and sorted_indices of the output");
      check(d_output.data.cols() == sizes_.features(), E::name, "::backward: d_output: expected ",
            sizes_.features(), " features, got ", d_output.data.cols());
    }
    checks().state_gradients(d_state, s.batch);
    const kernels::Start start = prepare(gradients);
    View d_input;
    if (gradients.input_requires_grad) {
      resize_packed(s, sizes_.input, gradients.input);
      d_input = packed_view(gradients.input.data);
    }
    backward_pass(s).run(tape, packed_view(d_output.data), d_state, d_input,
                         state_gradients(s.batch, gradients), start, gradients.parameters.cells);
  }

  /// One sequence as a matrix of either storage order.
  template <class Derived, class Matrix>
  void forward(const Eigen::MatrixBase<Derived>& x, const StateOf<E, Matrix>& state,
               Output<Matrix>& out, Workspace<Scalar>& work, Tape<Scalar>* tape) const {
    static_assert(std::is_same_v<typename Derived::Scalar, Scalar>,
                  "the matrix must hold the layer's scalar: x.cast<Scalar>()");
    const MatrixRef<Derived> rows(x.derived());
    const StateView state_view = matrix_state_view(state);
    const Index steps = sequence_steps(rows);
    checks().input(sequence_features(rows), state_view, 1, steps);
    Schedule& schedule = schedule_of(work, tape);
    schedule.assign(steps, 1);
    resize_matrix(out.output, steps, sizes_.features());
    resize_matrix_state(out.state);
    forward_pass(schedule).run(matrix_view(rows), state_view, matrix_view(out.output),
                               matrix_state_view(out.state), work, tape);
  }

  /// Gradients that are fresh: all are asked for.
  template <class Derived, class Matrix>
  void backward(Tape<Scalar>& tape, const Eigen::MatrixBase<Derived>& d_output,
                const StateOf<E, Matrix>& d_state, Gradients<Matrix>& gradients) const {
    const Schedule& s = tape.schedule;
    checks().tape(tape, "backward");
    check(s.batch == 1 && !s.packed(), E::name, ": the tape holds a batch of ", s.batch,
          ", expected d_output of three dimensions, got two");
    const MatrixRef<Derived> d_rows(d_output.derived());
    const ConstView d_output_view = matrix_view(d_rows);
    const StateView d_state_view = matrix_state_view(d_state);
    checks().optional("d_output", d_output_view, {s.steps, 1, sizes_.features()});
    checks().state_gradients(d_state_view, 1);
    const kernels::Start start = prepare(gradients);
    resize_matrix(gradients.input, s.steps, sizes_.input);
    resize_matrix_state(gradients.state);
    backward_pass(s).run(tape, d_output_view, d_state_view, matrix_view(gradients.input),
                         matrix_state_view(gradients.state), start, gradients.parameters.cells);
  }

 private:
  ShapeChecks<E, Scalar> checks() const { return {sizes_}; }
  ForwardPass<E, Scalar> forward_pass(const Schedule& schedule) const {
    return {network_, schedule};
  }
  BackwardPass<E, Scalar> backward_pass(const Schedule& schedule) const {
    return {network_, schedule};
  }

  static Schedule& schedule_of(Workspace<Scalar>& work, Tape<Scalar>* tape) {
    return tape != nullptr ? tape->schedule : work.schedule;
  }

  template <class V>
  V time_major(V view) const {
    return recur::detail::time_major(view, batch_first_);
  }

  // Checks what forward is given; then the sizes of what it overwrites.
  void prepare(const ConstView& x, const Lengths* lengths, const StateView& state,
               Schedule& schedule, Output<Tensor3<Scalar>>& out) const {
    const Index batch = x.size(batch_first_ ? 0 : 1);
    const Index steps = x.size(batch_first_ ? 1 : 0);
    checks().input(x.size(2), state, batch, steps);
    if (lengths != nullptr) {
      check_lengths(lengths->values, batch, steps);
      schedule.assign(steps, batch, lengths->values);
    } else {
      schedule.assign(steps, batch);
    }
    out.output.resize(x.size(0), x.size(1), sizes_.features());
    resize_state(batch, out.state);
  }

  // Of a padded batch.
  void check_gradients_by_results(const Schedule& s, const ConstView& d_output,
                                  const StateView& d_state) const {
    checks().optional(
        "d_output", d_output,
        {batch_first_ ? s.batch : s.steps, batch_first_ ? s.steps : s.batch, sizes_.features()});
    checks().state_gradients(d_state, s.batch);
  }

  // Where the gradients by the input of a padded batch go, time-major, if they are asked for.
  View input_gradients(const Schedule& s, Gradients<Tensor3<Scalar>>& gradients) const {
    if (!gradients.input_requires_grad) {
      return {};
    }
    gradients.input.resize(batch_first_ ? s.batch : s.steps, batch_first_ ? s.steps : s.batch,
                           sizes_.input);
    return time_major(gradients.input.view());
  }

  // The rows of a PackedSequence; no rows: left out.
  template <class Matrix>
  static auto packed_view(Matrix& data) {
    using V = Tensor3View<std::remove_pointer_t<decltype(data.data())>>;
    return data.rows() == 0 ? V() : V(data.data(), 1, data.rows(), data.cols());
  }

  static StateOf<E, Tensor3View<Scalar>> views(StateOf<E, Tensor3<Scalar>>& state) {
    if constexpr (E::has_c) {
      return {state.h.view(), state.c.view()};
    } else {
      return {state.h.view()};
    }
  }

  void resize_state(Index batch, StateOf<E, Tensor3<Scalar>>& state) const {
    state.h.resize(sizes_.states(), batch, sizes_.output);
    if constexpr (E::has_c) {
      state.c.resize(sizes_.states(), batch, sizes_.hidden);
    }
  }

  // Where the gradients by the initial state go, if they are asked for.
  template <class G>
  StateOf<E, View> state_gradients(Index batch, G& gradients) const {
    if (!gradients.state_requires_grad) {
      return {};
    }
    resize_state(batch, gradients.state);
    return views(gradients.state);
  }

  template <class State>
  void resize_matrix_state(State& state) const {
    resize_matrix(state.h, sizes_.states(), sizes_.output);
    if constexpr (E::has_c) {
      resize_matrix(state.c, sizes_.states(), sizes_.hidden);
    }
  }

  static void resize_packed(const Schedule& schedule, Index features, Packed& packed) {
    packed.data.resize(schedule.offsets.back() + schedule.active.back(), features);
    packed.batch_sizes = schedule.active;
    packed.sorted_indices = schedule.order;
    invert_permutation(schedule.order, packed.unsorted_indices);
  }

  // Gradients that are empty get the parameters' shapes; others must have them. What backward
  // starts from.
  template <class G>
  kernels::Start prepare(G& gradients) const {
    const StackParameters<Scalar>& parameters = network_.parameters;
    const bool fresh = gradients.parameters.cells.empty();
    if (fresh) {
      gradients.parameters = parameters;
    }
    check(gradients.parameters.cells.size() == parameters.cells.size(), E::name,
          "::backward: expected gradients of ", parameters.cells.size(),
          " layers and directions, got ", gradients.parameters.cells.size());
    check_gradients(parameters, gradients.parameters);
    return fresh || !gradients.accumulate ? kernels::Start::zero : kernels::Start::accumulate;
  }

  const Network<E, Scalar>& network_;
  ModuleSizes sizes_;
  bool batch_first_;
};

}  // namespace layers
}  // namespace recur::inline RECUR_ABI
