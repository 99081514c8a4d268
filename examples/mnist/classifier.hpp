// SPDX-License-Identifier: MIT
//
// The classifier: an image is a sequence of 28 rows of 28 features; a linear layer reads the digit
// off the last layer's final hidden state.
#pragma once

#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "recur/recur.hpp"

#include "dataset.hpp"

namespace mnist {

using recur::Index;

/// Images as a batch (B, T, I) = (B, 28, 28).
template <class Scalar>
void copy_images(const Dataset& data, std::span<const Index> order, bool centred,
                 recur::Tensor3<Scalar>& images, std::vector<Index>& labels) {
  images.resize(static_cast<Index>(order.size()), image_side, image_side);
  labels.resize(order.size());
  Scalar* to = images.data();
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto image = static_cast<std::size_t>(order[k]);
    labels[k] = data.labels[image];
    for (std::size_t pixel = 0; pixel < image_size; ++pixel) {
      const float x = static_cast<float>(data.images[image * image_size + pixel]) / 255.0F;
      *to++ = static_cast<Scalar>(centred ? (x - 0.5F) / 0.5F : x);
    }
  }
}

/// Layer: an LSTM, GRU or RNN of float or double, with batch_first.
template <class Layer>
struct Classifier {
  using Scalar = typename Layer::Scalar;
  using Matrix = recur::RowMatrix<Scalar>;
  using Images = recur::Tensor3<Scalar>;

  Layer layer;
  recur::Linear<Scalar> head;

  static constexpr std::string_view layer_name() {
    return std::is_same_v<Layer, recur::LSTM<Scalar>>  ? "lstm"
           : std::is_same_v<Layer, recur::GRU<Scalar>> ? "gru"
                                                       : "rnn";
  }
  static auto members(auto& self) {
    return recur::members(layer_name(), self.layer, "classifier", self.head);
  }

  explicit Classifier(const typename Layer::Options& options)
      : layer(options),
        head({.in_features = layer.directions() * layer.hidden_size(), .out_features = 10}) {}

  /// Memory of a training step, used again from step to step.
  struct Step {
    typename Layer::Output out;
    typename Layer::Tape tape;
    typename Layer::State d_state;
    typename Layer::Gradients d_layer;
    Matrix features;
    typename recur::Linear<Scalar>::Gradients d_head;
  };

  /// The last layer's final h of each direction, side by side: (B × D·H).
  void copy_features(const Images& h, Matrix& features) const {
    const Index directions = layer.directions();
    const Index hidden = layer.hidden_size();
    features.resize(h.size(1), directions * hidden);
    for (Index d = 0; d < directions; ++d) {
      features.middleCols(d * hidden, hidden) = h[h.size(0) - directions + d];
    }
  }

  /// Logits (B × 10).
  Matrix logits(const Images& images, typename Layer::Output& out,
                typename Layer::Workspace& work) const {
    Matrix features;
    layer.forward(images, {}, out, work);
    copy_features(out.state.h, features);
    return head.forward(features);
  }

  /// Forward and backward of a batch: the gradients of the mean loss in step.d_layer and
  /// step.d_head.
  struct Result {
    Scalar loss;
    Matrix logits;
  };
  Result gradients(const Images& images, std::span<const Index> labels, Step& step) const {
    layer.forward(images, {}, step.out, step.tape);
    copy_features(step.out.state.h, step.features);
    Result result{0, head.forward(step.features)};
    const auto loss = recur::cross_entropy(result.logits, labels);
    result.loss = loss.value;

    recur::set_zero(step.d_head.parameters);
    step.d_layer.accumulate = false;
    step.d_layer.input_requires_grad = false;
    step.d_layer.state_requires_grad = false;
    step.tape.borrow_input = true;
    head.backward(step.features, loss.d_input, step.d_head);
    const Index directions = layer.directions();
    step.d_state.h.resize(layer.num_layers() * directions, images.size(0), layer.hidden_size());
    step.d_state.h.set_zero();
    for (Index d = 0; d < directions; ++d) {
      step.d_state.h[step.d_state.h.size(0) - directions + d] =
          step.d_head.input.middleCols(d * layer.hidden_size(), layer.hidden_size());
    }
    layer.backward(step.tape, {}, step.d_state, step.d_layer);
    return result;
  }
};

}  // namespace mnist
