// SPDX-License-Identifier: MIT
//
// A layer step by step, as samples come: audio, sensors, control. What a call of a layer does
// around its kernels, sizes, buffers, states from the caller and back, is done once.
#pragma once

#include <algorithm>  // std::all_of, std::copy_n, std::fill_n
#include <span>
#include <vector>

#include "recur/layers/layer_forward.hpp"
#include "recur/layers/shape_checks.hpp"

namespace recur::inline RECUR_ABI {

/// The steps of a module of one direction, one at a time; made by its stream(). Holds the state
/// between them, zeros at first.
///
///     auto stream = lstm.stream();                                // one sequence
///     for (float sample : signal) {
///       std::span<const float> h = stream.step({&sample, 1});     // H_out numbers
///     }
///
/// Or several side by side, channels or players: lstm.stream(B). The same bits as by forward on
/// whole sequences; step() allocates nothing. (One step of one sequence of an LSTM of 16 units takes
/// half the time of a call of forward.)
///
/// The module must outlive its streams and stay where it is. Parameters that are updated or loaded
/// count from the next step on. Each thread needs a stream of its own; they can share the module.
template <math::Equations E, class Scalar>
class Stream {
 public:
  using State = StateOf<E, Tensor3<Scalar>>;
  using StateView = StateOf<E, Tensor3View<const Scalar>>;
  using Layers = std::vector<kernels::PackedWeights<E, Scalar>>;

  /// Refers to `equations` and `layers`, the packed weights of a module.
  Stream(const E& equations, const Layers& layers, Index directions, Index batch)
      : equations_(&equations), layers_(&layers), batch_(batch) {
    check(directions == 1, E::name, "::stream: expected a layer of one direction, got ", directions,
          " (the reverse one begins with the last step)");
    check(batch > 0, E::name, "::stream: expected one sequence or more, got ", batch);
    for (const auto& layer : layers) {
      sizes_.push_back(layer.sizes);
    }
    const Index hidden = sizes_[0].hidden;
    const Index count = num_layers();
    h_.resize(2, count * batch, output_size());
    c_.resize(E::has_c ? count : 0, batch, kernels::whole_registers<Scalar>(hidden));
    slots_.resize(1, batch, math::slot_count<E> * hidden);
    unprojected_.resize(1, sizes_[0].projected() ? batch : 0, hidden);
    schedule_.assign(1, batch);
    alone_ = std::all_of(sizes_.begin(), sizes_.end(), [&](const CellSizes& n) {
      constexpr int others = 2;
      const Index multiply_adds = n.gates * n.hidden * (n.input + n.output) * batch;
      return kernels::useful_threads(static_cast<double>(multiply_adds), others, false, 1) == 1;
    });
    reset();
  }

  Index batch() const { return batch_; }
  Index num_layers() const { return static_cast<Index>(sizes_.size()); }
  Index input_size() const { return sizes_[0].input; }
  Index output_size() const { return sizes_[0].output; }

  /// The next step. x: B · I numbers, sequence after sequence. The output, B · H_out numbers alike,
  /// which is there until the next step (whose x it may be).
  std::span<const Scalar> step(std::span<const Scalar> x);

  /// The same into out, B · H_out numbers, which may overlap x.
  void step(std::span<const Scalar> x, std::span<Scalar> out) {
    check_count("out", out.size(), output_size());
    const std::span<const Scalar> h = step(x);
    std::copy_n(h.begin(), h.size(), out.begin());
  }

  /// A copy of the state after the last step: h (L, B, H_out), c (L, B, H).
  State state() const {
    State state;
    const Index count = num_layers();
    state.h.assign({h_.data() + turn_ * h_.size() / 2, count, batch_, output_size()});
    if constexpr (E::has_c) {
      state.c.assign(c_.view().narrow(2, 0, sizes_[0].hidden));
    }
    return state;
  }

  /// Goes on from there: h (L, B, H_out), c (L, B, H); zeros where one is left out.
  void set_state(const StateView& state) {
    using Checks = layers::ShapeChecks<E, Scalar>;
    const Index count = num_layers();
    Checks::optional(E::has_c ? "hidden[0]" : "hidden", state.h, {count, batch_, output_size()});
    if constexpr (E::has_c) {
      Checks::optional("hidden[1]", state.c, {count, batch_, sizes_[0].hidden});
    }
    for (Index k = 0; k < count; ++k) {
      for (Index b = 0; b < batch_; ++b) {
        set_row(state.h, k, b, h_.view().row(turn_, k * batch_ + b), output_size());
        if constexpr (E::has_c) {
          set_row(state.c, k, b, c_.view().row(k, b), sizes_[0].hidden);
        }
      }
    }
  }

