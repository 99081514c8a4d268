// SPDX-License-Identifier: MIT
//
// Stochastic gradient descent: torch.optim.SGD.
#pragma once

#include <cstddef>

#include "recur/optim/state.hpp"

namespace recur::inline RECUR_ABI {

/// Arguments of torch.optim.SGD.
struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< L2 penalty
  bool nesterov = false;

  /// f(name, option) for each, by its name in torch's param_groups.
  static void visit(auto&& f, auto& options) {
    f("lr", options.lr);
    f("momentum", options.momentum);
    f("dampening", options.dampening);
    f("weight_decay", options.weight_decay);
    f("nesterov", options.nesterov);
  }
};

/// For every parameter p with gradient g and momentum buffer b, all element by element:
///
///     g = g + weight_decay p
///     b = momentum b + (1 - dampening) g         first step: b = g
///     p = p - lr (g + momentum b)  with nesterov, else  p - lr b
///
/// and without momentum p = p - lr g. Works on any model, module or composite; allocates at the
/// first step only. An optimiser belongs to one model: another one's shapes are an Error.
///
///     recur::SGD<float> sgd({.lr = 0.1, .momentum = 0.9});
///     sgd.step(model, d_lstm.parameters, d_head.parameters);  // the members' gradients, in order
///     sgd.step(model, gradients);                            // or one GradientsOf<Model>
///     sgd.options().lr = 0.01;
template <class Scalar_>
class SGD {
 public:
  using Scalar = Scalar_;
  using Options = SGDOptions;

  explicit SGD(const Options& options = {}) : options_(options) { check_options(); }

  const Options& options() const { return options_; }
  /// May be changed between steps; wrong values are an Error at the next step.
  Options& options() { return options_; }
  /// Error where an option is out of its range.
  void check_options() const {
    check(options_.lr >= 0, "SGD: Invalid learning rate: ", options_.lr);
    check(options_.momentum >= 0, "SGD: Invalid momentum value: ", options_.momentum);
    check(options_.weight_decay >= 0, "SGD: Invalid weight_decay value: ", options_.weight_decay);
    check(!options_.nesterov || (options_.momentum > 0 && options_.dampening == 0),
          "SGD: Nesterov momentum requires a momentum and zero dampening");
  }

  /// Its name in torch.optim.
  static const char* name() { return "SGD"; }

  /// One step. gradients: one GradientsOf<Model>, or those of each member, in the order of
  /// members(). Errors (wrong options, shapes, another model) come before anything is written.
  template <class Model, class... Gradients>
  void step(Model& model, const Gradients&... gradients) {
    check_options();
    const bool first = momentum_.empty();
    const auto lr = static_cast<Scalar>(options_.lr);
    const auto momentum = static_cast<Scalar>(options_.momentum);
    const auto undamped = static_cast<Scalar>(1 - options_.dampening);
    const auto decay = static_cast<Scalar>(options_.weight_decay);
    const bool nesterov = options_.nesterov;
    if (momentum == Scalar(0)) {
      update(
          model, decay, [&](auto p, const auto& g) { p -= lr * g; }, gradients...);
      return;
    }
    momentum_.bind("SGD", 1, model, gradients...);
    std::size_t n = 0;
    update(
        model, decay,
        [&](auto p, const auto& g) {
          auto& b = momentum_.arrays(n++)[0];
          if (first) {
            b = g;
          } else {
            b = momentum * b + undamped * g;
          }
          if (nesterov) {
            p -= lr * (g + momentum * b);
          } else {
            p -= lr * b;
          }
        },
        gradients...);
  }

  /// f(name, array) for every momentum buffer, in the order of the parameters: `0.momentum_buffer`,
  /// as in torch's optimizer.state_dict()["state"]. Empty before the first step with momentum.
  template <class F>
  void visit_state(F&& f) {
    momentum_.visit({"momentum_buffer"}, f);
  }
  template <class F>
  void visit_state(F&& f) const {
    momentum_.visit({"momentum_buffer"}, f);
  }

  /// Makes the buffers of a model, all zero, for a saved state to be read into with visit_state().
  template <class Model>
  void prepare_state(const Model& model) {
    momentum_.bind("SGD", 1, model, zero_gradients(model));
  }

  /// Forgets all steps made.
  void reset() { momentum_.clear(); }

 private:
  // f(parameter, gradient with weight decay), as arrays of one dimension.
  template <class Model, class F, class... Gradients>
  static void update(Model& model, Scalar decay, F&& f, const Gradients&... gradients) {
    update_parameters_with(
        model,
        [&](auto& parameter, const auto& gradient) {
          auto p = detail::flat(parameter);
          const auto g = detail::flat(gradient);
          if (decay == Scalar(0)) {
            f(p, g);
          } else {
            f(p, g + decay * p);
          }
        },
        gradients...);
  }

  Options options_;
  detail::OptimizerState<Scalar, 1> momentum_;
};

}  // namespace recur::inline RECUR_ABI
