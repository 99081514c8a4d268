// SPDX-License-Identifier: MIT
//
// What layers refuse: the whole text, word for word PyTorch's (2.14) where it has one, and not a
// byte written before.
#include <cmath>
#include <concepts>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/states.hpp"

namespace errors_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::error_of;
using recur::test::has_c;
using recur::test::random_tensor;
using LSTM = recur::LSTM<float>;
using GRU = recur::GRU<float>;
using RNN = recur::RNN<float>;
using Lengths = std::vector<Index>;

// One type for all errors.
static_assert(std::derived_from<recur::Error, std::invalid_argument>);

// ---- options ----

template <class Layer>
void expect_option_refused(const typename Layer::Options& options, const std::string& text) {
  recur::Generator generator(1);
  const std::string before = bytes_of(generator, recur::default_generator());
  EXPECT_EQ(error_of([&] { Layer(options, generator); }), text);
  EXPECT_EQ(error_of([&] { Layer{options}; }), text);
  EXPECT_TRUE(bytes_of(generator, recur::default_generator()) == before) << text;
}

template <class Layer>
class LayerErrors : public testing::Test {};
using Layers = testing::Types<LSTM, GRU, RNN>;
template <class Layer>
inline constexpr const char* name_of = "RNN";
template <>
inline constexpr const char* name_of<LSTM> = "LSTM";
template <>
inline constexpr const char* name_of<GRU> = "GRU";
struct LayerName {
  template <class Layer>
  static std::string GetName(int) {
    return name_of<Layer>;
  }
};
TYPED_TEST_SUITE(LayerErrors, Layers, LayerName);

TYPED_TEST(LayerErrors, Options) {
  using Layer = TypeParam;
  const std::string dropout =
      "dropout should be a number in range [0, 1] representing the probability of an element being "
      "zeroed";
  for (const double p : {-0.1, 1.1, std::nan("")}) {
    expect_option_refused<Layer>({.input_size = 3, .hidden_size = 5, .dropout = p}, dropout);
  }
  for (const Index size : {0, -1}) {
    expect_option_refused<Layer>({.input_size = 3, .hidden_size = size},
                                 "hidden_size must be greater than zero");
    expect_option_refused<Layer>({.input_size = size, .hidden_size = 5},
                                 "input_size must be greater than zero");
    expect_option_refused<Layer>({.input_size = 3, .hidden_size = 5, .num_layers = size},
                                 "num_layers must be greater than zero");
  }
}

TEST(LSTMErrors, ProjectionSize) {
  for (const Index size : {5, 7}) {
    expect_option_refused<LSTM>({.input_size = 3, .hidden_size = 5, .proj_size = size},
                                "proj_size has to be smaller than hidden_size");
  }
  expect_option_refused<LSTM>({.input_size = 3, .hidden_size = 5, .proj_size = -1},
                              "proj_size should be a positive integer or zero to disable "
                              "projections");
  const std::string text = "proj_size argument is only supported for LSTM, not RNN or GRU";
  for (const Index size : {-1, 2, 7}) {
    expect_option_refused<GRU>({.input_size = 3, .hidden_size = 5, .proj_size = size}, text);
    expect_option_refused<RNN>({.input_size = 3, .hidden_size = 5, .proj_size = size}, text);
  }
}

TYPED_TEST(LayerErrors, SetDropout) {
  TypeParam layer({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.25});
  for (const double p : {-0.1, 1.1, std::nan("")}) {
    EXPECT_EQ(error_of([&] { layer.set_dropout(p); }),
              "dropout should be a number in range [0, 1] representing the probability of an "
              "element being zeroed");
    EXPECT_EQ(layer.options().dropout, 0.25);
  }
}

// ---- calls ----

// A layer after one training step, with all that a call can write to. Each refusal is checked to
// have left every byte of it.
template <class Layer>
class Trained {
 public:
  using Options = typename Layer::Options;

  explicit Trained(const Options& options) : layer(options) {
    recur::Generator generator(2);
    x = options.batch_first ? random_tensor<float>(generator, 2, 4, layer.input_size())
                            : random_tensor<float>(generator, 4, 2, layer.input_size());
    layer.forward(x, {}, out, tape);
    layer.backward(tape, out.output, out.state, gradients);
    packed = recur::pack_padded_sequence(random_tensor<float>(generator, 4, 2, layer.input_size()),
                                         Lengths{4, 2});
    packed_out = layer.forward(packed);
  }

  template <class Call>
  void refuses(const std::string& text, Call&& call) {
    const std::string before = contents();
    EXPECT_EQ(error_of(call), text);
    EXPECT_TRUE(contents() == before) << "written before: " << text;
  }

