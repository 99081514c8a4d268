// SPDX-License-Identifier: MIT
//
// Weights of ONNX's operators LSTM, GRU and RNN (github.com/onnx/onnx, docs/Operators.md) to the
// parameters of a layer and back. A node is one layer of one or two directions (D):
//
//          gates     W              R              B = Wb | Rb   P
//   LSTM   i o f c   (D, 4·H, I)    (D, 4·H, H)    (D, 8·H)      (D, 3·H): peepholes, refused
//
//   GRU    z r h     (D, 3·H, I)    (D, 3·H, H)    (D, 6·H)
//
//   RNN    one       (D, H, I)      (D, H, H)      (D, 2·H)
//
// Ours: LSTM i f g o, GRU r z n. linear_before_reset = 1 is PyTorch's GRU, 0 (ONNX's default) is
// GRUResetBefore. ONNX's Y is (T, D, B, H) where our output is (T, B, D·H): the same numbers in
// another order. Nodes of a real file: onnx_file.hpp.
#pragma once

#include <optional>
#include <string>
#include <utility>  // std::move
#include <vector>

#include "recur/io/gate_order.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

namespace recur::inline RECUR_ABI {

/// One LSTM, GRU or RNN node: its constant inputs and its attributes, with ONNX's names and
/// defaults.
template <class Scalar>
struct OnnxNode {
  std::string op_type;  ///< `LSTM`, `GRU` or `RNN`
  std::string name;     ///< for error texts

  Tensor3<Scalar> W;          ///< (D, G·H, I)
  Tensor3<Scalar> R;          ///< (D, G·H, H)
  RowMatrix<Scalar> B;        ///< (D × 2·G·H); empty: none
  RowMatrix<Scalar> P;        ///< (D × 3·H), peepholes of the LSTM; empty: none
  Tensor3<Scalar> initial_h;  ///< (D, B, H) where it is a constant; layout 1: (B, D, H)
  Tensor3<Scalar> initial_c;  ///< the same, LSTM

  Index hidden_size = 0;                 ///< 0: left out
  std::string direction = "forward";     ///< `forward`, `reverse` or `bidirectional`
  std::vector<std::string> activations;  ///< empty: the operator's defaults
  std::optional<double> clip;            ///< threshold of the gates' sums
  Index input_forget = 0;                ///< LSTM: 1 couples input and forget gate
  Index linear_before_reset = 0;         ///< GRU
  Index layout = 0;  ///< 1: X and Y of the node are (B, T, ·); says nothing about the weights
};

namespace detail {

/// ONNX's counterpart of a cell: the operator, its activations, and where our gates stand.
template <class E>
struct OnnxOperator;
template <>
struct OnnxOperator<math::LSTM> {
  static constexpr const char* name = "LSTM";
  static constexpr GateOrder<4> order{0, 2, 3, 1};
  static std::vector<std::string> activations(const auto&) { return {"Sigmoid", "Tanh", "Tanh"}; }
};
template <>
struct OnnxOperator<math::GRU> {
  static constexpr const char* name = "GRU";
  static constexpr GateOrder<3> order{1, 0, 2};
  static std::vector<std::string> activations(const auto&) { return {"Sigmoid", "Tanh"}; }
};
template <>
struct OnnxOperator<math::GRUResetBefore> : OnnxOperator<math::GRU> {};
template <>
struct OnnxOperator<math::RNN> {
  static constexpr const char* name = "RNN";
  static constexpr GateOrder<1> order{0};
  static std::vector<std::string> activations(const auto& options) {
    return {options.nonlinearity == Nonlinearity::tanh ? "Tanh" : "Relu"};
  }
};

inline std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) {
    text += (text.empty() ? "" : ", ") + item;
  }
  return "[" + text + "]";
}

inline Index onnx_directions(const std::string& direction, const std::string& where) {
  check(direction == "forward" || direction == "reverse" || direction == "bidirectional", where,
        ": direction: expected forward, reverse or bidirectional, got ", direction);
  return direction == "bidirectional" ? 2 : 1;
}

