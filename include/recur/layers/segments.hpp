// SPDX-License-Identifier: MIT
//
// Backpropagation through long sequences in little memory: of a forward pass only the states
// between segments of its steps are kept, and on the way back each segment is computed once more,
// onto a tape of so many steps. PyTorch: torch.utils.checkpoint; Chen et al., Training Deep Nets
// with Sublinear Memory Cost, 2016.
#pragma once

#include <algorithm>  // std::clamp, std::max, std::min
#include <cmath>      // std::ceil, std::sqrt
#include <span>
#include <vector>

#include "recur/layers/backward_pass.hpp"
#include "recur/layers/forward_pass.hpp"

namespace recur::inline RECUR_ABI {

/// What backward needs of a forward pass in segments of S steps, in place of a Tape. Memory in
/// scalars: T·B·I for the input, unless it is borrowed, and for each layer
///
///   LSTM (2·T/S + 6·S)·B·H   GRU (T/S + 5·S)·B·H   RNN (T/S + S)·B·H
///
/// and what a training step of S steps needs besides its tape (tape.hpp). A training step takes a
/// third more time than with a Tape, as most segments are computed twice. Output, final state and
/// the gradients by input and initial state have the same bits as with a Tape; those by the
/// parameters are summed in another order. One direction only: the reverse one begins with the last
/// step. Dropout draws other masks than on a Tape, and the same ones the second time.
///
///     recur::LSTM<float>::SegmentedTape tape(64);
///     auto [output, state] = lstm.forward(x, {}, tape);
///     auto gradients = lstm.backward(tape, d_output);
///
/// The layer's parameters must stay as they are until backward.
template <class Scalar>
struct SegmentedTape {
  SegmentedTape() = default;
  explicit SegmentedTape(Index steps_of_segment) : segment_steps(steps_of_segment) {}

  Index segment_steps = 0;    ///< S; 0: about √T, but at least 288 rows of all sequences together
  bool borrow_input = false;  ///< true: the input is not copied; it must stay as it is until
                              ///< backward
  bool training = true;       ///< false: dropout is left out, as in module.eval()
  Generator generator;        ///< draws the dropout masks, as that of a Tape

  Schedule schedule;                   ///< of the whole batch
  Index steps = 0;                     ///< of a segment, as it was recorded
  Tensor3<Scalar> input;               ///< (T, B, I), unless it was borrowed
  Tensor3View<const Scalar> borrowed;  ///< that input, (T, B, I); else absent
  Tensor3<Scalar> h;                   ///< (segments·L, B, output), before each segment, in the
                                       ///< caller's order
  Tensor3<Scalar> c;                   ///< (segments·L, B, H), cells that have one
  std::vector<Generator> generators;   ///< before each segment, where there is dropout
  Tape<Scalar> segment;                ///< of one segment
  Index on_tape = -1;                  ///< which; or none

  std::vector<Index> lengths;  ///< scratch memory: of a segment, in the caller's order
  Tensor3<Scalar> d_h;         ///< the same: (L, B, output), by the state between two segments
  Tensor3<Scalar> d_c;         ///< the same: (L, B, H)
};

namespace layers {

/// Both passes over a tape whose schedule is set, on time-major views whose shapes have been
/// checked. What is overwritten and what may be absent: as in ForwardPass and BackwardPass.
template <math::Equations E, class Scalar>
class SegmentedPass {
 public:
  using ConstView = Tensor3View<const Scalar>;
  using View = Tensor3View<Scalar>;
  using StateView = StateOf<E, ConstView>;
  using MutableState = StateOf<E, View>;

  SegmentedPass(const Network<E, Scalar>& network, SegmentedTape<Scalar>& tape)
      : network_(network), tape_(tape) {}

  void forward(const ConstView& x, const StateView& initial, const View& output,
               const MutableState& final) const {
    tape_.on_tape = -1;
    tape_.steps = steps_of_segment();
    tape_.segment.borrow_input = true;
    tape_.segment.training = tape_.training;
    const Index count = segments();
    const bool draws = network_.dropout > 0 && network_.layers > 1 && tape_.training;
    tape_.generators.resize(draws ? static_cast<std::size_t>(count) : 0);
    keep_input(x);
    resize_states(count * network_.layers, tape_.h, tape_.c);
    for (Index layer = 0; layer < network_.layers; ++layer) {
      for (Index b = 0; b < tape_.schedule.batch; ++b) {
        Scalar* c = E::has_c ? tape_.c.view().row(layer, b) : nullptr;
        network_.copy_state(initial, layer, b, {tape_.h.view().row(layer, b), 0, c, 0});
      }
    }
    for (Index k = 0; k < count; ++k) {
      if (draws) {
        tape_.generators[static_cast<std::size_t>(k)] = tape_.generator;
      }
      // Onto the tape, too, as it is there: without, it takes as long, and memory of its own.
      run(k, output.narrow(0, first_step(k), steps_of(k)),
          k + 1 < count ? state_before(k + 1) : final);
      if (draws) {
        tape_.generator = tape_.segment.generator;
      }
    }
  }

