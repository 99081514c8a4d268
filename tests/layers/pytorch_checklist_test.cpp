// SPDX-License-Identifier: MIT
//
// What PyTorch's own tests ask of its recurrent modules (test_nn.py, common_modules.py,
// test_packed_sequence.py, test/cpp/api/rnn.cpp), point by point, each against someone else's
// numbers: P01 … P10 in `ctest -N`. P01 is in cells/pytorch_checklist_test.cpp, P04 in
// dropout_test.cpp, P03, P06 and P09 in pytorch_checklist_sequences_test.cpp, P10 in
// pytorch_checklist_training_test.cpp. The whole grids are in the tests beside these.
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/cells/rnn_cell.hpp"
#include "recur/io/state_dict.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/bytes.hpp"
#include "support/gradient_check.hpp"
#include "support/states.hpp"
#include "support/temporary_folder.hpp"

namespace pytorch_checklist_test {
namespace {

using recur::Index;
using recur::Nonlinearity;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::elements;
using recur::test::error_of;
using recur::test::expect_gradient;
using recur::test::has_c;
using recur::test::make_state;
using recur::test::random_matrix;
using recur::test::random_tensor;
using LSTM = recur::LSTM<double>;
using GRU = recur::GRU<double>;
using RNN = recur::RNN<double>;
using LSTMCell = recur::LSTMCell<double>;
using GRUCell = recur::GRUCell<double>;
using RNNCell = recur::RNNCell<double>;

// ---- 2. layers ----

template <class Layer>
void expect_layer_refuses() {
  const Layer layer({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const std::string hidden = has_c<Layer> ? "hidden[0]" : "hidden";
  const Tensor3<double> good(2, 6, 5);
  const auto error = [&](const Tensor3<double>& x, const Tensor3<double>& h) {
    return error_of([&] { layer.forward(x, make_state<typename Layer::State>(h, good)); });
  };
  EXPECT_EQ(error(Tensor3<double>(4, 6, 2), good),
            "input.size(-1) must be equal to input_size. Expected 3, got 2");
  EXPECT_EQ(error(Tensor3<double>(4, 7, 3), good),
            "Expected " + hidden + " size (2, 7, 5), got [2, 6, 5]");
  const Tensor3<double> x(4, 6, 3);
  EXPECT_EQ(error(x, Tensor3<double>(2, 7, 5)),
            "Expected " + hidden + " size (2, 6, 5), got [2, 7, 5]");
  EXPECT_EQ(error(x, Tensor3<double>(2, 6, 4)),
            "Expected " + hidden + " size (2, 6, 5), got [2, 6, 4]");
  EXPECT_EQ(error(x, Tensor3<double>(1, 6, 5)),
            "Expected " + hidden + " size (2, 6, 5), got [1, 6, 5]");
  if constexpr (has_c<Layer>) {
    EXPECT_EQ(error_of([&] {
                layer.forward(x, {good, Tensor3<double>(2, 7, 5)});
              }),
              "Expected hidden[1] size (2, 6, 5), got [2, 7, 5]");
  }
}

TEST(PyTorchChecklist, P02_LayersRefuseWrongSizes) {
  expect_layer_refuses<LSTM>();
  expect_layer_refuses<GRU>();
  expect_layer_refuses<RNN>();
}

template <class Layer>
void expect_default_state_is_zeros() {
  recur::Generator generator(1);
  const Layer layer({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true});
  const auto x = random_tensor<double>(generator, 4, 6, 3);
  const Tensor3<double> zeros(4, 6, 5);
  EXPECT_EQ(bytes_of(layer.forward(x)),
            bytes_of(layer.forward(x, make_state<typename Layer::State>(zeros, zeros))));
}

TEST(PyTorchChecklist, P02_StateLeftOutIsZeros) {
  expect_default_state_is_zeros<LSTM>();
  expect_default_state_is_zeros<GRU>();
  expect_default_state_is_zeros<RNN>();
}

TEST(PyTorchChecklist, P02_ProjectionOfRNNAndGRUIsRefused) {
  const std::string text = "proj_size argument is only supported for LSTM, not RNN or GRU";
  EXPECT_EQ(error_of([] { GRU({.input_size = 3, .hidden_size = 5, .proj_size = 2}); }), text);
  EXPECT_EQ(error_of([] { RNN({.input_size = 3, .hidden_size = 5, .proj_size = 2}); }), text);
}

// ---- 5. corner sizes ----

template <class Layer>
void expect_empty_sizes() {
  const Layer layer({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true});
  typename Layer::Tape tape;
  EXPECT_EQ(error_of([&] { layer.forward(Tensor3<double>(0, 2, 3)); }),
            "Expected sequence length to be larger than 0 in RNN");
  const auto [output, state] = layer.forward(Tensor3<double>(4, 0, 3), {}, tape);
  EXPECT_EQ(output.shape(), "(4, 0, 10)");
  EXPECT_EQ(state.h.shape(), "(4, 0, 5)");
  const auto gradients = layer.backward(tape, output, state);
  EXPECT_EQ(gradients.input.shape(), "(4, 0, 3)");
  recur::for_each_gradient([](const auto& array) { EXPECT_TRUE(array.isZero(0)); },
                           gradients.parameters);
}

TEST(PyTorchChecklist, P05_NoStepsRaiseAndEmptyBatchWorks) {
  expect_empty_sizes<LSTM>();
  expect_empty_sizes<GRU>();
  expect_empty_sizes<RNN>();
}

// Both directions with the same weights: the gradient by a weight is the sum of the two.
TEST(PyTorchChecklist, P05_WeightsTiedByTheCaller) {
  recur::Generator generator(1);
  GRU gru({.input_size = 3, .hidden_size = 4, .bidirectional = true}, generator);
  const auto x = random_tensor<double>(generator, 4, 2, 3);
  const auto d_output = random_tensor<double>(generator, 4, 2, 8);
  recur::CellParameters<double> tied = gru.parameters().cell(0, 0);
  const auto loss = [&] {
    gru.update_parameters([&](GRU::Parameters& p) { p.cell(0, 0) = p.cell(0, 1) = tied; });
    return recur::test::dot(gru.forward(x).output, d_output);
  };
  loss();
  GRU::Tape tape;
  gru.forward(x, {}, tape);
  auto gradients = gru.backward(tape, d_output).parameters;
  recur::CellParameters<double>::visit(
      [&](const auto& name, auto& weight, const auto& forward, const auto& reverse) {
        expect_gradient(weight.data(), elements((forward + reverse).eval()).values, loss, 1e-3,
                        1e-9, name.str());
      },
      tied, gradients.cell(0, 0), gradients.cell(0, 1));
}

// ---- 7. gradients ----

template <class Layer>
void check_gradients(const typename Layer::Options& options, double step = 1e-3,
                     double tolerance = 1e-9) {
  Layer layer(options);
  recur::test::check_layer_gradients(layer, 3, 2, true, step, tolerance);
}

template <class Layer>
void check_options() {
  check_gradients<Layer>({.input_size = 3, .hidden_size = 4});
  check_gradients<Layer>({.input_size = 3, .hidden_size = 4, .num_layers = 2});
  check_gradients<Layer>({.input_size = 3, .hidden_size = 4, .bias = false});
  check_gradients<Layer>({.input_size = 3, .hidden_size = 4, .batch_first = true});
  check_gradients<Layer>(
      {.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true});
}

TEST(PyTorchChecklist, P07_GradientsEqualFiniteDifferences) {
  check_options<LSTM>();
  check_options<GRU>();
  check_options<RNN>();
  check_gradients<LSTM>(
      {.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true, .proj_size = 2});
  check_gradients<RNN>({.input_size = 3,
                        .hidden_size = 4,
                        .num_layers = 2,
                        .nonlinearity = Nonlinearity::relu,
                        .bidirectional = true},
                       1e-6, 1e-7);
}

// ---- 8. unbatched input; copies ----

template <class Layer>
void expect_unbatched_equals_batched(const Layer& layer) {
  using MatrixState = typename Layer::template MatrixState<RowMatrix<double>>;
  recur::Generator generator(3);
  const auto x = random_matrix<double>(generator, 6, 3);
  const auto h = random_matrix<double>(generator, 4, layer.output_size());
  const auto c = random_matrix<double>(generator, 4, layer.hidden_size());
  const auto batch_of_one = [&](const RowMatrix<double>& m) {  // in the order of the batch
    const recur::Tensor3View<const double> view(m.data(), m.rows(), 1, m.cols());
    return Tensor3<double>(layer.options().batch_first && &m == &x ? view.transposed() : view);
  };
  for (const bool with_state : {false, true}) {
    const auto state = with_state ? make_state<MatrixState>(h, c) : MatrixState();
    const auto batched_state =
        with_state ? make_state<typename Layer::State>(batch_of_one(h), batch_of_one(c))
                   : typename Layer::State();
    const auto batched = layer.forward(batch_of_one(x), batched_state);
    const auto unbatched = layer.forward(x, state);
    EXPECT_EQ(unbatched.output, RowMatrix<double>(batched.output.rows()));
    EXPECT_EQ(unbatched.state.h, RowMatrix<double>(batched.state.h.rows()));
    if constexpr (has_c<Layer>) {
      EXPECT_EQ(unbatched.state.c, RowMatrix<double>(batched.state.c.rows()));
    }
  }
}

TEST(PyTorchChecklist, P08_UnbatchedEqualsBatched) {
  for (const bool batch_first : {false, true}) {  // ignored for one sequence
    expect_unbatched_equals_batched(LSTM({.input_size = 3,
                                          .hidden_size = 5,
                                          .num_layers = 2,
                                          .batch_first = batch_first,
                                          .bidirectional = true,
                                          .proj_size = 2}));
    expect_unbatched_equals_batched(GRU({.input_size = 3,
                                         .hidden_size = 5,
                                         .num_layers = 2,
                                         .batch_first = batch_first,
                                         .bidirectional = true}));
    expect_unbatched_equals_batched(RNN({.input_size = 3,
                                         .hidden_size = 5,
                                         .num_layers = 2,
                                         .batch_first = batch_first,
                                         .bidirectional = true}));
  }
}

template <class Module, class X>
void expect_copies_give_the_same(const typename Module::Options& options, const X& x) {
  const Module original(options);
  const std::string expected = bytes_of(original.forward(x));
  Module copy = original;
  EXPECT_EQ(bytes_of(copy.forward(x)), expected);
  Module assigned(options);
  assigned = copy;
  EXPECT_EQ(bytes_of(assigned.forward(x)), expected);
  const Module moved = std::move(copy);
  EXPECT_EQ(bytes_of(moved.forward(x)), expected);
  Module move_assigned(options);
  move_assigned = std::move(assigned);
  EXPECT_EQ(bytes_of(move_assigned.forward(x)), expected);

  const recur::test::TemporaryFolder folder;
  recur::save_state_dict(original, folder / "saved.safetensors");
  Module loaded(options);
  EXPECT_NE(bytes_of(loaded.forward(x)), expected);
  recur::load_state_dict(loaded, folder / "saved.safetensors");
  EXPECT_EQ(bytes_of(loaded.forward(x)), expected);
}

TEST(PyTorchChecklist, P08_CopyMoveAssignSaveAndLoadGiveTheSame) {
  recur::Generator generator(3);
  const auto x = random_tensor<double>(generator, 6, 2, 3);
  expect_copies_give_the_same<LSTM>(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true, .proj_size = 2},
      x);
  expect_copies_give_the_same<GRU>({.input_size = 3, .hidden_size = 5, .num_layers = 2}, x);
  expect_copies_give_the_same<RNN>({.input_size = 3, .hidden_size = 5, .bidirectional = true}, x);
  const RowMatrix<double> row = x[0];
  expect_copies_give_the_same<LSTMCell>({.input_size = 3, .hidden_size = 5}, row);
  expect_copies_give_the_same<GRUCell>({.input_size = 3, .hidden_size = 5}, row);
  expect_copies_give_the_same<RNNCell>({.input_size = 3, .hidden_size = 5}, row);
}

}  // namespace
}  // namespace pytorch_checklist_test
