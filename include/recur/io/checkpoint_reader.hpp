// SPDX-License-Identifier: MIT
//
// The parts of a training on their way out of a file: checkpoint.hpp says which there are, and
// under what names they are found.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "recur/io/checkpoint_writer.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI::detail {

/// Every part is first staged: checked, and what it needs made ready. What staging gives is called
/// after the last part was found to fit; it writes and does not fail.
class CheckpointReader {
 public:
  explicit CheckpointReader(const TensorFile& file) : file_(file) {}

  template <class Model, class Part, class... Rest>
  void load(Model* model, const std::string& name, Part& part, Rest&... rest) {
    names_.add(name);
    auto write = stage(model, name, part);
    if constexpr (AnyModel<Part>) {
      load(&part, rest...);
    } else {
      load(model, rest...);
    }
    write();
  }
  template <class Model>
  void load(Model*) {
    for (const std::string& name : file_.names()) {
      check(taken_.count(name) > 0, where(name),
            "unexpected: no part of this training has use for it");
    }
  }

 private:
  using Shape = std::vector<Index>;

  std::string where(const std::string& name) const {
    return file_.name() + ": " + in_quotes(name) + ": ";
  }

  /// A tensor that must be there, of this very type: nothing is converted, as it would not go on to
  /// the same bits.
  const StoredTensor& take(const std::string& name, const char* dtype) {
    check(file_.contains(name), where(name), "expected this tensor, got none");
    const StoredTensor& tensor = file_.tensor(name);
    check(tensor.dtype == dtype, where(name), "expected ", dtype, ", got ", tensor.dtype);
    if (tensor.dtype == "BOOL") {  // a bool of another byte would be undefined
      for (const std::byte value : tensor.bytes) {
        check(value <= std::byte{1}, where(name), "expected 0 or 1, got ",
              std::to_integer<int>(value));
      }
    }
    taken_.insert(name);
    return tensor;
  }
  const StoredTensor& take(const std::string& name, const char* dtype, const Shape& shape) {
    const StoredTensor& tensor = take(name, dtype);
    check(tensor.shape == shape, where(name), "expected shape ", shape_text(shape), ", got ",
          shape_text(tensor.shape));
    return tensor;
  }
  const StoredTensor& take_of_dimensions(const std::string& name, const char* dtype,
                                         std::size_t dimensions) {
    const StoredTensor& tensor = take(name, dtype);
    check(tensor.shape.size() == dimensions, where(name), "expected ", dimensions,
          " dimensions, got shape ", shape_text(tensor.shape));
    return tensor;
  }

  template <class Element>
  static void copy(const StoredTensor& from, Element* to) {
    if (!from.bytes.empty()) {
      std::memcpy(to, from.bytes.data(), from.bytes.size());
    }
  }
  template <class Element>
  Element take_one(const std::string& name) {
    Element value{};
    copy(take(name, dtype_of<Element>(), Shape{}), &value);
    return value;
  }

  // ---- Models ----

  template <AnyModel Part>
  auto stage(auto*, const std::string& name, Part& model) {
    StateDictLoad<Part> load(model, file_, {.prefix = name});
    for_each_parameter(
        model,
        [&](const std::string& parameter, const auto& array) {
          using Scalar = typename std::remove_cvref_t<decltype(array)>::Scalar;
          take(parameter, dtype_of<Scalar>());
        },
        name);
    return [load = std::move(load), &model] { load.write(model); };
  }

  // ---- Optimisers ----

  template <class Model, Optimizer Part>
  auto stage(Model* model, const std::string& name, Part& optimizer) {
    static_assert(!std::is_void_v<Model>, "name an optimiser after the model that it belongs to");
    const auto kind = file_.metadata().find(name);
    check(kind != file_.metadata().end(), where(name), "expected the state of ", optimizer.name(),
          ", got none");
    check(kind->second == optimizer.name(), where(name), "expected the state of ", optimizer.name(),
          ", got that of ", in_quotes(kind->second));

    Part loaded = optimizer;
    loaded.reset();
    std::remove_cvref_t<decltype(optimizer.options())>::visit(
        [&](const std::string& option, auto& value) {
          take_option(name + ".options." + option, value);
        },
        loaded.options());
    try {
      loaded.check_options();
    } catch (const Error& error) {
      fail(where(name), error.what());
    }
    if constexpr (requires { loaded.step_count(); }) {
      const auto steps = take_one<std::int64_t>(name + ".step");
      check(steps >= 0, where(name + ".step"), "expected a number from 0 on, got ", steps);
      loaded.set_step_count(steps);
    }
    take_moments(*model, name, loaded);
    return [loaded = std::move(loaded), &optimizer]() mutable { optimizer = std::move(loaded); };
  }

