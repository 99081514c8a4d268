// SPDX-License-Identifier: MIT
//
// The parts of a training on their way into a file: checkpoint.hpp says which there are, and under
// what names they are written.
#pragma once

#include <array>
#include <charconv>  // std::from_chars
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"
#include "recur/io/safetensors_writer.hpp"
#include "recur/io/state_dict.hpp"

namespace recur::inline RECUR_ABI::detail {

template <class T>
concept Optimizer = requires(const T& optimizer) {
  typename T::Options;
  optimizer.visit_state([](const auto&, const auto&) {});
  optimizer.name();
};

template <class T>
concept AnyModel = Module<T> || Composite<T>;

// How a number stands in the file: bool as it is, others as the widest of their kind.
template <class Number>
using StoredNumber = std::conditional_t<
    std::is_floating_point_v<Number>, double,
    std::conditional_t<std::is_same_v<Number, bool>, bool,
                       std::conditional_t<std::is_signed_v<Number>, std::int64_t, std::uint64_t>>>;

/// The names of part, one after the other: none may be empty, or stand twice, or below another.
class PartNames {
 public:
  void add(const std::string& name) {
    check(!name.empty() && name.back() != '.', "checkpoint: expected a name, got ",
          in_quotes(name));
    for (const std::string& other : names_) {
      check(name != other && !name.starts_with(other + ".") && !other.starts_with(name + "."),
            "checkpoint: the names ", in_quotes(other), " and ", in_quotes(name),
            " do not go together");
    }
    names_.push_back(name);
  }

 private:
  std::vector<std::string> names_;
};

/// Names of a model's parameters, in order.
template <class Model>
std::vector<std::string> parameter_names(const Model& model) {
  std::vector<std::string> names;
  for_each_parameter(model, [&](const std::string& name, const auto&) { names.push_back(name); });
  return names;
}

/// The number of the parameter in what an optimiser calls `0.exp_avg`.
inline std::size_t moment_number(const std::string& state_name) {
  std::size_t number = 0;
  std::from_chars(state_name.data(), state_name.data() + state_name.size(), number);
  return number;
}

/// `part.exp_avg.lstm.weight_ih_l0` for what an optimiser calls `0.exp_avg`.
inline std::string moment_name(const std::string& part, const std::string& state_name,
                               const std::vector<std::string>& parameters) {
  const std::size_t number = moment_number(state_name);
  check(number < parameters.size(), "checkpoint: ", in_quotes(part),
        " is the optimiser of another model: expected one of ", parameters.size(), " parameters");
  return join_names(part + state_name.substr(state_name.find('.')), parameters[number]);
}

/// Throws Error unless an optimiser has no moments yet, or those of this model's parameters: what
/// is written must be read again.
template <class Model, class Part>
void check_moments(const Model& model, const std::string& part, const Part& optimizer) {
  std::map<std::size_t, std::vector<Index>> shapes;  // by the number of the parameter
  optimizer.visit_state([&](const std::string& state_name, const auto& array) {
    shapes.emplace(moment_number(state_name), parameter_shape(array));
  });
  std::size_t number = 0;
  for_each_parameter(model, [&](const std::string& name, const auto& array) {
    const auto found = shapes.find(number++);
    if (!shapes.empty() && array.size() > 0) {
      const std::vector<Index> shape = parameter_shape(array);
      check(found != shapes.end() && found->second == shape, "checkpoint: ", in_quotes(part),
            " is the optimiser of another model: expected the state of ", in_quotes(name), " ",
            shape_text(shape), ", got ",
            found == shapes.end() ? "none" : "that of " + shape_text(found->second));
    }
  });
}

class CheckpointWriter {
 public:
  void save(const std::filesystem::path& path) const { writer_.save(path); }

  template <class Model, class Part, class... Rest>
  void add(const Model* model, const std::string& name, const Part& part, const Rest&... rest) {
    names_.add(name);
    if constexpr (AnyModel<Part>) {
      add_state_dict(writer_, part, {.prefix = name});
      add(&part, rest...);
    } else {
      add_part(model, name, part);
      add(model, rest...);
    }
  }
  template <class Model>
  void add(const Model*) {}

 private:
  template <class Model, Optimizer Part>
  void add_part(const Model* model, const std::string& name, const Part& optimizer) {
    static_assert(!std::is_void_v<Model>, "name an optimiser after the model that it belongs to");
    writer_.add_metadata(name, optimizer.name());
    std::remove_cvref_t<decltype(optimizer.options())>::visit(
        [&](const std::string& option, const auto& value) {
          add_option(name + ".options." + option, value);
        },
        optimizer.options());
    if constexpr (requires { optimizer.step_count(); }) {
      add_part(model, name + ".step", optimizer.step_count());
    }
    check_moments(*model, name, optimizer);
    const std::vector<std::string> parameters = parameter_names(*model);
    optimizer.visit_state([&](const std::string& state_name, const auto& array) {
      writer_.refer(moment_name(name, state_name, parameters), parameter_shape(array),
                    array.data());
    });
  }

  void add_option(const std::string& name, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::array<double, 2>>) {
      writer_.add(name, {2}, value.data());
    } else {
      writer_.add(name, {}, &value);
    }
  }

  void add_part(const auto*, const std::string& name, const Generator& generator) {
    const Generator::State state = generator.state();
    const auto given = static_cast<std::int64_t>(state.engine.given);
    writer_.add(name + ".state", {static_cast<Index>(state.engine.x.size())},
                state.engine.x.data());
    writer_.add(name + ".given", {}, &given);
    writer_.add(name + ".normal", {state.has_waiting ? 1 : 0}, &state.waiting);
  }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add_part(const auto*, const std::string& name, const Number& number) {
    const auto stored = static_cast<StoredNumber<Number>>(number);
    writer_.add(name, {}, &stored);
  }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  void add_part(const auto*, const std::string& name, const std::vector<Number>& list) {
    writer_.refer(name, {static_cast<Index>(list.size())}, list.data());
  }

  template <class Scalar>
  void add_part(const auto*, const std::string& name, const Tensor3<Scalar>& tensor) {
    writer_.refer(name, {tensor.size(0), tensor.size(1), tensor.size(2)}, tensor.data());
  }

  template <class Derived>
  void add_part(const auto*, const std::string& name,
                const Eigen::PlainObjectBase<Derived>& array) {
    static_assert(Derived::IsRowMajor || Derived::ColsAtCompileTime == 1,
                  "matrices in files are row-major: RowMatrix");
    writer_.refer(name, parameter_shape(array), array.data());
  }

  template <class State>
  requires requires(const State& state) { state.h; }
  void add_part(const auto* model, const std::string& name, const State& state) {
    add_part(model, name + ".h", state.h);
    if constexpr (requires { state.c; }) {
      add_part(model, name + ".c", state.c);
    }
  }

  PartNames names_;
  SafetensorsWriter writer_;
};

}  // namespace recur::inline RECUR_ABI::detail