  /// Zeros.
  void reset() { set_state({}); }

 private:
  void check_count(const char* what, std::size_t count, Index size) const {
    check(static_cast<Index>(count) == batch_ * size, E::name, "::stream: ", what, ": expected ",
          batch_, " x ", size, " numbers, got ", count);
  }

  static void set_row(const Tensor3View<const Scalar>& from, Index layer, Index sequence,
                      Scalar* to, Index count) {
    if (from.absent()) {
      std::fill_n(to, count, Scalar(0));
    } else {
      std::copy_n(from.row(layer, sequence), count, to);
    }
  }

  void step_of_layer(Index k, const Scalar* x, Scalar* before, Scalar* after);

  const E* equations_;
  const Layers* layers_;
  std::vector<CellSizes> sizes_;
  Index batch_;
  bool alone_ = true;  // no layer is worth calling other threads for: see sharing_of
  Index turn_ = 0;
  Tensor3<Scalar> h_;  // (2, L·B, H_out): the state is at turn_, the next step's at the other
  Tensor3<Scalar> c_;  // (L, B, H), updated in place; rows padded
  Tensor3<Scalar> slots_;
  Tensor3<Scalar> unprojected_;
  Schedule schedule_;
};

// Not inline: see instances.hpp.
template <math::Equations E, class Scalar>
std::span<const Scalar> Stream<E, Scalar>::step(std::span<const Scalar> x) {
  check_count("x", x.size(), input_size());
  bool same_sizes = layers_->size() == sizes_.size();
  for (std::size_t k = 0; same_sizes && k < sizes_.size(); ++k) {
    same_sizes = (*layers_)[k].sizes == sizes_[k];
  }
  check(same_sizes, E::name, "::stream: the layer has other sizes than when the stream was made");
  const kernels::FlushDenormals flush;
  const Index size = batch_ * output_size();  // of a layer
  Scalar* before = h_.data() + turn_ * num_layers() * size;
  turn_ = 1 - turn_;
  Scalar* after = h_.data() + turn_ * num_layers() * size;
  const Scalar* in = x.data();
  for (Index k = 0; k < num_layers(); ++k) {
    step_of_layer(k, in, before + k * size, after + k * size);
    in = after + k * size;
  }
  return {in, static_cast<std::size_t>(size)};
}

template <math::Equations E, class Scalar>
void Stream<E, Scalar>::step_of_layer(Index k, const Scalar* x, Scalar* before, Scalar* after) {
  const cells::Weights<E, Scalar> w{*equations_, (*layers_)[static_cast<std::size_t>(k)]};
  const CellSizes& n = w.sizes();
  Scalar* c = E::has_c ? c_.view().row(k, 0) : nullptr;
  const Index c_row = E::has_c ? c_.size(2) : 0;
  if (!alone_) {
    const layers::DirectionBuffers<Scalar> buffers{.h = before,
                                                   .h_slot = after - before,
                                                   .h_row = n.output,
                                                   .c = c,
                                                   .c_row = c_row,
                                                   .slots = slots_.data(),
                                                   .slots_row = w.slots(),
                                                   .unprojected = unprojected_.data(),
                                                   .all_steps = false};
    layers::LayerForward<E, Scalar>({&w, 1}, schedule_, 1, max_threads())
        .run(x, n.input, false, {&buffers, 1}, {});
    return;
  }
  cells::ForwardSteps<Scalar> at{{.rows = batch_,
                                  .slots = {slots_.data(), w.slots()},
                                  .prev = {before, n.output, c, c_row},
                                  .next = {after, n.output, c, c_row}}};
  at.unprojected = unprojected_.data();
  if (kernels::sequences_in_lanes(w.packed, batch_)) {
    kernels::forward_scan_in_lanes<E, Scalar>(w.equations, w.packed, 1, x, n.input, 0, at, false);
    return;
  }
  cells::input_sums(w, batch_, x, n.input, at.slots);
  cells::scan_forward<E, Scalar>(w, 1, false, at, 1);
}

}  // namespace recur::inline RECUR_ABI