/// Throws Error unless the node computes what the layer's equations do.
template <class E, class Layer, class Scalar>
void check_onnx_equations(const Layer& layer, const OnnxNode<Scalar>& node,
                          const std::string& where) {
  using Operator = OnnxOperator<E>;
  check(node.op_type == Operator::name, where, ": op_type: expected ", Operator::name, ", got ",
        node.op_type);
  const Index D = onnx_directions(node.direction, where);
  const auto once = Operator::activations(layer.options());
  std::vector<std::string> expected;
  for (Index d = 0; d < D; ++d) {
    expected.insert(expected.end(), once.begin(), once.end());
  }
  const bool defaults = node.activations.empty() && once.back() == "Tanh";
  check(defaults || node.activations == expected, where, ": activations: expected ",
        list_text(expected), ", got ",
        node.activations.empty() ? "the defaults" : list_text(node.activations));
  check(!node.clip, where, ": clip: the layers here do not clip, got ", node.clip.value_or(0));
  check(node.input_forget == 0, where, ": input_forget: expected 0, got ", node.input_forget,
        " (coupled input and forget gates)");
  check(node.layout == 0 || node.layout == 1, where, ": layout: expected 0 or 1, got ",
        node.layout);
  if constexpr (std::is_same_v<E, math::GRU>) {
    check(node.linear_before_reset != 0, where,
          ": linear_before_reset: expected 1 (the GRU of PyTorch), got 0: make the layer a "
          "recur::GRUResetBefore");
  } else if constexpr (std::is_same_v<E, math::GRUResetBefore>) {
    check(node.linear_before_reset == 0, where, ": linear_before_reset: expected 0, got ",
          node.linear_before_reset, ": make the layer a recur::GRU");
  }
  check(node.P.size() == 0 || (node.P.array() == Scalar(0)).all(), where,
        ": P: the layers here have no peepholes, got some that are not zero");
  const auto zero = [](const Tensor3<Scalar>& state) {
    return state.size() == 0 || (state.rows().array() == Scalar(0)).all();
  };
  check(zero(node.initial_h) && zero(node.initial_c), where,
        ": initial_h, initial_c: constants that are not zero, which a layer does not hold: give "
        "them to forward(), and load the node with both emptied");
}

/// The parameters of direction `d` of a node; Error unless their shapes are those of `expected`.
template <class E, class Scalar, class Source>
CellParameters<Scalar> parameters_from_onnx(const OnnxNode<Source>& node, Index d,
                                            const CellParameters<Scalar>& expected,
                                            const std::string& where) {
  constexpr auto& order = OnnxOperator<E>::order;
  const Index D = onnx_directions(node.direction, where);
  const Index rows = expected.weight_ih.rows();
  const Index hidden = expected.weight_hh.cols();
  const auto check_shape = [&](const char* what, const Tensor3<Source>& got, Index cols) {
    check(got.size(0) == D && got.size(1) == rows && got.size(2) == cols, where, ": ", what,
          ": expected ", shape_string({D, rows, cols}), ", got ", got.shape());
  };
  check(node.hidden_size == 0 || node.hidden_size == hidden, where, ": hidden_size: expected ",
        hidden, ", got ", node.hidden_size);
  check_shape("W", node.W, expected.weight_ih.cols());
  check_shape("R", node.R, hidden);
  CellParameters<Scalar> cell;
  cell.weight_ih = gates_to_ours(order, node.W[d].template cast<Scalar>());
  cell.weight_hh = gates_to_ours(order, node.R[d].template cast<Scalar>());
  if (expected.bias_ih.size() > 0) {
    check(node.B.size() > 0, where, ": B: got none: make the layer with bias = false");
    check_converted_shape(where, "B", node.B.rows(), node.B.cols(), D, 2 * rows);
    const Vector<Scalar> both = node.B.row(d).transpose().template cast<Scalar>();
    cell.bias_ih = gates_to_ours(order, both.head(rows));
    cell.bias_hh = gates_to_ours(order, both.tail(rows));
  } else {
    check(node.B.size() == 0, where, ": B: expected none (the layer has bias = false), got ",
          shape_string({node.B.rows(), node.B.cols()}));
  }
  return cell;
}

}  // namespace detail

