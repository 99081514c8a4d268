// SPDX-License-Identifier: MIT
//
// A tour of the layers: the names and shapes of all parameters, the shapes of every input and
// output, and the outputs computed once more from the equations, gate by gate.
#include <cmath>
#include <cstdio>
#include <string>

#include "recur/recur.hpp"

namespace {

using Eigen::VectorXd;
using recur::Index;
using recur::Tensor3;

constexpr Index T = 5, B = 3, I = 4, H = 6;

VectorXd sigmoid(const VectorXd& x) { return (1 + (-x.array()).exp()).inverse(); }
VectorXd tanh(const VectorXd& x) { return x.array().tanh(); }

// Rows of gate `k` of a matrix or a bias.
template <class Array>
auto gate(const Array& array, Index k) {
  return array.middleRows(k * H, H);
}

// One step of one sequence, as the equations are printed in PyTorch's documentation.
struct Step {
  const recur::CellParameters<double>& p;
  VectorXd x, h, c;

  VectorXd from_input(Index k) const { return gate(p.weight_ih, k) * x + gate(p.bias_ih, k); }
  VectorXd from_state(Index k) const { return gate(p.weight_hh, k) * h + gate(p.bias_hh, k); }

  void lstm() {
    const VectorXd i = sigmoid(from_input(0) + from_state(0));
    const VectorXd f = sigmoid(from_input(1) + from_state(1));
    const VectorXd g = tanh(from_input(2) + from_state(2));
    const VectorXd o = sigmoid(from_input(3) + from_state(3));
    c = f.cwiseProduct(c) + i.cwiseProduct(g);
    h = o.cwiseProduct(tanh(c));
  }
  void gru() {
    const VectorXd r = sigmoid(from_input(0) + from_state(0));
    const VectorXd z = sigmoid(from_input(1) + from_state(1));
    const VectorXd n = tanh(from_input(2) + r.cwiseProduct(from_state(2)));
    h = (1 - z.array()) * n.array() + z.array() * h.array();
  }
  void rnn() { h = tanh(from_input(0) + from_state(0)); }
};

// The name and shape of every parameter.
template <class Layer>
void show_parameters(const Layer& layer) {
  recur::for_each_parameter(layer, [](const std::string& name, const auto& array) {
    const std::string shape = array.cols() == 1 ? recur::shape_string({array.rows()})
                                                : recur::shape_string({array.rows(), array.cols()});
    std::printf("  %-24s %s\n", name.c_str(), shape.c_str());
  });
}

// Shows one layer, and the largest difference between its output and the equations'.
template <class Layer>
double visit(const char* name, const Layer& layer, void (Step::*equations)()) {
  std::printf("\n%s(input_size = %d, hidden_size = %d)\n", name, static_cast<int>(I),
              static_cast<int>(H));
  show_parameters(layer);

  recur::Generator generator(7);
  Tensor3<double> x(T, B, I);
  for (Index k = 0; k < x.size(); ++k) {
    x.data()[k] = generator.uniform(-1.0, 1.0);
  }
  const auto [output, state] = layer.forward(x);
  std::printf("  input  %s -> output %s, h_n %s", x.shape().c_str(), output.shape().c_str(),
              state.h.shape().c_str());
  if constexpr (requires { state.c; }) {
    std::printf(", c_n %s", state.c.shape().c_str());
  }
  std::printf("\n");

  double largest = 0;
  for (Index b = 0; b < B; ++b) {
    Step step{layer.parameters().cell(0), VectorXd(), VectorXd::Zero(H), VectorXd::Zero(H)};
    for (Index t = 0; t < T; ++t) {
      step.x = x[t].row(b).transpose();
      (step.*equations)();
      largest = std::max(largest, (output[t].row(b).transpose() - step.h).cwiseAbs().maxCoeff());
    }
  }
  std::printf("  largest difference to the equations, gate by gate: %.1e\n", largest);
  return largest;
}

}  // namespace

int main() {
  std::printf("recur %s: T = %d steps, B = %d sequences, I = %d features, H = %d units\n",
              recur::version, static_cast<int>(T), static_cast<int>(B), static_cast<int>(I),
              static_cast<int>(H));
  recur::manual_seed(1);
  double largest =
      visit("LSTM", recur::LSTM<double>({.input_size = I, .hidden_size = H}), &Step::lstm);
  largest = std::max(
      largest, visit("GRU", recur::GRU<double>({.input_size = I, .hidden_size = H}), &Step::gru));
  largest = std::max(
      largest, visit("RNN", recur::RNN<double>({.input_size = I, .hidden_size = H}), &Step::rnn));

  std::printf("\nLSTM, 2 layers, bidirectional, batch_first\n");
  const recur::LSTM<float> deep({.input_size = I,
                                 .hidden_size = H,
                                 .num_layers = 2,
                                 .batch_first = true,
                                 .bidirectional = true});
  show_parameters(deep);
  const Tensor3<float> x(B, T, I);
  const auto [output, state] = deep.forward(x);
  std::printf("  input  %s -> output %s, h_n %s, c_n %s\n", x.shape().c_str(),
              output.shape().c_str(), state.h.shape().c_str(), state.c.shape().c_str());
  return largest < 1e-12 ? 0 : 1;
}
