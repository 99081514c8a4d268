// SPDX-License-Identifier: MIT
//
// Adam (Kingma and Ba, 2015; arXiv:1412.6980) and AdamW (Loshchilov and Hutter, 2019;
// arXiv:1711.05101): torch.optim.Adam and AdamW.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "recur/optim/state.hpp"

namespace recur::inline RECUR_ABI {

/// Arguments of torch.optim.Adam.
struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool decoupled_weight_decay = false;  ///< true: as AdamW does

  /// f(name, option) for each, by its name in torch's param_groups.
  static void visit(auto&& f, auto& options) {
    f("lr", options.lr);
    f("betas", options.betas);
    f("eps", options.eps);
    f("weight_decay", options.weight_decay);
    f("amsgrad", options.amsgrad);
    f("decoupled_weight_decay", options.decoupled_weight_decay);
  }
};

/// Arguments of torch.optim.AdamW.
struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
};

/// For every parameter p with gradient g and moments m, v, at step t = 1, 2, …, element by element:
///
///     g = g + weight_decay p            or, decoupled (AdamW):  p = p - lr weight_decay p
///     m = beta1 m + (1 - beta1) g
///     v = beta2 v + (1 - beta2) g²      with amsgrad: w = max(w, v) stands for v below
///     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
///
/// Works on any model, module or composite; allocates at the first step only. An optimiser belongs
/// to one model: another one's shapes are an Error.
///
///     recur::Adam<float> adam({.lr = 1e-3});
///     adam.step(model, d_lstm.parameters, d_head.parameters);  // the members' gradients, in order
///     adam.step(model, gradients);                            // or one GradientsOf<Model>
///     adam.options().lr = 1e-4;
template <class Scalar_>
class Adam {
 public:
  using Scalar = Scalar_;
  using Options = AdamOptions;

  explicit Adam(const Options& options = {}) : options_(options) { check_options(); }

  const Options& options() const { return options_; }
  /// May be changed between steps; wrong values are an Error at the next step.
  Options& options() { return options_; }
  /// Error where an option is out of its range.
  void check_options() const {
    check(options_.lr >= 0, "Adam: Invalid learning rate: ", options_.lr);
    check(options_.eps >= 0, "Adam: Invalid epsilon value: ", options_.eps);
    for (std::size_t k = 0; k < 2; ++k) {
      check(options_.betas[k] >= 0 && options_.betas[k] < 1,
            "Adam: Invalid beta parameter at index ", k, ": ", options_.betas[k]);
    }
    check(options_.weight_decay >= 0, "Adam: Invalid weight_decay value: ", options_.weight_decay);
  }

  /// Its name in torch.optim.
  const char* name() const { return options_.decoupled_weight_decay ? "AdamW" : "Adam"; }

  /// One step. gradients: one GradientsOf<Model>, or those of each member, in the order of
  /// members(). Errors (wrong options, shapes, another model) come before anything is written.
  template <class Model, class... Gradients>
  void step(Model& model, const Gradients&... gradients) {
    check_options();
    moments_.bind("Adam", options_.amsgrad ? 3 : 2, model, gradients...);
    ++step_count_;
    const auto t = static_cast<double>(step_count_);
    const auto [beta1, beta2] = options_.betas;
    const Update u{
        .beta1 = static_cast<Scalar>(beta1),
        .one_minus_beta1 = static_cast<Scalar>(1 - beta1),
        .beta2 = static_cast<Scalar>(beta2),
        .one_minus_beta2 = static_cast<Scalar>(1 - beta2),
        .step_size = static_cast<Scalar>(options_.lr / (1 - std::pow(beta1, t))),
        .v_scale = static_cast<Scalar>(std::sqrt(1 - std::pow(beta2, t))),
        .eps = static_cast<Scalar>(options_.eps),
        .amsgrad = options_.amsgrad,
    };
    const auto decay = static_cast<Scalar>(options_.weight_decay);
    const auto shrink = static_cast<Scalar>(1 - options_.lr * options_.weight_decay);
    std::size_t n = 0;
    update_parameters_with(
        model,
        [&](auto& parameter, const auto& gradient) {
          auto p = detail::flat(parameter);
          const auto g = detail::flat(gradient);
          auto& moments = moments_.arrays(n++);
          if (decay == Scalar(0)) {
            u.apply(p, g, moments);
          } else if (options_.decoupled_weight_decay) {
            p *= shrink;
            u.apply(p, g, moments);
          } else {
            u.apply(p, g + decay * p, moments);
          }
        },
        gradients...);
  }

  /// Number of steps made; set_step_count goes with a state that is read back.
  Index step_count() const { return step_count_; }
  void set_step_count(Index count) {
    check(count >= 0, "Adam: the step count must not be negative, got ", count);
    step_count_ = count;
  }

  /// f(name, array) for every moment, in the order of the parameters: `0.exp_avg`, `0.exp_avg_sq`
  /// and, with amsgrad, `0.max_exp_avg_sq`, as in torch's optimizer.state_dict()["state"]. Empty
  /// before the first step.
  template <class F>
  void visit_state(F&& f) {
    moments_.visit(names, f);
  }
  template <class F>
  void visit_state(F&& f) const {
    moments_.visit(names, f);
  }

  /// Makes the moments of a model, all zero, for a saved state to be read into with visit_state().
  template <class Model>
  void prepare_state(const Model& model) {
    moments_.bind("Adam", options_.amsgrad ? 3 : 2, model, zero_gradients(model));
  }

  /// Forgets all steps made.
  void reset() {
    moments_.clear();
    step_count_ = 0;
  }

 private:
  static constexpr std::array<std::string_view, 3> names = {"exp_avg", "exp_avg_sq",
                                                            "max_exp_avg_sq"};
  using State = detail::OptimizerState<Scalar, 3>;

  // One step of one parameter.
  struct Update {
    Scalar beta1;
    Scalar one_minus_beta1;
    Scalar beta2;
    Scalar one_minus_beta2;
    Scalar step_size;
    Scalar v_scale;
    Scalar eps;
    bool amsgrad;

    // g: an expression, perhaps of p.
    template <class P, class G>
    void apply(P& p, const G& g, typename State::Arrays& moments) const {
      auto& [m, v, max_v] = moments;
      m = beta1 * m + one_minus_beta1 * g;
      v = beta2 * v + one_minus_beta2 * g.square();
      if (amsgrad) {
        max_v = max_v.max(v);
        p -= step_size * (m / (max_v.sqrt() / v_scale + eps));
      } else {
        p -= step_size * (m / (v.sqrt() / v_scale + eps));
      }
    }
  };

  Options options_;
  Index step_count_ = 0;
  State moments_;
};

/// Adam with decoupled weight decay, 0.01 by default.
///
///     recur::AdamW<float> adam({.lr = 1e-3, .weight_decay = 0.05});
template <class Scalar>
class AdamW : public Adam<Scalar> {
 public:
  using Options = AdamWOptions;

  explicit AdamW(const Options& o = {})
      : Adam<Scalar>({o.lr, o.betas, o.eps, o.weight_decay, o.amsgrad, true}) {}
};

}  // namespace recur::inline RECUR_ABI
