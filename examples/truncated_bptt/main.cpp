// SPDX-License-Identifier: MIT
//
// Long sequences in windows: the state is handed from window to window, the gradient back or not.
//
// A random bit comes at every step. At the last step, many windows later, the network must say what
// the first one was, which a second feature marked. Nothing in the last window tells: only a
// gradient that flows back to the first one can teach the network to keep that bit and to ignore
// the others. Trained twice, from the same weights:
//
//   cut       one tape, used again, as with PyTorch's detach() on the state: the gradient stays in
//             the last window, and memory does not grow with the sequence
//   flowing   one tape a window; backward goes from the last to the first, and the gradient by the
//             state before a window is that by the state after the window before it
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "recur/recur.hpp"

namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using LSTM = recur::LSTM<float>;

constexpr Index windows = 6, window = 5, steps = windows * window;
constexpr Index batch = 64, hidden = 24, updates = 300;

struct Model {
  LSTM lstm{{.input_size = 2, .hidden_size = hidden}};
  recur::Linear<float> head{{.in_features = hidden, .out_features = 2}};

  // Forget gates that start nearly open let the gradient reach far back (Gers et al. 2000).
  Model() {
    lstm.update_parameters([](auto& p) { p.cell(0).bias_ih.segment(hidden, hidden).array() += 2; });
  }

  static auto members(auto& self) { return recur::members("lstm", self.lstm, "head", self.head); }
};

// x (T, B, 2): feature 0 is the bit of each step, as 1 or -1; feature 1 marks the first step.
void draw(recur::Generator& generator, Tensor3<float>& x, std::vector<Index>& bits) {
  x = Tensor3<float>(steps, batch, 2);
  bits.resize(batch);
  for (Index b = 0; b < batch; ++b) {
    for (Index t = 0; t < steps; ++t) {
      x(t, b, 0) = generator.uniform(0.0F, 1.0F) < 0.5F ? 1.0F : -1.0F;
    }
    x(0, b, 1) = 1;
    bits[static_cast<std::size_t>(b)] = x(0, b, 0) > 0 ? 1 : 0;
  }
}

double accuracy(const RowMatrix<float>& scores, const std::vector<Index>& bits) {
  Index right = 0;
  for (Index b = 0; b < batch; ++b) {
    right += (scores(b, 1) > scores(b, 0) ? 1 : 0) == bits[static_cast<std::size_t>(b)] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(batch);
}

// All windows in order, each from the state of the one before. The last ones stay on the tapes.
LSTM::State forward(const Model& model, const Tensor3<float>& x, std::vector<LSTM::Tape>& tapes) {
  LSTM::State state;  // none: zeros
  for (Index k = 0; k < windows; ++k) {
    LSTM::Tape& tape = tapes[static_cast<std::size_t>(k) % tapes.size()];
    state = model.lstm.forward(x.view().narrow(0, k * window, window), state, tape).state;
  }
  return state;
}

// Returns the share of right answers. The gradient goes back through as many windows as there are
// tapes: one is the cut. The loss is at the end of the last window, the others have none of their
// own ({}).
double update(Model& model, const Tensor3<float>& x, const std::vector<Index>& bits,
              recur::Adam<float>& adam, std::vector<LSTM::Tape>& tapes) {
  const LSTM::State state = forward(model, x, tapes);
  const RowMatrix<float> last = state.h[0];
  const RowMatrix<float> scores = model.head.forward(last);
  const auto d_head = model.head.backward(last, recur::cross_entropy(scores, bits).d_input);

  LSTM::Gradients d_lstm;  // .state: by the state behind the window to come
  d_lstm.state = {Tensor3<float>(1, batch, hidden), Tensor3<float>(1, batch, hidden)};
  d_lstm.state.h[0] = d_head.input;
  for (std::size_t k = tapes.size(); k-- > 0;) {
    model.lstm.backward(tapes[k], {}, d_lstm.state, d_lstm);  // adds to d_lstm.parameters
  }
  adam.step(model, d_lstm.parameters, d_head.parameters);
  return accuracy(scores, bits);
}

// Largest difference, relative to the largest entry, between the gradients through all windows and
// those of the whole sequence at once; the loss is the sum of the squared outputs over two.
float compare_with_whole(const Model& model, const Tensor3<float>& x) {
  LSTM::Tape whole;
  const auto out = model.lstm.forward(x, {}, whole);
  const auto expected = model.lstm.backward(whole, out.output);

  std::vector<LSTM::Tape> tapes(windows);
  forward(model, x, tapes);
  LSTM::Gradients gradients;
  for (Index k = windows - 1; k >= 0; --k) {
    model.lstm.backward(tapes[static_cast<std::size_t>(k)],
                        out.output.view().narrow(0, k * window, window), gradients.state,
                        gradients);
  }
  float largest = 0;
  LSTM::Parameters::visit(
      [&](const auto&, const auto& one, const auto& other) {
        largest =
            std::max(largest, (one - other).cwiseAbs().maxCoeff() / other.cwiseAbs().maxCoeff());
      },
      gradients.parameters, expected.parameters);
  return largest;
}

}  // namespace

int main() {
  std::printf("remember a bit for %d steps: %d windows of %d\n", static_cast<int>(steps),
              static_cast<int>(windows), static_cast<int>(window));
  const auto start = std::chrono::steady_clock::now();
  recur::manual_seed(0);
  Model cut;
  Model flowing = cut;
  recur::Generator generator(1);
  Tensor3<float> x;
  std::vector<Index> bits;
  draw(generator, x, bits);
  const float difference = compare_with_whole(cut, x);
  std::printf("gradients through the windows against the whole sequence's: they differ by %.0e\n\n",
              static_cast<double>(difference));

  recur::Adam<float> adam_cut({.lr = 5e-3});
  recur::Adam<float> adam_flowing({.lr = 5e-3});
  std::vector<LSTM::Tape> one_tape(1);
  std::vector<LSTM::Tape> tapes(windows);
  std::printf("right answers in the last 50 batches\n   updates      cut  flowing\n");
  double right_cut = 0, right_flowing = 0;
  for (Index k = 1; k <= updates; ++k) {
    draw(generator, x, bits);
    right_cut += update(cut, x, bits, adam_cut, one_tape) / 50;
    right_flowing += update(flowing, x, bits, adam_flowing, tapes) / 50;
    if (k % 50 == 0) {
      std::printf("  %8d  %5.1f %%  %5.1f %%\n", static_cast<int>(k), 100 * right_cut,
                  100 * right_flowing);
      std::fflush(stdout);
      if (k < updates) {
        right_cut = right_flowing = 0;
      }
    }
  }
  std::printf("trained both in %.1f s\n",
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return difference < 1e-4F && right_flowing > 0.95 && right_cut < 0.75 ? 0 : 1;
}
