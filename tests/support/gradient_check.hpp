// SPDX-License-Identifier: MIT
//
// Gradients by finite differences: slow, blind to how the library computes them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace recur::test {

/// df/dx by the five-point stencil; `f_at(delta)` is f with x moved by delta. Error: step⁴ f⁽⁵⁾ /
/// 30 and about ε f / step.
template <class Scalar, class F>
Scalar derivative(F&& f_at, Scalar step) {
  const Scalar near = f_at(step) - f_at(-step);
  const Scalar far = f_at(2 * step) - f_at(-2 * step);
  return (8 * near - far) / (12 * step);
}

/// Fails unless `gradient` is that of `loss()` by `values`, relative to its largest entry.
template <class Scalar, class Loss>
void expect_gradient(Scalar* values, const std::vector<Scalar>& gradient, Loss&& loss, Scalar step,
                     double tolerance, const std::string& what) {
  std::vector<Scalar> expected;
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    const Scalar value = values[k];
    expected.push_back(derivative<Scalar>(
        [&](Scalar delta) {
          values[k] = value + delta;
          return loss();
        },
        step));
    values[k] = value;
  }
  expect_close(gradient, expected, tolerance, what);
}

/// The same for the parameters of a module, changed by update_parameters() so that derived copies
/// follow.
template <class Module, class Gradients, class Loss>
void expect_parameter_gradients(Module& module, const Gradients& gradients, Loss&& loss,
                                double step, double tolerance) {
  std::vector<std::pair<std::string, std::vector<double>>> arrays;
  Gradients::visit(
      [&](const ParameterName& name, const auto& gradient) {
        arrays.emplace_back(name.str(), elements(gradient).values);
      },
      gradients);
  for (std::size_t a = 0; a < arrays.size(); ++a) {
    const auto& [name, gradient] = arrays[a];
    std::vector<double> expected;
    for (std::size_t k = 0; k < gradient.size(); ++k) {
      const auto move_by = [&, wanted = name](double delta) {
        update_parameters(module, [&](const std::string& found, auto& array) {
          if (found == wanted) {
            array.data()[k] += delta;
          }
        });
      };
      expected.push_back(derivative<double>(
          [&](double delta) {
            move_by(delta);
            const double value = loss();
            move_by(-delta);
            return value;
          },
          step));
    }
    expect_close(gradient, expected, tolerance, name);
  }
}

inline double dot(const Tensor3<double>& a, const Tensor3<double>& b) {
  double sum = 0;
  for (Index k = 0; k < b.size(); ++k) {
    sum += a.data()[k] * b.data()[k];
  }
  return sum;
}

/// Which upstream gradients a check has.
struct Upstream {
  const char* name;
  bool output;
  bool h_n;
  bool c_n;
};

inline constexpr Upstream all_upstream[] = {{"d_output", true, false, false},
                                            {"d_h_n", false, true, false},
                                            {"d_c_n", false, false, true},
                                            {"all", true, true, true}};

/// Checks backward of a layer in double by every input, initial state and parameter, from each of
/// d_output, d_h_n and d_c_n alone and together. step: where the layer has kinks (relu), small.
template <class Layer>
void check_layer_gradients(Layer& layer, Index steps, Index batch, bool with_state,
                           double step = 1e-3, double tolerance = 1e-9) {
  Generator generator(7);
  randomize_parameters(layer, generator);
  const bool batch_first = layer.options().batch_first;
  const Index states = layer.num_layers() * layer.directions();
  const Index width = layer.directions() * layer.output_size();
  constexpr bool has_c = requires(typename Layer::State state) { state.c; };

  auto x = batch_first ? random_tensor<double>(generator, batch, steps, layer.input_size())
                       : random_tensor<double>(generator, steps, batch, layer.input_size());
  typename Layer::State initial;
  if (with_state) {
    initial.h = random_tensor<double>(generator, states, batch, layer.output_size());
    if constexpr (has_c) {
      initial.c = random_tensor<double>(generator, states, batch, layer.hidden_size());
    }
  }

  for (const Upstream& upstream : all_upstream) {
    if (!has_c && upstream.c_n && !upstream.h_n) {
      continue;
    }
    SCOPED_TRACE(upstream.name);
    Tensor3<double> d_output;
    typename Layer::State d_state;
    if (upstream.output) {
      d_output = random_tensor<double>(generator, x.size(0), x.size(1), width);
    }
    if (upstream.h_n) {
      d_state.h = random_tensor<double>(generator, states, batch, layer.output_size());
    }
    if constexpr (has_c) {
      if (upstream.c_n) {
        d_state.c = random_tensor<double>(generator, states, batch, layer.hidden_size());
      }
    }
    const auto loss = [&] {
      const auto result = layer.forward(x, initial);
      double sum = dot(result.output, d_output) + dot(result.state.h, d_state.h);
      if constexpr (has_c) {
        sum += dot(result.state.c, d_state.c);
      }
      return sum;
    };

    typename Layer::Tape tape;
    layer.forward(x, initial, tape);
    const auto gradients = layer.backward(tape, d_output, d_state);
    expect_gradient(x.data(), elements(gradients.input).values, loss, step, tolerance, "input");
    if (with_state) {
      expect_gradient(initial.h.data(), elements(gradients.state.h).values, loss, step, tolerance,
                      "h_0");
      if constexpr (has_c) {
        expect_gradient(initial.c.data(), elements(gradients.state.c).values, loss, step, tolerance,
                        "c_0");
      }
    }
    expect_parameter_gradients(layer, gradients.parameters, loss, step, tolerance);
  }
}

}  // namespace recur::test
