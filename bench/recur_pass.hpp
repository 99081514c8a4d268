// SPDX-License-Identifier: MIT
//
// One case of the comparisons, by recur. Inference: forward with output and workspace used again.
// Training: forward with the tape used again, gradients of the parameters overwritten, backward
// with gradients by input and parameters.
#pragma once

#include <algorithm>
#include <string>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "case.hpp"

namespace bench {

namespace detail {

template <class Layer>
Layer make(const Case& c, const Data& data) {
  typename Layer::Options options;
  options.input_size = c.input;
  options.hidden_size = c.hidden;
  options.num_layers = c.layers;
  options.bidirectional = c.directions == 2;
  Layer layer(options);
  layer.update_parameters([&](auto& parameters) {
    for (std::size_t k = 0; k < data.weights.size(); ++k) {
      const Weights& from = data.weights[k];
      auto& to = parameters.cells[k];
      std::copy(from.w_ih.begin(), from.w_ih.end(), to.weight_ih.data());
      std::copy(from.w_hh.begin(), from.w_hh.end(), to.weight_hh.data());
      std::copy(from.b_ih.begin(), from.b_ih.end(), to.bias_ih.data());
      std::copy(from.b_hh.begin(), from.b_hh.end(), to.bias_hh.data());
    }
  });
  return layer;
}

template <class Array>
void dump(const Options& options, const std::string& name, const Array& array) {
  options.dump(name, {array.data(), static_cast<std::size_t>(array.size())});
}

template <class Layer, class Use>
void with_pass_of(const Options& options, Use&& use) {
  const Case& c = options.shape;
  const Data data(c);
  const auto layer = make<Layer>(c, data);
  using View = typename Layer::ConstView;
  const View x(data.x.data(), c.steps, c.batch, c.input);
  const View d_y(data.d_y.data(), c.steps, c.batch, c.directions * c.hidden);
  typename Layer::StateView state;
  state.h = View(data.h0.data(), c.layers * c.directions, c.batch, c.hidden);
  constexpr bool has_c = requires { state.c; };
  if constexpr (has_c) {
    state.c = View(data.c0.data(), c.layers * c.directions, c.batch, c.hidden);
  }

  typename Layer::Output out;
  typename Layer::Workspace work;
  typename Layer::Tape tape;
  typename Layer::Gradients gradients;
  gradients.accumulate = false;
  gradients.state_requires_grad = false;
  tape.borrow_input = true;
  const auto pass = [&] {
    if (c.training) {
      layer.forward(x, state, out, tape);
      layer.backward(tape, d_y, {}, gradients);
    } else {
      layer.forward(x, state, out, work);
    }
  };

  pass();
  dump(options, "y", out.output);
  dump(options, "hn", out.state.h);
  if constexpr (has_c) {
    dump(options, "cn", out.state.c);
  }
  if (c.training) {
    dump(options, "dx", gradients.input);
    Layer::Parameters::visit(
        [&](const recur::ParameterName& name, const auto& gradient) {
          dump(options, "d_" + name.str(), gradient);
        },
        gradients.parameters);
  }
  use(pass);
}

}  // namespace detail

/// Makes the case, runs it once, writes what it computed where --dump says, and calls use(pass):
/// pass() runs it again.
template <class Use>
void with_pass(const Options& options, Use&& use) {
  recur::set_num_threads(options.shape.threads);
  switch (options.shape.cell) {
    case Cell::lstm:
      return detail::with_pass_of<recur::LSTM<float>>(options, use);
    case Cell::gru:
      return detail::with_pass_of<recur::GRU<float>>(options, use);
    case Cell::rnn:
      return detail::with_pass_of<recur::RNN<float>>(options, use);
  }
}

}  // namespace bench