  /// In every kind of forward pass.
  void refuses_forward(const std::string& text, const Tensor3<float>& input,
                       const typename Layer::State& state = {}) {
    refuses(text, [&] { layer.forward(input, state, out, work); });
    refuses(text, [&] { layer.forward(input, state, out, tape); });
    const Index batch = input.size(layer.options().batch_first ? 0 : 1);
    const Index steps = input.size(layer.options().batch_first ? 1 : 0);
    const Lengths lengths(static_cast<std::size_t>(batch), steps);
    refuses(text, [&] { layer.forward(input, lengths, state, out, work); });
    refuses(text, [&] { layer.forward(input, lengths, state, out, tape); });
  }

  std::string contents() const {
    return bytes_of(layer.parameters(), out, tape, gradients, x, packed, packed_out,
                    recur::default_generator());
  }

  Layer layer;
  Tensor3<float> x;
  recur::PackedSequence<float> packed;
  typename Layer::Output out;
  typename Layer::PackedOutput packed_out;
  typename Layer::Workspace work;
  typename Layer::Tape tape;
  typename Layer::Gradients gradients;
};

// h, and for the LSTM a c of the same sizes.
template <class Layer>
typename Layer::State state_of(Index rows, Index batch, Index units) {
  if constexpr (has_c<Layer>) {
    return {Tensor3<float>(rows, batch, units), Tensor3<float>(rows, batch, units)};
  } else {
    return {Tensor3<float>(rows, batch, units)};
  }
}

TYPED_TEST(LayerErrors, InputSize) {
  const std::string text = "input.size(-1) must be equal to input_size. Expected 3, got 7";
  for (const bool batch_first : {false, true}) {
    Trained<TypeParam> t({.input_size = 3, .hidden_size = 5, .batch_first = batch_first});
    t.refuses_forward(text, Tensor3<float>(4, 2, 7));
    // PyTorch looks at the input, then at the state, then at the time steps.
    t.refuses_forward(text, Tensor3<float>(4, 2, 7), state_of<TypeParam>(9, 9, 9));
    t.refuses_forward(text, batch_first ? Tensor3<float>(2, 0, 7) : Tensor3<float>(0, 2, 7));
  }
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5});
  t.refuses(text, [&] { t.layer.forward(RowMatrix<float>(4, 7)); });
  t.refuses(text, [&] { t.layer.forward(RowMatrix<float>(4, 7), {}, t.tape); });
  t.refuses(text, [&] { t.layer.forward(Eigen::MatrixXf(7, 4)); });
  t.refuses(text, [&] { t.layer.forward(Eigen::MatrixXf(7, 4), {}, t.tape); });
  const auto wide = recur::pack_padded_sequence(Tensor3<float>(4, 2, 7), Lengths{4, 2});
  t.refuses(text, [&] { t.layer.forward(wide, {}, t.packed_out, t.work); });
  t.refuses(text, [&] { t.layer.forward(wide, {}, t.packed_out, t.tape); });
}

TYPED_TEST(LayerErrors, StateSizes) {
  const std::string hidden = has_c<TypeParam> ? "hidden[0]" : "hidden";
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const std::string expected = "Expected " + hidden + " size (2, 2, 5), got ";
  t.refuses_forward(expected + "[3, 2, 5]", t.x, state_of<TypeParam>(3, 2, 5));
  t.refuses_forward(expected + "[2, 3, 5]", t.x, state_of<TypeParam>(2, 3, 5));
  t.refuses_forward(expected + "[2, 2, 6]", t.x, state_of<TypeParam>(2, 2, 6));
  t.refuses_forward(expected + "[3, 2, 5]", Tensor3<float>(0, 2, 3), state_of<TypeParam>(3, 2, 5));
  const auto wrong = state_of<TypeParam>(2, 3, 5);
  t.refuses(expected + "[2, 3, 5]",
            [&] { t.layer.forward(t.packed, wrong, t.packed_out, t.work); });
  t.refuses(expected + "[2, 3, 5]",
            [&] { t.layer.forward(t.packed, wrong, t.packed_out, t.tape); });

  Trained<TypeParam> deep(
      {.input_size = 3, .hidden_size = 5, .batch_first = true, .bidirectional = true});
  deep.refuses_forward(expected + "[1, 2, 5]", deep.x, state_of<TypeParam>(1, 2, 5));
  deep.refuses_forward(expected + "[2, 4, 5]", deep.x, state_of<TypeParam>(2, 4, 5));
}

