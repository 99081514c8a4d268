// SPDX-License-Identifier: MIT
//
// A filter of one signal, sample by sample, whose weights are part of the program: what a plug-in
// or a microcontroller runs. LSTM(1, 16) -> Linear(16, 1), trained by train.py to sound like an
// overdriven amplifier.
#pragma once

#include <span>

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
  Filter() { recur::load_embedded(model_, filter_weights::tensors); }
  Filter(const Filter&) = delete;  // the stream refers to this model
  Filter& operator=(const Filter&) = delete;

  /// Forgets the signal so far.
  void reset() { stream_.reset(); }

  /// The next sample. Allocates nothing.
  float step(float sample) {
    const std::span<const float> h = stream_.step({&sample, 1});
    const auto& head = model_.head.parameters();
    return sample + head.weight.row(0).dot(Eigen::Map<const Eigen::RowVectorXf>(h.data(), 16)) +
           head.bias[0];
  }

 private:
  FilterModel model_;
  recur::LSTM<float, 1, 16>::Stream stream_ = model_.lstm.stream();
};
