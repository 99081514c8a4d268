// SPDX-License-Identifier: MIT
//
// The promise of Recurrent (layers/stack.hpp): a sequence gives the same bits whatever stands
// beside it, however many threads there are, with a tape or without, at once or step by step.
#include <array>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/pass_data.hpp"

namespace determinism_test {
namespace {

using recur::Index;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::has_c;
using recur::test::PassData;

class Threads {
 public:
  explicit Threads(int count) : before_(recur::max_threads()) { recur::set_num_threads(count); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { recur::set_num_threads(before_); }

 private:
  int before_;
};

// Sequences [first, first + count) of an array (·, B, ·) or a state.
template <class Scalar>
recur::Tensor3View<const Scalar> sequences(const Tensor3<Scalar>& tensor, Index first,
                                           Index count) {
  return tensor.view().narrow(1, first, count);
}
template <class Layer>
typename Layer::StateView state_of(const typename Layer::State& state, Index first, Index count) {
  if constexpr (has_c<Layer>) {
    return {sequences(state.h, first, count), sequences(state.c, first, count)};
  } else {
    return {sequences(state.h, first, count)};
  }
}

template <class Layer>
struct Passes {
  typename Layer::Output out;
  typename Layer::Gradients gradients;

  // Everything that belongs to one sequence of the batch.
  std::string of_sequence(Index b) const {
    return bytes_of(sequences(out.output, b, 1), state_of<Layer>(out.state, b, 1),
                    sequences(gradients.input, b, 1), state_of<Layer>(gradients.state, b, 1));
  }
};

// Both passes on a part of the data's batch; inference must give what training gives.
template <class Layer>
Passes<Layer> run(const Layer& layer, const PassData<Layer>& data, Index first, Index count) {
  Passes<Layer> result;
  typename Layer::Tape tape;
  const auto x = sequences(data.x, first, count);
  const auto initial = state_of<Layer>(data.initial, first, count);
  result.out = layer.forward(x, initial, tape);
  layer.backward(tape, sequences(data.d_output, first, count),
                 state_of<Layer>(data.d_state, first, count), result.gradients);
  EXPECT_TRUE(bytes_of(layer.forward(x, initial)) == bytes_of(result.out)) << "without a tape";
  return result;
}

// Runs parts of a batch with 1, 2 and 3 threads, from its start and from its end, and compares
// every sequence with itself alone, and the gradients by the parameters between threads.
template <class Layer>
void expect_same_bits(const Layer& layer, const PassData<Layer>& data,
                      const std::vector<Index>& batch_sizes) {
  const Index batch = data.x.size(1);
  std::vector<std::string> alone;
  for (Index b = 0; b < batch; ++b) {
    alone.push_back(run(layer, data, b, 1).of_sequence(0));
  }
  for (const Index count : batch_sizes) {
    const Index first = count % 2 == 0 ? 0 : batch - count;
    std::string parameters;
    for (const int threads : {1, 2, 3}) {
      const Threads use(threads);
      const auto passes = run(layer, data, first, count);
      for (Index b = 0; b < count; ++b) {
        ASSERT_TRUE(passes.of_sequence(b) == alone[static_cast<std::size_t>(first + b)])
            << "sequence " << b << " of " << count << ", " << threads << " threads";
      }
      const std::string gradients = bytes_of(passes.gradients.parameters);
      if (parameters.empty()) {
        parameters = gradients;
      }
      ASSERT_TRUE(gradients == parameters)
          << "gradients by parameters, batch of " << count << ", " << threads << " threads";
    }
  }
}

template <class Layer>
Layer make(Index hidden, Index layers, bool bidirectional) {
  typename Layer::Options options;
  options.input_size = 7;
  options.hidden_size = hidden;
  options.num_layers = layers;
  options.bidirectional = bidirectional;
  if (has_c<Layer> && bidirectional) {
    options.proj_size = hidden / 2;
  }
  recur::Generator generator(4);
  return Layer(options, generator);
}

template <class Layer>
class Determinism : public testing::Test {};

using Layers = testing::Types<recur::LSTM<float>, recur::LSTM<double>, recur::GRU<float>,
                              recur::GRU<double>, recur::RNN<float>, recur::RNN<double>>;

struct LayerName {
  template <class Layer>
  static std::string GetName(int k) {
    const char* const cells[] = {"LSTM", "GRU", "RNN"};
    return std::string(cells[k / 2]) +
           (std::is_same_v<typename Layer::Scalar, float> ? "Float" : "Double");
  }
};

TYPED_TEST_SUITE(Determinism, Layers, LayerName);

TYPED_TEST(Determinism, EveryBatchSizePositionAndNumberOfThreads) {
  std::vector<Index> batch_sizes;
  for (Index count = 1; count <= 70; ++count) {
    batch_sizes.push_back(count);
  }
  for (const Index hidden : {5, 16, 33, 100}) {
    SCOPED_TRACE(hidden);
    const auto layer = make<TypeParam>(hidden, 1, false);
    expect_same_bits(layer, PassData<TypeParam>(layer, 4, 70), batch_sizes);
  }
}

// So long that one sequence is done in one chunk of steps, and a batch in several.
TYPED_TEST(Determinism, DeepBidirectionalAndLong) {
  const auto layer = make<TypeParam>(48, 2, true);
  const PassData<TypeParam> data(layer, 60, 70);
  recur::Schedule schedule;
  schedule.assign(60, 70);
  using Scalar = typename TypeParam::Scalar;
  ASSERT_LT(recur::layers::chunk_steps<Scalar>(schedule, 48), 60);
  expect_same_bits(layer, data, {2, 7, 13, 24, 39, 70});
}

// So many sequences of so few units that they go backwards in two groups.
TYPED_TEST(Determinism, GroupsOfSequences) {
  for (const Index hidden : {10, 33}) {
    SCOPED_TRACE(hidden);
    const auto layer = make<TypeParam>(hidden, 2, false);
    expect_same_bits(layer, PassData<TypeParam>(layer, 40, 70), {15, 16, 17, 31, 70});
  }
}

// So many units that the threads share those of every step, of a few sequences: of fewer where the
// weights stay in the second-level cache.
TYPED_TEST(Determinism, UnitsSharedByTheThreads) {
  for (const Index hidden : has_c<TypeParam> ? std::array{128, 220} : std::array{256, 420}) {
    SCOPED_TRACE(hidden);
    const auto layer = make<TypeParam>(hidden, 2, false);
    expect_same_bits(layer, PassData<TypeParam>(layer, 9, 30), {1, 2, 7, 8, 11, 12, 23, 24, 30});
  }
}

// Threads share the units of many sequences where the weights are too large for any cache of
// theirs.
TEST(DeterminismOfGreatLayers, UnitsOfManySequences) {
  const auto layer = make<recur::LSTM<float>>(400, 1, false);
  expect_same_bits(layer, PassData<recur::LSTM<float>>(layer, 3, 40), {1, 7, 25, 40});
  const auto gru = make<recur::GRU<float>>(450, 1, false);
  expect_same_bits(gru, PassData<recur::GRU<float>>(gru, 3, 40), {1, 30, 40});
}

TEST(DeterminismOfGreatLayers, ProductsInSeveralBlocks) {
  const auto layer = make<recur::RNN<float>>(1100, 1, false);
  ASSERT_GT(layer.hidden_size(),
            recur::kernels::detail::terms_in_one_go(recur::kernels::SumOf::scan).most);
  expect_same_bits(layer, PassData<recur::RNN<float>>(layer, 2, 8), {1, 2, 7});
}

// A sequence in pieces, the state handed on, and back again the gradient by the state.
TYPED_TEST(Determinism, StepByStepEqualsTheWholeSequence) {
  for (const Index hidden : {5, 16, 33, 100}) {
    for (const Index batch : {1, 3, 16}) {
      SCOPED_TRACE(std::to_string(hidden) + " units, batch of " + std::to_string(batch));
      const auto layer = make<TypeParam>(hidden, 2, false);
      const Index steps = 9;
      const PassData<TypeParam> data(layer, steps, batch);
      const auto whole = run(layer, data, 0, batch);

      std::vector<typename TypeParam::Tape> tapes(static_cast<std::size_t>(steps));
      auto state = data.initial;
      auto streamed = data.initial;
      for (Index t = 0; t < steps; ++t) {
        const auto x = data.x.view().narrow(0, t, 1);
        const auto expected = bytes_of(whole.out.output.view().narrow(0, t, 1));
        const auto out = layer.forward(x, state, tapes[static_cast<std::size_t>(t)]);
        const auto stream_out = layer.forward(x, streamed);
        ASSERT_TRUE(bytes_of(out.output) == expected) << "step " << t;
        ASSERT_TRUE(bytes_of(stream_out.output) == expected) << "step " << t << " without a tape";
        state = out.state;
        streamed = stream_out.state;
      }
      EXPECT_TRUE(bytes_of(state) == bytes_of(whole.out.state));
      EXPECT_TRUE(bytes_of(streamed) == bytes_of(whole.out.state));

      auto d_state = data.d_state;
      for (Index t = steps; t-- > 0;) {
        const auto gradients = layer.backward(tapes[static_cast<std::size_t>(t)],
                                              data.d_output.view().narrow(0, t, 1), d_state);
        ASSERT_TRUE(bytes_of(gradients.input) ==
                    bytes_of(whole.gradients.input.view().narrow(0, t, 1)))
            << "step " << t;
        d_state = gradients.state;
      }
      EXPECT_TRUE(bytes_of(d_state) == bytes_of(whole.gradients.state));
    }
  }
}

// Every sequence alone against all of them together.
template <class Layer>
void expect_same_bits_with_lengths(const Layer& layer, const std::vector<Index>& lengths) {
  const auto batch = static_cast<Index>(lengths.size());
  const PassData<Layer> data(layer, 40, batch);
  std::string parameters;
  for (const int threads : {1, 2, 3}) {
    const Threads use(threads);
    Passes<Layer> all;
    typename Layer::Tape tape;
    all.out = layer.forward(data.x, lengths, data.initial, tape);
    all.gradients = layer.backward(tape, data.d_output, data.d_state);
    if (parameters.empty()) {
      parameters = bytes_of(all.gradients.parameters);
    }
    EXPECT_TRUE(bytes_of(all.gradients.parameters) == parameters) << threads << " threads";
    for (Index b = 0; b < batch; ++b) {
      const Index length = lengths[static_cast<std::size_t>(b)];
      if (length == 0) {
        continue;
      }
      typename Layer::Tape own;
      const auto steps = [&](const auto& tensor) {
        return sequences(tensor, b, 1).narrow(0, 0, length);
      };
      const auto out = layer.forward(steps(data.x), state_of<Layer>(data.initial, b, 1), own);
      const auto gradients =
          layer.backward(own, steps(data.d_output), state_of<Layer>(data.d_state, b, 1));
      ASSERT_TRUE(bytes_of(out.output, out.state, gradients.input, gradients.state) ==
                  bytes_of(steps(all.out.output), state_of<Layer>(all.out.state, b, 1),
                           steps(all.gradients.input), state_of<Layer>(all.gradients.state, b, 1)))
          << "sequence " << b << ", " << threads << " threads";
    }
  }
}

// Among sequences of other lengths, in any order.
TYPED_TEST(Determinism, LengthsOfTheOthers) {
  const std::vector<Index> lengths = {3, 40, 1, 17, 40, 0, 8, 39, 22, 2, 5, 40, 11, 31, 4};
  for (const bool bidirectional : {false, true}) {
    SCOPED_TRACE(bidirectional ? "two directions" : "one direction");
    // Of so many units that the sequences are shared by the threads.
    expect_same_bits_with_lengths(make<TypeParam>(bidirectional ? 33 : 90, 2, bidirectional),
                                  lengths);
  }
}

// So many of so few units that each has a lane, until few are left.
TYPED_TEST(Determinism, LengthsOfManySequencesOfFewUnits) {
  std::vector<Index> lengths(45, 40);
  for (std::size_t k = 0; k < lengths.size(); k += 2) {
    lengths[k] = static_cast<Index>(k) % 41;
  }
  for (const bool bidirectional : {false, true}) {
    SCOPED_TRACE(bidirectional ? "two directions" : "one direction");
    expect_same_bits_with_lengths(make<TypeParam>(6, 2, bidirectional), lengths);
  }
}

}  // namespace
}  // namespace determinism_test
