// SPDX-License-Identifier: MIT
//
// Weights of Keras (tf.keras, Keras 3) to the parameters of a layer and back. Keras multiplies from
// the right (x · kernel) and has the gates side by side in the columns:
//
//                                        gates        kernel     recurrent_kernel   bias
//   LSTM                                 i f c o      (I, 4·H)   (H, 4·H)           (4·H)
//   GRU, reset_after=True (the default)  z r h        (I, 3·H)   (H, 3·H)           (2, 3·H)
//   GRU, reset_after=False               z r h        (I, 3·H)   (H, 3·H)           (3·H)
//   SimpleRNN                            one          (I, H)     (H, H)             (H)
//
// Ours are transposed, in PyTorch's order (LSTM i f g o, GRU r z n), with two biases. One bias
// goes into b_ih, with b_hh = 0; on the way back the two are added. The rows of the GRU's two
// biases are those of the input and of the recurrent product. Keras's GRU with reset_after=False
// is GRUResetBefore here: PyTorch's GRU cannot compute it. Activations must be Keras's defaults
// (tanh, and sigmoid for the gates; not hard_sigmoid), SimpleRNN's tanh or relu.
//
// In Python, `layer.get_weights()` gives kernel, recurrent_kernel, bias of one layer; those of
// Bidirectional(layer, merge_mode="concat") give the three of the forward layer and then the three
// of the backward one.
#pragma once

#include <string>
#include <vector>

#include "recur/io/gate_order.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

namespace recur::inline RECUR_ABI {

/// Weights of keras.layers.LSTM. Empty bias: use_bias=False.
template <class Scalar>
struct KerasLSTM {
  using Equations = math::LSTM;
  RowMatrix<Scalar> kernel;            ///< (I × 4·H)
  RowMatrix<Scalar> recurrent_kernel;  ///< (H × 4·H)
  Vector<Scalar> bias;                 ///< (4·H)
};

/// Weights of keras.layers.GRU with reset_after=True.
template <class Scalar>
struct KerasGRU {
  using Equations = math::GRU;
  RowMatrix<Scalar> kernel;            ///< (I × 3·H)
  RowMatrix<Scalar> recurrent_kernel;  ///< (H × 3·H)
  RowMatrix<Scalar> bias;              ///< (2 × 3·H)
};

/// Weights of keras.layers.GRU with reset_after=False.
template <class Scalar>
struct KerasGRUResetBefore {
  using Equations = math::GRUResetBefore;
  RowMatrix<Scalar> kernel;            ///< (I × 3·H)
  RowMatrix<Scalar> recurrent_kernel;  ///< (H × 3·H)
  Vector<Scalar> bias;                 ///< (3·H)
};

/// Weights of keras.layers.SimpleRNN.
template <class Scalar>
struct KerasSimpleRNN {
  using Equations = math::RNN;
  RowMatrix<Scalar> kernel;            ///< (I × H)
  RowMatrix<Scalar> recurrent_kernel;  ///< (H × H)
  Vector<Scalar> bias;                 ///< (H)
  Nonlinearity activation = Nonlinearity::tanh;
};

namespace detail {

/// Keras's counterpart of a cell: its struct, its name, and where our gates stand among its own.
template <class E>
struct KerasLayer;
template <>
struct KerasLayer<math::LSTM> {
  static constexpr const char* name = "Keras LSTM";
  static constexpr GateOrder<4> order{0, 1, 2, 3};
  template <class Scalar>
  using Weights = KerasLSTM<Scalar>;
};
template <>
struct KerasLayer<math::GRU> {
  static constexpr const char* name = "Keras GRU (reset_after=True)";
  static constexpr GateOrder<3> order{1, 0, 2};
  template <class Scalar>
  using Weights = KerasGRU<Scalar>;
};
template <>
struct KerasLayer<math::GRUResetBefore> {
  static constexpr const char* name = "Keras GRU (reset_after=False)";
  static constexpr GateOrder<3> order{1, 0, 2};
  template <class Scalar>
  using Weights = KerasGRUResetBefore<Scalar>;
};
template <>
struct KerasLayer<math::RNN> {
  static constexpr const char* name = "Keras SimpleRNN";
  static constexpr GateOrder<1> order{0};
  template <class Scalar>
  using Weights = KerasSimpleRNN<Scalar>;
};

/// The parameters of one cell whose shapes are those of `expected`; Error where they are not.
template <class E, class Scalar, class Weights>
CellParameters<Scalar> parameters_from_keras(const Weights& weights,
                                             const CellParameters<Scalar>& expected,
                                             const std::string& where) {
  constexpr auto& order = KerasLayer<E>::order;
  const Index rows = expected.weight_ih.rows();
  check_converted_shape(where, "kernel", weights.kernel.rows(), weights.kernel.cols(),
                        expected.weight_ih.cols(), rows);
  check_converted_shape(where, "recurrent_kernel", weights.recurrent_kernel.rows(),
                        weights.recurrent_kernel.cols(), expected.weight_hh.cols(), rows);
  const bool bias = expected.bias_ih.size() > 0;
  check(bias || weights.bias.size() == 0, where,
        ": bias: expected none (the layer has bias = ", "false), got ", weights.bias.size(),
        " numbers");
  check(!bias || weights.bias.size() > 0, where,
        ": bias: got none: make the layer with bias = false");

  CellParameters<Scalar> cell;
  const auto ours = [&](const auto& theirs) {
    return gates_to_ours(order, theirs.transpose().template cast<Scalar>());
  };
  cell.weight_ih = ours(weights.kernel);
  cell.weight_hh = ours(weights.recurrent_kernel);
  if constexpr (std::is_same_v<E, math::GRU>) {
    if (bias) {
      check_converted_shape(where, "bias (reset_after=True has two rows)", weights.bias.rows(),
                            weights.bias.cols(), 2, rows);
      cell.bias_ih = ours(weights.bias.row(0));
      cell.bias_hh = ours(weights.bias.row(1));
    }
  } else if (bias) {
    check(weights.bias.size() == rows, where, ": bias: expected ", shape_string({rows}), ", got ",
          shape_string({weights.bias.size()}));
    cell.bias_ih = ours(weights.bias.transpose());
    cell.bias_hh.setZero(rows);
  }
  return cell;
}

}  // namespace detail

/// Overwrites all parameters of a layer from Keras's: one struct for each layer and direction,
/// layer outer, forward before backward. The structs are those of the layer's kind, which the
/// compiler checks; sizes and the presence of biases are checked against the layer. Throws Error
/// that says which one does not fit; the layer is then as before.
///
///     // Python: np.savez("lstm.npz", **dict(zip(("kernel", "recurrent_kernel", "bias"),
///     //                                         layer.get_weights())))
///     const recur::TensorFile file = recur::load_npz("lstm.npz");
///     recur::load_keras(lstm, recur::KerasLSTM<float>{file.matrix<float>("kernel"),
///                                                     file.matrix<float>("recurrent_kernel"),
///                                                     file.vector<float>("bias")});
template <class E, class Scalar, int I, int H, class Weights>
void load_keras(Recurrent<E, Scalar, I, H>& layer, const std::vector<Weights>& weights) {
  static_assert(std::is_same_v<typename Weights::Equations, E>,
                "the weights must be of the layer's kind: KerasLSTM for LSTM, KerasGRU for GRU, "
                "KerasGRUResetBefore for GRUResetBefore, KerasSimpleRNN for RNN");
  detail::check_convertible(layer, "Keras", 0, 0);
  auto parameters = layer.parameters();
  const std::string name = detail::KerasLayer<E>::name;
  check(weights.size() == parameters.cells.size(), name, ": expected weights of ",
        parameters.cells.size(), " cells (", layer.num_layers(), " layers, ", layer.directions(),
        " directions), got ", weights.size());
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const Index at = static_cast<Index>(k);
    const std::string where = name + ", layer " + std::to_string(at / layer.directions()) +
                              ", direction " + std::to_string(at % layer.directions());
    if constexpr (std::is_same_v<E, math::RNN>) {
      const auto text = [](Nonlinearity n) { return n == Nonlinearity::tanh ? "tanh" : "relu"; };
      check(weights[k].activation == layer.options().nonlinearity, where,
            ": activation: expected the layer's ", text(layer.options().nonlinearity), ", got ",
            text(weights[k].activation));
    }
    auto& cell = parameters.cells[k];
    cell = detail::parameters_from_keras<E, Scalar>(weights[k], cell, where);
  }
  layer.update_parameters([&](auto& target) { target = std::move(parameters); });
}

