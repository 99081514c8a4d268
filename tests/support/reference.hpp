// SPDX-License-Identifier: MIT
//
// A recurrent module as nested loops of reference steps (math/step.hpp): layer by layer, direction
// by direction, step by step. Time-major, no dropout.
#pragma once

#include <vector>

#include "recur/layers/stack.hpp"
#include "recur/math/step.hpp"

namespace recur::test {

/// (T, B, ·) as one matrix a step.
template <class Scalar>
using Steps = std::vector<RowMatrix<Scalar>>;

template <class Scalar>
Steps<Scalar> steps_of(const Tensor3<Scalar>& tensor) {
  Steps<Scalar> steps;
  for (Index t = 0; t < tensor.size(0); ++t) {
    steps.push_back(tensor[t]);
  }
  return steps;
}

template <class Scalar>
Tensor3<Scalar> tensor_of(const Steps<Scalar>& steps) {
  Tensor3<Scalar> tensor(static_cast<Index>(steps.size()), steps.at(0).rows(), steps.at(0).cols());
  for (Index t = 0; t < tensor.size(0); ++t) {
    tensor[t] = steps[static_cast<std::size_t>(t)];
  }
  return tensor;
}

/// Results of both passes; the names of Recurrent's.
template <class Scalar>
struct ReferenceResult {
  Tensor3<Scalar> output;
  Tensor3<Scalar> h_n;
  Tensor3<Scalar> c_n;
  Tensor3<Scalar> d_input;
  Tensor3<Scalar> d_h_0;
  Tensor3<Scalar> d_c_0;
  StackParameters<Scalar> d_parameters;
};

/// h_0, c_0, d_h_n, d_c_n: (L·D, B, ·), all there (c: only for cells that have one).
template <math::Equations E, class Scalar>
ReferenceResult<Scalar> reference_pass(const E& equations,
                                       const StackParameters<Scalar>& parameters,
                                       const Tensor3<Scalar>& x, const Tensor3<Scalar>& h_0,
                                       const Tensor3<Scalar>& c_0, const Tensor3<Scalar>& d_output,
                                       const Tensor3<Scalar>& d_h_n, const Tensor3<Scalar>& d_c_n) {
  // Eigen's own threads spin while they wait, which takes seconds on a machine that is busy.
  Eigen::setNbThreads(1);
  const Index D = parameters.directions;
  const Index L = static_cast<Index>(parameters.cells.size()) / D;
  const auto T = static_cast<std::size_t>(x.size(0));
  const Index B = x.size(1);
  const Index width = h_0.size(2);

  ReferenceResult<Scalar> result;
  result.h_n = Tensor3<Scalar>(h_0.size(0), B, width);
  result.c_n = Tensor3<Scalar>(c_0.size(0), c_0.size(1), c_0.size(2));  // empty where there is no c
  result.d_h_0 = result.h_n;
  result.d_c_0 = result.c_n;
  result.d_parameters = parameters;
  set_zero(result.d_parameters);

  const auto state_at = [](const Tensor3<Scalar>& h, const Tensor3<Scalar>& c, Index k) {
    math::BatchState<Scalar> state{h[k], {}};
    if constexpr (E::has_c) {
      state.c = c[k];
    }
    return state;
  };
  const auto keep_state = [](const math::BatchState<Scalar>& state, Tensor3<Scalar>& h,
                             Tensor3<Scalar>& c, Index k) {
    h[k] = state.h;
    if constexpr (E::has_c) {
      c[k] = state.c;
    }
  };
  // Step number k of direction d.
  const auto step_of = [T](Index d, std::size_t k) { return d == 0 ? k : T - 1 - k; };

  std::vector<std::vector<math::StepRecord<Scalar>>> records(parameters.cells.size());
  Steps<Scalar> in = steps_of(x);
  for (Index layer = 0; layer < L; ++layer) {
    Steps<Scalar> out(T, RowMatrix<Scalar>(B, D * width));
    for (Index d = 0; d < D; ++d) {
      const Index index = layer * D + d;
      auto& record = records[static_cast<std::size_t>(index)];
      record.resize(T);
      math::BatchState<Scalar> state = state_at(h_0, c_0, index);
      for (std::size_t k = 0; k < T; ++k) {
        const std::size_t t = step_of(d, k);
        record[t] = math::forward_step(equations, parameters.cell(layer, d), in[t], state);
        state = record[t].next;
        out[t].middleCols(d * width, width) = state.h;
      }
      keep_state(state, result.h_n, result.c_n, index);
    }
    in = out;
  }
  result.output = tensor_of(in);

  Steps<Scalar> d_out = steps_of(d_output);
  for (Index layer = L - 1; layer >= 0; --layer) {
    const Index in_width = parameters.cell(layer).weight_ih.cols();
    Steps<Scalar> d_in(T, RowMatrix<Scalar>::Zero(B, in_width));
    for (Index d = 0; d < D; ++d) {
      const Index index = layer * D + d;
      math::BatchState<Scalar> d_state = state_at(d_h_n, d_c_n, index);
      for (std::size_t k = T; k-- > 0;) {
        const std::size_t t = step_of(d, k);
        d_state.h += d_out[t].middleCols(d * width, width);
        const auto gradients = math::backward_step(equations, parameters.cell(layer, d),
                                                   records[static_cast<std::size_t>(index)][t],
                                                   d_state, result.d_parameters.cell(layer, d));
        d_in[t] += gradients.x;
        d_state = gradients.prev;
      }
      keep_state(d_state, result.d_h_0, result.d_c_0, index);
    }
    d_out = d_in;
  }
  result.d_input = tensor_of(d_out);
  return result;
}

}  // namespace recur::test
