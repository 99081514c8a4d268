// SPDX-License-Identifier: MIT
//
// A recurrent primitive of oneDNN with its backward, described in one way for versions 2 and 3.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

namespace bench {

/// A recurrent primitive: its cell, direction and memory. Of the weights oneDNN chooses the format
/// where it is `any`. Final states have the descriptions of the initial ones.
struct RnnDescription {
  dnnl::algorithm cell{};  ///< vanilla_lstm, lbr_gru or vanilla_rnn, which is given tanh
  dnnl::rnn_direction direction{};
  bool training = false;
  dnnl::memory::desc x, h, c, w_x, w_h, bias, y;  ///< c: the LSTM's, else empty

  dnnl::prop_kind forward_kind() const {
    return training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  }
};

/// What oneDNN makes of it. `backward` is there for training.
struct RnnPrimitives {
  dnnl::rnn_primitive_desc_base forward, backward;
};

#if DNNL_VERSION_MAJOR >= 3

/// Whether backward writes the gradients of the parameters; else it adds to them.
inline constexpr bool overwrites_gradients = true;

namespace detail {

// The classes of the single cells do not take the flag diff_weights_overwrite; their base does.
struct AnyRnn : dnnl::rnn_primitive_desc_base {
  using Base = dnnl::rnn_primitive_desc_base;

  AnyRnn(const dnnl::engine& engine, const RnnDescription& r, const dnnl::memory::desc& none = {})
      : Base(engine, r.cell, r.forward_kind(), activation(r), r.direction, r.x, r.h, &r.c, nullptr,
             r.w_x, r.w_h, &none, &none, r.bias, r.y, r.h, &r.c, dnnl::rnn_flags::undef, 0.0F, 0.0F,
             dnnl::primitive_attr(), false) {}

  AnyRnn(const dnnl::engine& engine, const RnnDescription& r, const Base& forward,
         const dnnl::memory::desc& none = {})
      : Base(engine, r.cell, dnnl::prop_kind::backward, activation(r), r.direction, r.x, r.h, &r.c,
             nullptr, r.w_x, r.w_h, &none, &none, r.bias, r.y, r.h, &r.c, r.x, r.h, &r.c, nullptr,
             r.w_x, r.w_h, &none, &none, r.bias, r.y, r.h, &r.c,
             dnnl::rnn_flags::diff_weights_overwrite, 0.0F, 0.0F, forward, dnnl::primitive_attr(),
             false) {}

  static dnnl::algorithm activation(const RnnDescription& r) {
    return r.cell == dnnl::algorithm::vanilla_rnn ? dnnl::algorithm::eltwise_tanh
                                                  : dnnl::algorithm::undef;
  }
};

}  // namespace detail

inline RnnPrimitives make_primitives(const dnnl::engine& engine, const RnnDescription& r) {
  RnnPrimitives made;
  made.forward = detail::AnyRnn(engine, r);
  if (r.training) {
    made.backward = detail::AnyRnn(engine, r, made.forward);
  }
  return made;
}

#else

inline constexpr bool overwrites_gradients = false;

namespace detail {

// `first` comes before the descriptions of memory, which the gradients share.
template <class Forward, class Backward, class... First, class... Memory>
RnnPrimitives make_primitives(const dnnl::engine& engine, const RnnDescription& r,
                              const std::tuple<First...>& first, const Memory&... memory) {
  RnnPrimitives made;
  const auto forward = std::apply(
      [&](auto... f) { return typename Forward::desc(r.forward_kind(), f..., memory...); }, first);
  const typename Forward::primitive_desc hint(forward, engine);
  made.forward = hint;
  if (r.training) {
    const auto backward = std::apply(
        [&](auto... f) {
          return typename Backward::desc(dnnl::prop_kind::backward, f..., memory..., memory...);
        },
        first);
    made.backward = typename Backward::primitive_desc(backward, engine, hint);
  }
  return made;
}

}  // namespace detail

inline RnnPrimitives make_primitives(const dnnl::engine& engine, const RnnDescription& r) {
  if (r.cell == dnnl::algorithm::vanilla_lstm) {
    return detail::make_primitives<dnnl::lstm_forward, dnnl::lstm_backward>(
        engine, r, std::tuple(r.direction), r.x, r.h, r.c, r.w_x, r.w_h, r.bias, r.y, r.h, r.c);
  }
  if (r.cell == dnnl::algorithm::lbr_gru) {
    return detail::make_primitives<dnnl::lbr_gru_forward, dnnl::lbr_gru_backward>(
        engine, r, std::tuple(r.direction), r.x, r.h, r.w_x, r.w_h, r.bias, r.y, r.h);
  }
  return detail::make_primitives<dnnl::vanilla_rnn_forward, dnnl::vanilla_rnn_backward>(
      engine, r, std::tuple(dnnl::algorithm::eltwise_tanh, r.direction), r.x, r.h, r.w_x, r.w_h,
      r.bias, r.y, r.h);
}

#endif

}  // namespace bench