  void take_option(const std::string& name, auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::array<double, 2>>) {
      copy(take(name, "F64", Shape{2}), value.data());
    } else {
      value = take_one<Value>(name);
    }
  }

  template <class Model, class Part>
  void take_moments(const Model& model, const std::string& name, Part& optimizer) {
    bool has_moments = false;
    bool has_maxima = false;
    for (const std::string& tensor : file_.names()) {
      has_moments = has_moments || (tensor.starts_with(name + ".") && taken_.count(tensor) == 0);
      has_maxima = has_maxima || tensor.starts_with(name + ".max_exp_avg_sq.");
    }
    if (!has_moments) {  // before the first step
      return;
    }
    if constexpr (requires { optimizer.options().amsgrad; }) {  // may have been switched off since
      const bool amsgrad = std::exchange(optimizer.options().amsgrad, has_maxima);
      optimizer.prepare_state(model);
      optimizer.options().amsgrad = amsgrad;
    } else {
      optimizer.prepare_state(model);
    }
    const std::vector<std::string> parameters = parameter_names(model);
    optimizer.visit_state([&](const std::string& state_name, auto array) {
      using Scalar = typename Part::Scalar;
      copy(take(moment_name(name, state_name, parameters), dtype_of<Scalar>(),
                parameter_shape(array)),
           array.data());
    });
  }

  // ---- Everything else ----

  auto stage(auto*, const std::string& name, Generator& generator) {
    Generator::State state{};
    copy(take(name + ".state", "U32", Shape{static_cast<Index>(state.engine.x.size())}),
         state.engine.x.data());
    const auto given = take_one<std::int64_t>(name + ".given");
    const auto most = static_cast<std::int64_t>(state.engine.x.size());
    check(given >= 0 && given <= most, where(name + ".given"), "expected a number from 0 to ", most,
          ", got ", given);
    state.engine.given = static_cast<std::size_t>(given);
    const StoredTensor& normal = take_of_dimensions(name + ".normal", "F64", 1);
    check(normal.size() <= 1, where(name + ".normal"), "expected at most one number, got shape ",
          shape_text(normal.shape));
    state.has_waiting = normal.size() == 1;
    copy(normal, &state.waiting);
    return [state, &generator] { generator.set_state(state); };
  }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  auto stage(auto*, const std::string& name, Number& number) {
    const auto stored = take_one<StoredNumber<Number>>(name);
    if constexpr (std::is_integral_v<Number> && !std::is_same_v<Number, bool>) {
      check(std::in_range<Number>(stored), where(name), "expected a number from ",
            +std::numeric_limits<Number>::min(), " to ", +std::numeric_limits<Number>::max(),
            ", got ", stored);
    }
    return [stored, &number] { number = static_cast<Number>(stored); };
  }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  auto stage(auto*, const std::string& name, std::vector<Number>& list) {
    const StoredTensor& tensor = take_of_dimensions(name, dtype_of<Number>(), 1);
    std::vector<Number> loaded(static_cast<std::size_t>(tensor.size()));
    copy(tensor, loaded.data());
    return [loaded = std::move(loaded), &list]() mutable { list = std::move(loaded); };
  }

  template <class Scalar>
  auto stage(auto*, const std::string& name, Tensor3<Scalar>& array) {
    const StoredTensor& tensor = take_of_dimensions(name, dtype_of<Scalar>(), 3);
    Tensor3<Scalar> loaded(tensor.shape[0], tensor.shape[1], tensor.shape[2]);
    copy(tensor, loaded.data());
    return [loaded = std::move(loaded), &array]() mutable { array = std::move(loaded); };
  }

  template <class Derived>
  auto stage(auto*, const std::string& name, Eigen::PlainObjectBase<Derived>& array) {
    static_assert(Derived::IsRowMajor || Derived::ColsAtCompileTime == 1,
                  "matrices in files are row-major: RowMatrix");
    constexpr bool is_vector = Derived::ColsAtCompileTime == 1;
    const StoredTensor& tensor =
        take_of_dimensions(name, dtype_of<typename Derived::Scalar>(), is_vector ? 1 : 2);
    const Index rows = tensor.shape[0];
    const Index columns = is_vector ? 1 : tensor.shape[1];
    const auto fits = [](Index fixed, Index got) { return fixed == Dynamic || fixed == got; };
    check(fits(Derived::RowsAtCompileTime, rows) && fits(Derived::ColsAtCompileTime, columns),
          where(name), "expected the fixed sizes of ",
          shape_string({Derived::RowsAtCompileTime, Derived::ColsAtCompileTime}), ", got ",
          shape_text(tensor.shape));
    constexpr Index max_rows = Derived::MaxRowsAtCompileTime;
    constexpr Index max_columns = Derived::MaxColsAtCompileTime;
    check((max_rows == Dynamic || rows <= max_rows) &&
              (max_columns == Dynamic || columns <= max_columns),
          where(name), "expected at most ", shape_string({max_rows, max_columns}), ", got ",
          shape_text(tensor.shape));
    Derived loaded(rows, columns);
    copy(tensor, loaded.data());
    return [loaded = std::move(loaded), &array]() mutable { array.derived() = std::move(loaded); };
  }

  template <class State>
  requires requires(State& state) { state.h; }
  auto stage(auto* model, const std::string& name, State& state) {
    auto write_h = stage(model, name + ".h", state.h);
    if constexpr (requires { state.c; }) {
      auto write_c = stage(model, name + ".c", state.c);
      return [write_h = std::move(write_h), write_c = std::move(write_c)]() mutable {
        write_h();
        write_c();
      };
    } else {
      return write_h;
    }
  }

  const TensorFile& file_;
  PartNames names_;
  std::set<std::string> taken_;
};

}  // namespace recur::inline RECUR_ABI::detail