  void backward(const ConstView& d_output, const StateView& d_final, const View& d_input,
                const MutableState& d_initial, kernels::Start start,
                std::span<CellParameters<Scalar>> gradients) const {
    resize_states(network_.layers, tape_.d_h, tape_.d_c);
    const MutableState between = state_of(tape_.d_h.view(), tape_.d_c.view());
    const Index count = segments();
    for (Index k = count; k-- > 0;) {
      if (tape_.on_tape != k) {
        run(k, {}, {});
      }
      const auto part = [&](const auto& view) {
        return view.absent() ? view : view.narrow(0, first_step(k), steps_of(k));
      };
      const bool last = k + 1 == count;
      BackwardPass<E, Scalar>(network_, tape_.segment.schedule)
          .run(tape_.segment, part(d_output), last ? d_final : StateView(between), part(d_input),
               k > 0 ? between : d_initial, last ? start : kernels::Start::accumulate, gradients);
    }
  }

 private:
  Index steps_of_segment() const {
    const Index T = tape_.schedule.steps;
    const Index batch = std::max<Index>(1, tape_.schedule.batch);
    const auto root = static_cast<Index>(std::ceil(std::sqrt(static_cast<double>(T))));
    const Index enough = (enough_rows_backward + batch - 1) / batch;
    return std::min(T, tape_.segment_steps > 0 ? tape_.segment_steps : std::max(root, enough));
  }
  Index first_step(Index k) const { return k * tape_.steps; }
  Index steps_of(Index k) const {
    return std::min(tape_.steps, tape_.schedule.steps - first_step(k));
  }
  Index segments() const { return (tape_.schedule.steps + tape_.steps - 1) / tape_.steps; }

  void keep_input(const ConstView& x) const {
    if (tape_.borrow_input) {
      tape_.input.resize(0, 0, 0);
      tape_.borrowed = x;
    } else {
      tape_.input.assign(x);
      tape_.borrowed = {};
    }
  }

  void resize_states(Index count, Tensor3<Scalar>& h, Tensor3<Scalar>& c) const {
    h.resize(count, tape_.schedule.batch, network_.output());
    c.resize(E::has_c ? count : 0, tape_.schedule.batch, network_.hidden());
  }

  static MutableState state_of(const View& h, [[maybe_unused]] const View& c) {
    if constexpr (E::has_c) {
      return {h, c};
    } else {
      return {h};
    }
  }

  MutableState state_before(Index k) const {
    const Index L = network_.layers;
    const View c = tape_.c.view();
    return state_of(tape_.h.view().narrow(0, k * L, L), E::has_c ? c.narrow(0, k * L, L) : c);
  }

  // Segment k forward, onto the tape; output and final: the second time absent.
  void run(Index k, const View& output, const MutableState& final) const {
    const Schedule& all = tape_.schedule;
    Tape<Scalar>& tape = tape_.segment;
    const Index first = first_step(k);
    const Index steps = steps_of(k);
    if (all.full()) {
      tape.schedule.assign(steps, all.batch);
    } else {
      tape_.lengths.resize(static_cast<std::size_t>(all.batch));
      for (Index row = 0; row < all.batch; ++row) {
        tape_.lengths[static_cast<std::size_t>(all.source(row))] =
            std::clamp<Index>(all.length(row) - first, 0, steps);
      }
      tape.schedule.assign(steps, all.batch, tape_.lengths);
    }
    if (!tape_.generators.empty()) {
      tape.generator = tape_.generators[static_cast<std::size_t>(k)];
    }
    const ConstView x = tape_.borrowed.absent() ? ConstView(tape_.input) : tape_.borrowed;
    tape_.on_tape = -1;
    ForwardPass<E, Scalar>(network_, tape.schedule)
        .run(x.narrow(0, first, steps), state_before(k), output, final, tape.workspace, &tape);
    tape_.on_tape = k;
  }

  const Network<E, Scalar>& network_;
  SegmentedTape<Scalar>& tape_;
};

}  // namespace layers
}  // namespace recur::inline RECUR_ABI