/// The same for a layer of one cell.
template <class E, class Scalar, int I, int H, class Weights>
void load_keras(Recurrent<E, Scalar, I, H>& layer, const Weights& weights) {
  load_keras(layer, std::vector<Weights>{weights});
}

/// Keras's weights of one layer and direction: KerasLSTM, KerasGRU, … by the kind of the layer, for
/// `layer.set_weights([kernel, recurrent_kernel, bias])`. Where Keras has one bias, it is the sum
/// of the two. Error for a layer with a projection, which Keras has not.
template <class E, class Scalar, int I, int H>
auto to_keras(const Recurrent<E, Scalar, I, H>& layer, Index index = 0, Index direction = 0) {
  detail::check_convertible(layer, "Keras", index, direction);
  constexpr auto& order = detail::KerasLayer<E>::order;
  const CellParameters<Scalar>& cell = layer.parameters().cell(index, direction);
  typename detail::KerasLayer<E>::template Weights<Scalar> weights;
  weights.kernel = detail::gates_to_theirs(order, cell.weight_ih).transpose();
  weights.recurrent_kernel = detail::gates_to_theirs(order, cell.weight_hh).transpose();
  if constexpr (std::is_same_v<E, math::RNN>) {
    weights.activation = layer.options().nonlinearity;
  }
  if (cell.bias_ih.size() > 0) {
    if constexpr (std::is_same_v<E, math::GRU>) {
      weights.bias.resize(2, cell.bias_ih.size());
      weights.bias.row(0) = detail::gates_to_theirs(order, cell.bias_ih);
      weights.bias.row(1) = detail::gates_to_theirs(order, cell.bias_hh);
    } else {
      weights.bias =
          detail::gates_to_theirs(order, detail::sum_of_biases<Scalar>(cell.bias_ih, cell.bias_hh));
    }
  }
  return weights;
}

}  // namespace recur::inline RECUR_ABI
