// SPDX-License-Identifier: MIT
//
// How optimisers, files and users reach the parameters of a model.
//
// A *module* (LSTM, Linear, …) owns one struct `Parameters`: row-major matrices with PyTorch's
// names, shapes and order. A gradient of the module has the same type, and so have an optimiser's
// moments. Parameters::visit walks any number of such structs side by side:
//
//     static void visit(auto&& f, auto&... p);      // f(name, p.weight...), f(name, p.bias...), …
//
// A *composite* is a plain struct that names its members, modules or composites:
//
//     struct Classifier {
//       recur::LSTM<float> lstm;
//       recur::Linear<float> head;
//       static auto members(auto& self) {
//         return recur::members("lstm", self.lstm, "head", self.head);
//       }
//     };
//
// Its gradients are a tuple of its members' gradients, in that order:
//
//     auto [d_lstm, d_head] = recur::zero_gradients(model);
//
// Parameters are read through parameters() and changed through update_parameters(), after which the
// module brings everything derived from them (packed copies) up to date: there is no lazy state,
// and a const module can be shared among threads.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "recur/core/check.hpp"
#include "recur/core/tensor.hpp"

namespace recur::inline RECUR_ABI {

/// PyTorch's name of a parameter, put together only when asked for: `weight_ih_l1_reverse`.
struct ParameterName {
  std::string_view base;  ///< `weight_ih`
  Index layer = -1;       ///< -1: no suffix
  bool reverse = false;

  std::string str() const {
    std::string name(base);
    if (layer >= 0) {
      name += "_l" + std::to_string(layer);
    }
    return reverse ? name + "_reverse" : name;
  }
};

template <class M>
concept Module = requires(const M& module) {
  typename M::Parameters;
  { module.parameters() } -> std::convertible_to<const typename M::Parameters&>;
};

template <class M>
concept Composite = !Module<M> && requires(M & model) {
  M::members(model);
};

/// One member of a composite: its name and a reference to it.
template <class M>
struct Member {
  std::string_view name;
  M& model;
};

inline std::tuple<> members() { return {}; }

/// The members of a composite: names and members by turns.
template <class M, class... Rest>
auto members(std::string_view name, M& model, Rest&&... rest) {
  static_assert(Module<std::remove_const_t<M>> || Composite<std::remove_const_t<M>>,
                "a member must be a module (parameters()) or a composite (members())");
  return std::tuple_cat(std::tuple<Member<M>>({name, model}), members(std::forward<Rest>(rest)...));
}

/// `lstm` + `weight_ih_l0` = `lstm.weight_ih_l0`; an empty prefix adds no point. A prefix may end
/// in its own point (`lstm.`), as it stands in a state_dict.
inline std::string join_names(std::string_view prefix, std::string_view name) {
  std::string joined(prefix);
  if (!joined.empty() && !name.empty() && joined.back() != '.') {
    joined += '.';
  }
  return joined += name;
}

namespace detail {

template <class Model>
struct GradientsOfImpl {
  using type = typename Model::Parameters;
};

template <Composite Model>
struct GradientsOfImpl<Model> {
  template <class... M>
  static std::tuple<typename GradientsOfImpl<std::remove_const_t<M>>::type...> make(
      std::tuple<Member<M>...>);
  using type = decltype(make(Model::members(std::declval<Model&>())));
};

}  // namespace detail

/// The type of a model's gradients: a module's Parameters, or a tuple of its members' gradients.
template <class Model>
using GradientsOf = typename detail::GradientsOfImpl<std::remove_const_t<Model>>::type;

/// Calls f(prefix, module) for every module of the model; the prefix names it (`encoder.lstm`, or
/// nothing for a model that is itself a module).
template <class Model, class F>
void for_each_module(Model& model, F&& f, const std::string& prefix = "") {
  if constexpr (Module<std::remove_const_t<Model>>) {
    f(prefix, model);
  } else {
    std::apply(
        [&](const auto&... member) {
          (for_each_module(member.model, f, join_names(prefix, member.name)), ...);
        },
        std::remove_const_t<Model>::members(model));
  }
}

/// Calls f(name, array) for every parameter, in PyTorch's order; the name is state_dict's
/// (`lstm.weight_ih_l0`), the array a const Eigen matrix or vector.
template <class Model, class F>
void for_each_parameter(const Model& model, F&& f, const std::string& prefix = "") {
  for_each_module(
      model,
      [&](const std::string& module_name, const auto& module) {
        using Parameters = typename std::remove_cvref_t<decltype(module)>::Parameters;
        Parameters::visit([&](const ParameterName& name,
                              const auto& array) { f(join_names(module_name, name.str()), array); },
                          module.parameters());
      },
      prefix);
}

/// Calls f(name, array) for every parameter, which f may change; then every module brings its
/// derived copies up to date. Error where f resized one: the module sets it to zeros of its shape.
template <class Model, class F>
void update_parameters(Model& model, F&& f, const std::string& prefix = "") {
  for_each_module(
      model,
      [&](const std::string& module_name, auto& module) {
        using Parameters = typename std::remove_cvref_t<decltype(module)>::Parameters;
        module.update_parameters([&](Parameters& parameters) {
          Parameters::visit([&](const ParameterName& name,
                                auto& array) { f(join_names(module_name, name.str()), array); },
                            parameters);
        });
      },
      prefix);
}

/// Puts right the arrays of a module that a user had in hand and resized.
class ShapeRepair {
 public:
  /// An array of another shape than (rows × cols) becomes zeros of that shape.
  void operator()(const ParameterName& name, auto& array, Index rows, Index cols) {
    if (array.rows() != rows || array.cols() != cols) {
      note("parameter " + name.str(), shape_string({rows, cols}),
           shape_string({array.rows(), array.cols()}));
      array.setZero(rows, cols);
    }
  }

