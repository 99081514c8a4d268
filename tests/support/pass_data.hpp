// SPDX-License-Identifier: MIT
//
// What goes into both passes of a layer, all of it random.
#pragma once

#include "support/random.hpp"
#include "support/states.hpp"

namespace recur::test {

/// Of `steps` steps and `batch` sequences, in the order that the layer takes.
template <class Layer>
struct PassData {
  using Scalar = typename Layer::Scalar;

  Tensor3<Scalar> x;
  Tensor3<Scalar> d_output;
  typename Layer::State initial;
  typename Layer::State d_state;

  PassData(const Layer& layer, Index steps, Index batch) {
    Generator generator(5);
    const bool batch_first = layer.options().batch_first;
    const Index outer = batch_first ? batch : steps;
    const Index inner = batch_first ? steps : batch;
    x = random_tensor<Scalar>(generator, outer, inner, layer.input_size());
    d_output =
        random_tensor<Scalar>(generator, outer, inner, layer.directions() * layer.output_size());
    initial = random_state(layer, batch, generator);
    d_state = random_state(layer, batch, generator);
  }
};

}  // namespace recur::test
