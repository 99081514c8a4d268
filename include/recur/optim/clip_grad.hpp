// SPDX-License-Identifier: MIT
//
// Gradient clipping: torch.nn.utils.clip_grad_norm_ and clip_grad_value_. What keeps the training
// of recurrent layers over many time steps from blowing up.
#pragma once

#include <cmath>
#include <type_traits>

#include "recur/core/parameters.hpp"

namespace recur::inline RECUR_ABI {

enum class NormType { l2, inf };

/// Norm of all gradients taken together as one vector, in double.
template <NormType Norm = NormType::l2, class... Gradients>
double grad_norm(const Gradients&... gradients) {
  double total = 0;
  for_each_gradient(
      [&](const auto& array) {
        if (array.size() == 0) {
          return;
        }
        if constexpr (Norm == NormType::l2) {
          total += array.template cast<double>().squaredNorm();
        } else {
          const auto largest =
              static_cast<double>(array.cwiseAbs().template maxCoeff<Eigen::PropagateNaN>());
          total = std::isnan(total) || total > largest ? total : largest;
        }
      },
      gradients...);
  return Norm == NormType::l2 ? std::sqrt(total) : total;
}

/// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), norm being that of all of them
/// taken together, and returns the norm before. gradients: Parameters of modules or tuples of them,
/// changed in place. Where the norm is not finite, so are the gradients afterwards: look at what is
/// returned. Error when max_norm is negative.
///
///     auto norm = recur::clip_grad_norm(1.0, d_lstm.parameters, d_head.parameters);
///     auto largest = recur::clip_grad_norm<recur::NormType::inf>(1.0, d_lstm.parameters);
template <NormType Norm = NormType::l2, class... Gradients>
double clip_grad_norm(double max_norm, Gradients&... gradients) {
  check(max_norm >= 0, "clip_grad_norm: max_norm must not be negative, got ", max_norm);
  const double norm = grad_norm<Norm>(gradients...);
  const double factor = max_norm / (norm + 1e-6);
  if (!(factor >= 1)) {  // also where it is NaN
    for_each_gradient(
        [&](auto& array) {
          using Scalar = typename std::remove_cvref_t<decltype(array)>::Scalar;
          array *= static_cast<Scalar>(factor);
        },
        gradients...);
  }
  return norm;
}

/// Clamps every element of the gradients to [-clip_value, clip_value]; NaN stays. Error when
/// clip_value is negative.
///
///     recur::clip_grad_value(0.5, d_lstm.parameters, d_head.parameters);
template <class... Gradients>
void clip_grad_value(double clip_value, Gradients&... gradients) {
  check(clip_value >= 0, "clip_grad_value: clip_value must not be negative, got ", clip_value);
  for_each_gradient(
      [&](auto& array) {
        using Scalar = typename std::remove_cvref_t<decltype(array)>::Scalar;
        const auto high = static_cast<Scalar>(clip_value);
        for (Index k = 0; k < array.size(); ++k) {
          const Scalar g = array.data()[k];
          array.data()[k] = g > high ? high : g < -high ? -high : g;
        }
      },
      gradients...);
}

}  // namespace recur::inline RECUR_ABI