/// Overwrites all parameters of a layer from the nodes of its layers, the first one's first. A
/// bidirectional layer is a node of direction `bidirectional`, or two, `forward` and `reverse`,
/// whose outputs the model concatenates. Everything that the layer would compute otherwise than the
/// node is an Error that names it (activations, clip, input_forget, peepholes, linear_before_reset,
/// initial states, sizes, biases); the layer is then as before.
///
/// What is not in the nodes' constants is the caller's: sequence_lens are the lengths given to
/// forward(), and states that the model computes its initial state.
template <class E, class Scalar, int I, int H, class Source>
void load_onnx(Recurrent<E, Scalar, I, H>& layer, const std::vector<OnnxNode<Source>>& nodes) {
  detail::check_convertible(layer, "ONNX", 0, 0);
  auto parameters = layer.parameters();
  const Index directions = layer.directions();
  std::size_t k = 0;  // the next node
  for (Index index = 0; index < layer.num_layers(); ++index) {
    for (Index d = 0; d < directions;) {
      check(k < nodes.size(), "ONNX ", detail::OnnxOperator<E>::name, ": expected nodes for ",
            layer.num_layers(), " layers of ", directions, " directions, got ", nodes.size(),
            " nodes");
      const OnnxNode<Source>& node = nodes[k];
      const std::string where = "ONNX node \"" + node.name + "\" (layer " + std::to_string(index) +
                                ", direction " + std::to_string(d) + ")";
      ++k;
      const Index count = detail::onnx_directions(node.direction, where);
      const char* expected = directions == 1 ? "forward"
                             : d == 1        ? "reverse"
                                             : "bidirectional (or forward, and then reverse)";
      check(directions == 1 ? node.direction == "forward"
            : d == 1        ? node.direction == "reverse"
                            : node.direction != "reverse",
            where, ": direction: expected ", expected, ", got ", node.direction,
            directions == 1 && node.direction == "reverse"
                ? ": reverse the steps before and behind the layer, and load with direction forward"
                : "");
      detail::check_onnx_equations<E>(layer, node, where);
      for (Index n = 0; n < count; ++n, ++d) {
        auto& cell = parameters.cell(index, d);
        cell = detail::parameters_from_onnx<E, Scalar>(node, n, cell, where);
      }
    }
  }
  check(k == nodes.size(), "ONNX ", detail::OnnxOperator<E>::name, ": expected ", k,
        " nodes for the layers, got ", nodes.size());
  layer.update_parameters([&](auto& target) { target = std::move(parameters); });
}

/// The same for one layer from one node.
template <class E, class Scalar, int I, int H, class Source>
void load_onnx(Recurrent<E, Scalar, I, H>& layer, const OnnxNode<Source>& node) {
  load_onnx(layer, std::vector<OnnxNode<Source>>{node});
}

/// Layer `index` as a node: what goes into the initialisers W, R, B and into the attributes. Error
/// for a layer with a projection, which ONNX has not.
template <class E, class Scalar, int I, int H>
OnnxNode<Scalar> to_onnx(const Recurrent<E, Scalar, I, H>& layer, Index index = 0) {
  detail::check_convertible(layer, "ONNX", index, 0);
  using Operator = detail::OnnxOperator<E>;
  const Index D = layer.directions();
  const CellParameters<Scalar>& first = layer.parameters().cell(index);
  const Index rows = first.weight_ih.rows();
  OnnxNode<Scalar> node;
  node.op_type = Operator::name;
  node.hidden_size = layer.hidden_size();
  node.direction = D == 2 ? "bidirectional" : "forward";
  node.linear_before_reset = std::is_same_v<E, math::GRU> ? 1 : 0;
  node.layout = layer.options().batch_first ? 1 : 0;
  node.W = Tensor3<Scalar>(D, rows, first.weight_ih.cols());
  node.R = Tensor3<Scalar>(D, rows, layer.hidden_size());
  node.B.resize(first.bias_ih.size() > 0 ? D : 0, 2 * rows);
  for (Index d = 0; d < D; ++d) {
    const auto once = Operator::activations(layer.options());
    node.activations.insert(node.activations.end(), once.begin(), once.end());
    const CellParameters<Scalar>& cell = layer.parameters().cell(index, d);
    node.W[d] = detail::gates_to_theirs(Operator::order, cell.weight_ih);
    node.R[d] = detail::gates_to_theirs(Operator::order, cell.weight_hh);
    if (node.B.size() > 0) {
      node.B.row(d) << detail::gates_to_theirs(Operator::order, cell.bias_ih).transpose(),
          detail::gates_to_theirs(Operator::order, cell.bias_hh).transpose();
    }
  }
  return node;
}

}  // namespace recur::inline RECUR_ABI