// One sequence stands for a batch of one: PyTorch's texts say so too.
TYPED_TEST(LayerErrors, StateSizesUnbatched) {
  using Rows = typename TypeParam::template MatrixState<RowMatrix<float>>;
  using Columns = typename TypeParam::template MatrixState<Eigen::MatrixXf>;
  const std::string hidden = has_c<TypeParam> ? "hidden[0]" : "hidden";
  const std::string expected = "Expected " + hidden + " size (2, 1, 5), got ";
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const RowMatrix<float> x = RowMatrix<float>::Zero(4, 3);
  const Eigen::MatrixXf x_columns = x.transpose();
  const Index sizes[][2] = {{3, 5}, {2, 6}, {1, 5}, {4, 5}};  // the last: as for a batch of two
  for (const auto& [rows, units] : sizes) {
    const std::string text =
        expected + "[" + std::to_string(rows) + ", 1, " + std::to_string(units) + "]";
    Rows by_rows;
    Columns by_columns;
    by_rows.h.setZero(rows, units);
    by_columns.h.setZero(units, rows);
    t.refuses(text, [&] { t.layer.forward(x, by_rows); });
    t.refuses(text, [&] { t.layer.forward(x, by_rows, t.tape); });
    t.refuses(text, [&] { t.layer.forward(x_columns, by_columns); });
    t.refuses(text, [&] { t.layer.forward(x_columns, by_columns, t.tape); });
  }
}

TEST(LSTMErrors, CellStateSizes) {
  Trained<LSTM> t({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const Tensor3<float> good(2, 2, 5);
  const std::string expected = "Expected hidden[1] size (2, 2, 5), got ";
  t.refuses_forward(expected + "[3, 2, 5]", t.x, {good, Tensor3<float>(3, 2, 5)});
  t.refuses_forward(expected + "[2, 3, 5]", t.x, {good, Tensor3<float>(2, 3, 5)});
  t.refuses_forward(expected + "[2, 2, 6]", t.x, {{}, Tensor3<float>(2, 2, 6)});
  t.refuses_forward("Expected hidden[0] size (2, 2, 5), got [2, 2, 6]", t.x,
                    {Tensor3<float>(2, 2, 6), Tensor3<float>(2, 2, 7)});
  t.refuses("Expected hidden[1] size (2, 1, 5), got [2, 1, 6]", [&] {
    t.layer.forward(RowMatrix<float>(4, 3), {RowMatrix<float>(2, 5), RowMatrix<float>(2, 6)});
  });

  Trained<LSTM> projected({.input_size = 3, .hidden_size = 5, .num_layers = 2, .proj_size = 2});
  const Tensor3<float> narrow(2, 2, 2);
  projected.refuses_forward("Expected hidden[0] size (2, 2, 2), got [2, 2, 5]", projected.x,
                            {good, good});
  projected.refuses_forward("Expected hidden[1] size (2, 2, 5), got [2, 2, 2]", projected.x,
                            {narrow, narrow});
}

TYPED_TEST(LayerErrors, NoTimeSteps) {
  const std::string text = "Expected sequence length to be larger than 0 in RNN";
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5});
  t.refuses_forward(text, Tensor3<float>(0, 2, 3));
  t.refuses_forward(text, Tensor3<float>(0, 0, 3));
  t.refuses(text, [&] { t.layer.forward(RowMatrix<float>(0, 3)); });
  t.refuses(text, [&] { t.layer.forward(Eigen::MatrixXf(3, 0), {}, t.tape); });
  Trained<TypeParam> batch_first({.input_size = 3, .hidden_size = 5, .batch_first = true});
  batch_first.refuses_forward(text, Tensor3<float>(2, 0, 3));
}

TYPED_TEST(LayerErrors, LengthsOfSequences) {
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5});
  const auto refuses = [&](const std::string& text, const Lengths& lengths) {
    t.refuses(text, [&] { t.layer.forward(t.x, lengths, {}, t.out, t.work); });
    t.refuses(text, [&] { t.layer.forward(t.x, lengths, {}, t.out, t.tape); });
  };
  const std::string number = "Expected `len(lengths)` to be equal to batch_size, but got ";
  refuses(number + "3 (batch_size=2)", {4, 4, 4});
  refuses(number + "1 (batch_size=2)", {4});
  refuses(number + "0 (batch_size=2)", {});
  const std::string range = "expected 0 to 4 (the time steps of the input), got ";
  refuses("lengths[1]: " + range + "5", {4, 5});
  refuses("lengths[0]: " + range + "-1", {-1, 4});
}

// PyTorch finds out at run time how many dimensions there are ("LSTM: Expected input to be 2D or
// 3D, got 4D instead", "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor"); here
// the types do not go together.
template <class Layer, class X, class State>
concept CanForward = requires(const Layer& layer, const X& x, const State& state) {
  layer.forward(x, state);
};

