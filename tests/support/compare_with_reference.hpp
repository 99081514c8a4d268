// SPDX-License-Identifier: MIT
//
// A layer of the library against loops of reference steps, with everything there is: states, and
// upstream gradients on output and final state at once.
#pragma once

#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/reference.hpp"

namespace recur::test {

/// Compares forward, training forward and backward of a time-major layer. Overwrites its
/// parameters.
template <class E, class Layer>
void expect_equals_reference(const E& equations, Layer& layer, Index steps, Index batch,
                             double tolerance) {
  using Scalar = typename Layer::Scalar;
  Generator generator(11);
  // Small enough for sums of many units not to saturate the gates.
  randomize_parameters(layer, generator, 1.0 / std::sqrt(static_cast<double>(layer.hidden_size())));
  const Index states = layer.num_layers() * layer.directions();
  const auto x = random_tensor<Scalar>(generator, steps, batch, layer.input_size());
  const auto state_tensor = [&](Index width) {
    return random_tensor<Scalar>(generator, states, batch, width);
  };
  const auto make_state = [&] {
    typename Layer::State state;
    state.h = state_tensor(layer.output_size());
    if constexpr (E::has_c) {
      state.c = state_tensor(layer.hidden_size());
    }
    return state;
  };
  const auto c_of = [](const typename Layer::State& state) {
    if constexpr (E::has_c) {
      return state.c;
    } else {
      return Tensor3<Scalar>();
    }
  };
  const auto initial = make_state();
  const auto d_state = make_state();
  const auto d_output =
      random_tensor<Scalar>(generator, steps, batch, layer.directions() * layer.output_size());

  const auto expected = reference_pass(equations, layer.parameters(), x, initial.h, c_of(initial),
                                       d_output, d_state.h, c_of(d_state));
  const auto inference = layer.forward(x, initial);
  typename Layer::Tape tape;
  const auto training = layer.forward(x, initial, tape);
  const auto gradients = layer.backward(tape, d_output, d_state);

  expect_close(inference.output, expected.output, tolerance, "output");
  expect_close(inference.state.h, expected.h_n, tolerance, "h_n");
  expect_close(c_of(inference.state), expected.c_n, tolerance, "c_n");
  expect_same(training.output, inference.output, "output in training");
  expect_same(training.state.h, inference.state.h, "h_n in training");
  expect_same(c_of(training.state), c_of(inference.state), "c_n in training");
  expect_close(gradients.input, expected.d_input, tolerance, "d_input");
  expect_close(gradients.state.h, expected.d_h_0, tolerance, "d_h_0");
  expect_close(c_of(gradients.state), expected.d_c_0, tolerance, "d_c_0");
  expect_parameters_close(gradients.parameters, expected.d_parameters, tolerance);
}

}  // namespace recur::test
