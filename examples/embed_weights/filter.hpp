// SPDX-License-Identifier: MIT
//
// A filter of one signal, sample by sample, whose weights are part of the program: what a plug-in
// or a microcontroller runs. LSTM(1, 16) -> Linear(16, 1), trained by train.py to sound like an
// overdriven amplifier.
#pragma once

#include "recur/io/embedded.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/nn/linear.hpp"

#include "filter_weights.hpp"

/// The model with PyTorch's names.
struct FilterModel {
  recur::LSTM<float, 1, 16> lstm;
  recur::Linear<float> head{{.in_features = 16, .out_features = 1}};

  static auto members(auto& self) { return recur::members("lstm", self.lstm, "head", self.head); }
};

/// Holds the state between samples. All memory is taken by the constructor.
class Filter {
 public:
  Filter() : input_(1, 1, 1) {
    recur::load_embedded(model_, filter_weights::tensors);
    step(0);  // every buffer gets its size
    reset();
  }

  /// Forgets the signal so far.
  void reset() {
    out_.state.h.set_zero();
    out_.state.c.set_zero();
  }

  /// The next sample. Allocates nothing.
  float step(float sample) {
    input_(0, 0, 0) = sample;
    model_.lstm.forward(input_, out_.state, out_, work_);
    const auto& head = model_.head.parameters();
    return sample + head.weight.row(0).dot(out_.output[0].row(0)) + head.bias[0];
  }

 private:
  FilterModel model_;
  recur::Tensor3<float> input_;
  recur::LSTM<float, 1, 16>::Output out_;
  recur::LSTM<float, 1, 16>::Workspace work_;
};