TYPED_TEST(LayerErrors, OtherDimensionsDoNotCompile) {
  using Matrix = RowMatrix<float>;
  using Tensor = Tensor3<float>;
  using MatrixState = typename TypeParam::template MatrixState<Matrix>;
  using State = typename TypeParam::State;
  static_assert(CanForward<TypeParam, Tensor, State>);
  static_assert(CanForward<TypeParam, Matrix, MatrixState>);
  static_assert(!CanForward<TypeParam, Matrix, State>);
  static_assert(!CanForward<TypeParam, Tensor, MatrixState>);
  static_assert(!CanForward<TypeParam, std::vector<float>, State>);
  static_assert(!CanForward<TypeParam, std::vector<Tensor>, State>);
}

TYPED_TEST(LayerErrors, Gradients) {
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5, .num_layers = 2});
  const auto refuses = [&](const std::string& text, const Tensor3<float>& d_output,
                           const typename TypeParam::State& d_state) {
    t.refuses(text, [&] { t.layer.backward(t.tape, d_output, d_state, t.gradients); });
  };
  const std::string output = "Expected d_output size (4, 2, 5), got ";
  refuses(output + "[4, 2, 6]", Tensor3<float>(4, 2, 6), {});
  refuses(output + "[2, 4, 5]", Tensor3<float>(2, 4, 5), {});
  refuses(output + "[3, 2, 5]", Tensor3<float>(3, 2, 5), {});
  const std::string h = "Expected d_state.h size (2, 2, 5), got ";
  refuses(h + "[1, 2, 5]", {}, state_of<TypeParam>(1, 2, 5));
  refuses(h + "[2, 3, 5]", t.out.output, state_of<TypeParam>(2, 3, 5));
  if constexpr (has_c<TypeParam>) {
    refuses("Expected d_state.c size (2, 2, 5), got [2, 2, 6]", {}, {{}, Tensor3<float>(2, 2, 6)});
  }
  const std::string name = name_of<TypeParam>;
  t.refuses(name + ": the tape holds a batch of 2, expected d_output of three dimensions, got two",
            [&] { t.layer.backward(t.tape, RowMatrix<float>(4, 5)); });
  t.refuses(name + "::backward: the tape is of a padded batch, and so must d_output be",
            [&] { t.layer.backward(t.tape, t.packed_out.output); });
}

TYPED_TEST(LayerErrors, GradientsOfAnotherLayer) {
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5});
  const std::string name = name_of<TypeParam>;
  const std::string rows = has_c<TypeParam> ? "20" : std::is_same_v<TypeParam, GRU> ? "15" : "5";
  t.gradients.parameters = TypeParam({.input_size = 4, .hidden_size = 5}).parameters();
  t.refuses("gradient of weight_ih_l0: expected (" + rows + ", 3), got (" + rows + ", 4)",
            [&] { t.layer.backward(t.tape, t.out.output, {}, t.gradients); });
  t.gradients.parameters =
      TypeParam({.input_size = 3, .hidden_size = 5, .num_layers = 2}).parameters();
  t.refuses(name + "::backward: expected gradients of 1 layers and directions, got 2",
            [&] { t.layer.backward(t.tape, t.out.output, {}, t.gradients); });
  t.gradients.parameters =
      TypeParam({.input_size = 3, .hidden_size = 5, .bias = false}).parameters();
  t.refuses("gradient of bias_ih_l0: expected (" + rows + ", 1), got (0, 1)",
            [&] { t.layer.backward(t.tape, t.out.output, {}, t.gradients); });
}

TYPED_TEST(LayerErrors, TapeOfAnotherLayer) {
  Trained<TypeParam> t({.input_size = 3, .hidden_size = 5});
  const std::string name = name_of<TypeParam>;
  const auto refuses = [&](const std::string& text) {
    t.refuses(name + "::backward: " + text, [&] { t.layer.backward(t.tape, {}, {}, t.gradients); });
  };
  t.tape = typename TypeParam::Tape();
  refuses("expected a tape of 1 layers, got 0 (call forward with this tape first)");
  TypeParam({.input_size = 3, .hidden_size = 5, .num_layers = 2}).forward(t.x, {}, t.tape);
  refuses("expected a tape of 1 layers, got 2 (call forward with this tape first)");
  TypeParam({.input_size = 3, .hidden_size = 4}).forward(t.x, {}, t.tape);
  refuses("the tape was recorded by a layer of other sizes");
  TypeParam({.input_size = 3, .hidden_size = 5, .bidirectional = true}).forward(t.x, {}, t.tape);
  refuses("the tape was recorded by a layer of other sizes");
}

// The same sizes, and even the same number of slots, but no c.
TEST(LSTMErrors, TapeOfAGRU) {
  Trained<LSTM> t({.input_size = 3, .hidden_size = 5});
  GRU({.input_size = 3, .hidden_size = 5}).forward(t.x, {}, t.tape);
  t.refuses("LSTM::backward: the tape was recorded by a layer of other sizes",
            [&] { t.layer.backward(t.tape, {}, {}, t.gradients); });
}

}  // namespace
}  // namespace errors_test
