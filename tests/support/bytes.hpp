// SPDX-License-Identifier: MIT
//
// Everything an object holds as bytes: for tests in which not a bit may differ, not even that of a
// zero's sign.
#pragma once

#include <string>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"

namespace recur::test {

/// Appends the shape and the elements of an array or a view, or those of everything inside a state,
/// gradients, parameters, an output, a schedule or a tape (without its workspace).
template <class T>
void append_bytes(std::string& bytes, const T& value) {
  const auto append = [&](const auto* data, Index count) {
    bytes.append(reinterpret_cast<const char*>(data),
                 static_cast<std::size_t>(count) * sizeof(*data));
  };
  const auto append_all = [&](const auto&... parts) { (append_bytes(bytes, parts), ...); };
  if constexpr (std::is_arithmetic_v<T>) {
    append(&value, 1);
  } else if constexpr (std::is_same_v<T, Generator>) {
    const Generator::State state = value.state();
    append(state.engine.x.data(), static_cast<Index>(state.engine.x.size()));
    append_all(state.engine.given, state.has_waiting, state.waiting);
  } else if constexpr (requires { value.row(0, 0); }) {  // a view
    append_all(value.size(0), value.size(1), value.size(2));
    for (Index i = 0; i < value.size(0); ++i) {
      for (Index j = 0; j < value.size(1); ++j) {
        append(value.row(i, j), value.size(2));
      }
    }
  } else if constexpr (requires { value.view(); }) {  // a tensor
    append_all(value.view());
  } else if constexpr (requires { value.outerStride(); }) {  // a matrix
    append_all(value.rows(), value.cols());
    append(value.data(), value.size());
  } else if constexpr (requires { T::visit([](const auto&...) {}, value); }) {  // parameters
    T::visit([&](const ParameterName&, const auto& array) { append_all(array); }, value);
  } else if constexpr (requires { value.dropout_mask; }) {  // a layer of a tape
    append_all(value.input, value.h, value.c, value.slots, value.unprojected, value.dropout_mask);
  } else if constexpr (requires { value.workspace; }) {  // a tape
    append_all(value.schedule, value.layers, value.training, value.generator);
  } else if constexpr (requires { value.active; }) {  // a schedule
    append_all(value.steps, value.batch, value.lengths, value.active, value.order, value.offsets);
  } else if constexpr (requires { value.slots; }) {  // the tape of a cell
    append_all(value.x, value.prev, value.next, value.slots);
  } else if constexpr (requires { value.batch_sizes; }) {  // a packed sequence
    append_all(value.data, value.batch_sizes, value.sorted_indices, value.unsorted_indices);
  } else if constexpr (requires { value.output; }) {
    append_all(value.output, value.state);
  } else if constexpr (requires { value.parameters; }) {  // gradients
    append_all(value.input, value.state, value.parameters);
  } else if constexpr (requires { value.c; }) {
    append_all(value.h, value.c);
  } else if constexpr (requires { value.h; }) {
    append_all(value.h);
  } else {  // a list
    append_all(static_cast<Index>(value.size()));
    for (const auto& element : value) {
      append_bytes(bytes, element);
    }
  }
}

template <class... T>
std::string bytes_of(const T&... values) {
  std::string bytes;
  (append_bytes(bytes, values), ...);
  return bytes;
}

}  // namespace recur::test