  /// Remembers a fault; report() tells of the first.
  void note(const std::string& what, const std::string& expected, const std::string& got) {
    if (fault_.empty()) {
      fault_ = what + ": update_parameters() must not resize: expected " + expected + ", got " +
               got + " (it is now zero)";
    }
  }

  /// Throws Error where there was a fault.
  void report() const { check(fault_.empty(), fault_); }

 private:
  std::string fault_;
};

/// What update_parameters() of every module does: f(parameters), then refresh(repair), which gives
/// the parameters back their shapes and brings the copies derived from them up to date, whatever
/// f did. Passes on what f throws; Error where f resized a parameter.
template <class Parameters, class F, class Refresh>
void change_parameters(Parameters& parameters, F&& f, Refresh&& refresh) {
  ShapeRepair repair;
  try {
    f(parameters);
  } catch (...) {
    refresh(repair);
    throw;
  }
  refresh(repair);
  repair.report();
}

namespace detail {

template <class F, class... P>
void visit_arrays(F&& f, P&... p);

template <class Tuple, class F, std::size_t... K, class... P>
void visit_tuples(F&& f, std::index_sequence<K...>, P&... p) {
  (
      [&]<std::size_t Element>(std::integral_constant<std::size_t, Element>) {
        visit_arrays(f, std::get<Element>(p)...);
      }(std::integral_constant<std::size_t, K>{}),
      ...);
}

// f(arrays...) over gradients of the same structure side by side: Parameters or (nested) tuples.
template <class F, class... P>
void visit_arrays(F&& f, P&... p) {
  using First = std::remove_cvref_t<std::tuple_element_t<0, std::tuple<P...>>>;
  if constexpr (requires { First::visit([](const auto&...) {}, p...); }) {
    First::visit([&](const ParameterName&, auto&... array) { f(array...); }, p...);
  } else {
    visit_tuples<First>(f, std::make_index_sequence<std::tuple_size_v<First>>{}, p...);
  }
}

inline void check_gradient_shape(const ParameterName& name, const auto& parameter,
                                 const auto& gradient) {
  if (parameter.rows() != gradient.rows() || parameter.cols() != gradient.cols()) {
    fail("gradient of ", name.str(), ": expected ",
         shape_string({parameter.rows(), parameter.cols()}), ", got ",
         shape_string({gradient.rows(), gradient.cols()}));
  }
}

// f(module, its gradients) for every module of the model.
template <class Model, class F, class Gradients>
void zip_modules(Model& model, F& f, const Gradients& gradients) {
  using Plain = std::remove_const_t<Model>;
  if constexpr (Module<Plain>) {
    static_assert(std::is_same_v<Gradients, typename Plain::Parameters>,
                  "the gradients of a module have the type of its Parameters: "
                  "give one for each member, in order");
    f(model, gradients);
  } else {
    auto list = Plain::members(model);
    static_assert(std::tuple_size_v<decltype(list)> == std::tuple_size_v<Gradients>,
                  "give the gradients of every member, in the order of members()");
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      (zip_modules(std::get<K>(list).model, f, std::get<K>(gradients)), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(list)>>{});
  }
}

// The same with the gradients of the whole model, or those of each member.
template <class Model, class F, class... Gradients>
void zip_model(Model& model, F&& f, const Gradients&... gradients) {
  if constexpr (sizeof...(Gradients) == 1 &&
                (std::is_same_v<Gradients, GradientsOf<Model>> && ...)) {
    zip_modules(model, f, gradients...);
  } else {
    zip_modules(model, f, std::tie(gradients...));
  }
}

}  // namespace detail

/// Throws Error unless the gradients have the shapes of the parameters, both of one module.
template <class Parameters>
void check_gradients(const Parameters& parameters, const Parameters& gradients) {
  Parameters::visit([](const auto&... arrays) { detail::check_gradient_shape(arrays...); },
                    parameters, gradients);
}

/// Calls f(array, gradient) for every parameter, both const. `gradients`: one GradientsOf<Model>,
/// or those of each member, in order. Error when a gradient's shape is wrong, before f is called.
template <class Model, class F, class... Gradients>
void for_each_parameter_with(const Model& model, F&& f, const Gradients&... gradients) {
  detail::zip_model(
      model, [](const auto& module, const auto& d) { check_gradients(module.parameters(), d); },
      gradients...);
  detail::zip_model(
      model,
      [&](const auto& module, const auto& d) {
        std::remove_cvref_t<decltype(d)>::visit([&](const ParameterName&, const auto& array,
                                                    const auto& gradient) { f(array, gradient); },
                                                module.parameters(), d);
      },
      gradients...);
}

/// Calls f(array, gradient) for every parameter, which f may change, and its gradient; then the
/// modules bring their derived copies up to date. Gradients and errors as above.
template <class Model, class F, class... Gradients>
void update_parameters_with(Model& model, F&& f, const Gradients&... gradients) {
  detail::zip_model(
      model, [](const auto& module, const auto& d) { check_gradients(module.parameters(), d); },
      gradients...);
  detail::zip_model(
      model,
      [&](auto& module, const auto& d) {
        using Parameters = std::remove_cvref_t<decltype(d)>;
        module.update_parameters([&](Parameters& parameters) {
          Parameters::visit(
              [&](const ParameterName&, auto& array, const auto& gradient) { f(array, gradient); },
              parameters, d);
        });
      },
      gradients...);
}

/// Calls f(array) for every array of the gradients given (modules' Parameters or tuples of them).
template <class F, class... Gradients>
void for_each_gradient(F&& f, Gradients&... gradients) {
  (detail::visit_arrays(f, gradients), ...);
}

/// Gradients of the model's shapes, all zero: what backward passes add to.
template <class Model>
GradientsOf<Model> zero_gradients(const Model& model) {
  if constexpr (Module<Model>) {
    auto gradients = model.parameters();
    for_each_gradient([](auto& array) { array.setZero(); }, gradients);
    return gradients;
  } else {
    return std::apply(
        [](const auto&... member) { return GradientsOf<Model>(zero_gradients(member.model)...); },
        Model::members(model));
  }
}

/// Sets every array of the gradients to zero (optimizer.zero_grad()).
template <class... Gradients>
void set_zero(Gradients&... gradients) {
  for_each_gradient([](auto& array) { array.setZero(); }, gradients...);
}

/// Number of scalars in all parameters.
template <class Model>
Index parameter_count(const Model& model) {
  Index count = 0;
  for_each_parameter(model, [&](const std::string&, const auto& array) { count += array.size(); });
  return count;
}

}  // namespace recur::inline RECUR_ABI
