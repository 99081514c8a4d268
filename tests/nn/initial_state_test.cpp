// SPDX-License-Identifier: MIT
#include "recur/nn/initial_state.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/state_dict.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"
#include "recur/optim/adam.hpp"

#include "support/gradient_check.hpp"
#include "support/resized_parameters.hpp"
#include "support/temporary_folder.hpp"

namespace initial_state_test {
namespace {

using recur::Index;
using recur::InitialState;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_same;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;

template <class Layer>
struct Model {
  Layer layer;
  InitialState<Layer> initial{layer};

  static auto members(auto& self) {
    return recur::members("layer", self.layer, "initial", self.initial);
  }
};

template <class Model>
std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> names;
  recur::for_each_parameter(model,
                            [&](const std::string& name, const auto&) { names.push_back(name); });
  return names;
}

TEST(InitialState, NamesShapesAndZeros) {
  const LSTM lstm(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  const InitialState<LSTM> initial(lstm);
  EXPECT_EQ(names_of(initial), (std::vector<std::string>{"h_0", "c_0"}));
  EXPECT_TRUE(initial.parameters().h_0.isZero(0));
  EXPECT_EQ(initial.parameters().h_0.rows(), 4);
  EXPECT_EQ(initial.parameters().h_0.cols(), 2);
  EXPECT_EQ(initial.parameters().c_0.cols(), 5);
  const auto state = initial.forward(7);
  EXPECT_EQ(state.h.shape(), "(4, 7, 2)");
  EXPECT_EQ(state.c.shape(), "(4, 7, 5)");

  const InitialState<GRU> of_gru(GRU({.input_size = 3, .hidden_size = 5}));
  EXPECT_EQ(names_of(of_gru), (std::vector<std::string>{"h_0"}));
  EXPECT_EQ(of_gru.forward(0).h.shape(), "(1, 0, 5)");
  EXPECT_EQ(recur::parameter_count(of_gru), 5);
  const InitialState<recur::RNN<float>> of_rnn(
      recur::RNN<float>({.input_size = 3, .hidden_size = 5, .bidirectional = true}));
  EXPECT_EQ(of_rnn.parameters().h_0.rows(), 2);
}

TEST(InitialState, EverySequenceGetsTheSame) {
  recur::Generator generator(1);
  InitialState<LSTM> initial(LSTM({.input_size = 3, .hidden_size = 5, .num_layers = 2}));
  recur::test::randomize_parameters(initial, generator);
  const auto state = initial.forward(3);
  for (Index k = 0; k < 2; ++k) {
    for (Index b = 0; b < 3; ++b) {
      EXPECT_EQ(RowMatrix<double>(state.h[k].row(b)),
                RowMatrix<double>(initial.parameters().h_0.row(k)));
      EXPECT_EQ(RowMatrix<double>(state.c[k].row(b)),
                RowMatrix<double>(initial.parameters().c_0.row(k)));
    }
  }
}

template <class Layer>
void expect_gradients_equal_finite_differences(const typename Layer::Options& options) {
  recur::Generator generator(2);
  Model<Layer> model{Layer(options, generator)};
  recur::test::randomize_parameters(model, generator);
  const auto x = random_tensor<double>(generator, 4, 3, options.input_size);
  const auto d_output =
      random_tensor<double>(generator, 4, 3, model.layer.directions() * model.layer.output_size());
  const std::vector<Index> lengths{4, 0, 2};  // a sequence of no steps hands its state on
  typename Layer::Tape tape;
  const auto out = model.layer.forward(x, lengths, model.initial.forward(3), tape);
  const auto d_h = random_tensor<double>(generator, out.state.h.size(0), 3, out.state.h.size(2));
  typename Layer::State d_state;
  d_state.h = d_h;
  const auto d_layer = model.layer.backward(tape, d_output, d_state);
  const auto gradients = model.initial.backward(d_layer.state);
  const auto loss = [&] {
    const auto result = model.layer.forward(x, lengths, model.initial.forward(3));
    return recur::test::dot(result.output, d_output) + recur::test::dot(result.state.h, d_h);
  };
  recur::test::expect_parameter_gradients(model.initial, gradients.parameters, loss, 1e-3, 1e-8);
}

TEST(InitialState, GradientsEqualFiniteDifferences) {
  expect_gradients_equal_finite_differences<LSTM>(
      {.input_size = 2, .hidden_size = 3, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  expect_gradients_equal_finite_differences<GRU>({.input_size = 2, .hidden_size = 3});
}

TEST(InitialState, GradientsAddUp) {
  recur::Generator generator(3);
  const InitialState<LSTM> initial(LSTM({.input_size = 3, .hidden_size = 2}));
  const LSTM::State d_state{random_tensor<double>(generator, 1, 4, 2),
                            random_tensor<double>(generator, 1, 4, 2)};
  const auto once = initial.backward(d_state);
  EXPECT_TRUE(once.parameters.c_0.row(0).isApprox(d_state.c[0].colwise().sum(), 1e-15));
  auto twice = once;
  initial.backward(d_state, twice);
  recur::test::expect_same(twice.parameters.h_0, RowMatrix<double>(2 * once.parameters.h_0), "h_0");
  // Left out: zeros.
  const auto only_h = initial.backward({d_state.h, {}});
  recur::test::expect_same(only_h.parameters.h_0, once.parameters.h_0, "h_0");
  EXPECT_TRUE(only_h.parameters.c_0.isZero(0));
  EXPECT_EQ(only_h.parameters.c_0.cols(), 2);
}

TEST(InitialState, Errors) {
  const InitialState<LSTM> initial(LSTM({.input_size = 3, .hidden_size = 5}));
  EXPECT_ERROR(initial.forward(-1), "expected a batch size from 0 on, got -1");
  EXPECT_ERROR(initial.backward({Tensor3<double>(1, 4, 4), {}}),
               "InitialState::backward: d_state.h: expected (1, batch, 5), got (1, 4, 4)");
  EXPECT_ERROR(initial.backward({{}, Tensor3<double>(2, 4, 5)}),
               "InitialState::backward: d_state.c: expected (1, batch, 5), got (2, 4, 5)");
  InitialState<LSTM>::Gradients gradients;
  gradients.parameters.h_0.setZero(2, 5);
  gradients.parameters.c_0.setZero(1, 5);
  EXPECT_ERROR(initial.backward({}, gradients), "gradient of h_0: expected (1, 5), got (2, 5)");
}

// In a composite: an optimiser moves it, a state_dict holds it.
TEST(InitialState, IsLearntAndSavedInAComposite) {
  recur::Generator generator(4);
  Model<GRU> model{GRU({.input_size = 1, .hidden_size = 4}, generator)};
  EXPECT_EQ(names_of(model).back(), "initial.h_0");

  // Only the state before the first step can tell the network to give this on no input.
  const Tensor3<double> x(1, 2, 1);
  Tensor3<double> wanted(1, 2, 4);
  wanted[0].col(0).setConstant(0.6);
  wanted[0].col(3).setConstant(-0.6);
  recur::Adam<double> adam({.lr = 0.05});
  GRU::Tape tape;
  double squares = 0;
  for (int step = 0; step < 300; ++step) {
    const auto out = model.layer.forward(x, model.initial.forward(2), tape);
    Tensor3<double> d_output = out.output;
    d_output[0] -= wanted[0];
    squares = d_output[0].squaredNorm();
    const auto d_layer = model.layer.backward(tape, d_output);
    const auto d_initial = model.initial.backward(d_layer.state);
    adam.step(model, d_layer.parameters, d_initial.parameters);
  }
  EXPECT_LT(squares, 1e-3);
  EXPECT_GT(model.initial.parameters().h_0.cwiseAbs().maxCoeff(), 0.1);

  const recur::test::TemporaryFolder folder;
  recur::save_state_dict(model, folder.path() / "model.safetensors");
  Model<GRU> loaded{GRU({.input_size = 1, .hidden_size = 4})};
  recur::load_state_dict(loaded, folder.path() / "model.safetensors");
  expect_same(loaded.initial.parameters().h_0, model.initial.parameters().h_0, "h_0");
  expect_same(loaded.layer.forward(x, loaded.initial.forward(2)).output,
              model.layer.forward(x, model.initial.forward(2)).output, "output");
}

// At the start of a sequence that is run window by window.
TEST(InitialState, GradientFlowsBackThroughWindows) {
  recur::Generator generator(5);
  Model<LSTM> model{LSTM({.input_size = 2, .hidden_size = 3}, generator)};
  recur::test::randomize_parameters(model, generator);
  const auto x = random_tensor<double>(generator, 6, 2, 2);
  const auto d_output = random_tensor<double>(generator, 6, 2, 3);
  LSTM::Tape whole;
  model.layer.forward(x, model.initial.forward(2), whole);
  const auto d_whole = model.layer.backward(whole, d_output);

  // The same in three windows: forward in order, backward from the last one, the gradient by the
  // state before a window being that by the state after the window before it.
  std::vector<LSTM::Tape> tapes(3);
  LSTM::State state = model.initial.forward(2);
  for (Index k = 0; k < 3; ++k) {
    state =
        model.layer.forward(x.view().narrow(0, 2 * k, 2), state, tapes[static_cast<std::size_t>(k)])
            .state;
  }
  LSTM::Gradients gradients;
  for (Index k = 2; k >= 0; --k) {
    model.layer.backward(tapes[static_cast<std::size_t>(k)], d_output.view().narrow(0, 2 * k, 2),
                         gradients.state, gradients);
  }
  recur::test::expect_parameters_close(gradients.parameters, d_whole.parameters, 1e-14);
  recur::test::expect_parameters_close(model.initial.backward(gradients.state).parameters,
                                       model.initial.backward(d_whole.state).parameters, 1e-14);
}

TEST(InitialState, ParameterResizedByAnUpdateIsAnErrorAndRestored) {
  const recur::LSTM<double> lstm({.input_size = 2, .hidden_size = 4, .proj_size = 3});
  recur::InitialState<recur::LSTM<double>> initial(lstm);
  recur::update_parameters(initial,
                           [](const std::string&, auto& array) { array.setConstant(0.5); });
  recur::test::expect_resizing_is_refused(initial, [](const auto& module) {
    const auto state = module.forward(2);
    recur::RowMatrix<double> both(2, 7);
    both << state.h[0], state.c[0];
    return both;
  });
}

}  // namespace
}  // namespace initial_state_test
