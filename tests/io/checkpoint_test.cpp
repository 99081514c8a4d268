// SPDX-License-Identifier: MIT
#include "recur/io/checkpoint.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/nn/linear.hpp"
#include "recur/nn/loss.hpp"
#include "recur/optim/adam.hpp"
#include "recur/optim/sgd.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

namespace checkpoint_test {
namespace {

using recur::Generator;
using recur::Index;
using recur::load_checkpoint;
using recur::save_checkpoint;
using recur::test::append_bytes;
using recur::test::bytes_of;
using recur::test::TemporaryFolder;

template <class Scalar>
struct Model {
  recur::LSTM<Scalar> lstm;
  recur::Linear<Scalar> head;

  explicit Model(std::uint64_t seed) : Model(Generator(seed)) {}
  static auto members(auto& self) { return recur::members("lstm", self.lstm, "head", self.head); }

 private:
  explicit Model(Generator generator)
      : lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.4}, generator),
        head({.in_features = 5, .out_features = 2}, generator) {}
};

// A training with everything that has a state of its own: dropout, the order of the samples, a
// recurrent state that goes from step to step, a learning rate that falls.
template <class Optimizer>
struct Training {
  using Scalar = typename Optimizer::Scalar;

  Model<Scalar> model;
  Optimizer optimizer;
  typename recur::LSTM<Scalar>::Tape tape;  // its generator draws the masks
  typename recur::LSTM<Scalar>::State state;
  Generator shuffle;
  std::vector<Index> order;
  std::int64_t step_count = 0;
  double loss_sum = 0;

  Training(std::uint64_t seed, const typename Optimizer::Options& options)
      : model(seed), optimizer(options), shuffle(seed + 1) {
    tape.generator = Generator(seed + 2);
  }

  void step() {
    constexpr Index samples = 6;
    if (step_count % 3 == 0) {
      order = shuffle.permutation(samples);
      optimizer.options().lr *= 0.9;
    }
    const Index first = order[static_cast<std::size_t>(step_count % 3)];
    Generator data(static_cast<std::uint64_t>(100 + first));
    const auto x = recur::test::random_tensor<Scalar>(data, 4, 2, 3);
    const auto target = recur::test::random_matrix<Scalar>(data, 2, 2);

    auto [output, next] = model.lstm.forward(x, state, tape);
    state = next;
    const recur::RowMatrix<Scalar> last = output[3];
    const auto loss = recur::mse_loss(model.head.forward(last), target);
    const auto d_head = model.head.backward(last, loss.d_input);
    recur::Tensor3<Scalar> d_output(4, 2, 5);
    d_output[3] = d_head.input;
    const auto d_lstm = model.lstm.backward(tape, d_output);
    optimizer.step(model, d_lstm.parameters, d_head.parameters);
    loss_sum += static_cast<double>(loss.value) + 1e-3 * shuffle.normal();
    ++step_count;
  }

  void save(const std::filesystem::path& path) const {
    save_checkpoint(path, "model", model, "optimizer", optimizer, "dropout", tape.generator,
                    "shuffle", shuffle, "order", order, "state", state, "step", step_count,
                    "loss_sum", loss_sum);
  }
  void load(const std::filesystem::path& path) {
    load_checkpoint(path, "model", model, "optimizer", optimizer, "dropout", tape.generator,
                    "shuffle", shuffle, "order", order, "state", state, "step", step_count,
                    "loss_sum", loss_sum);
  }

  // Everything there is, bit by bit.
  std::string bytes() const {
    std::string all = bytes_of(model.lstm.parameters(), model.head.parameters(), tape.generator,
                               shuffle, order, state, step_count, loss_sum, optimizer.options().lr);
    optimizer.visit_state([&](const std::string& name, const auto& array) {
      all += name;
      append_bytes(all, array);
    });
    if constexpr (requires { optimizer.step_count(); }) {
      append_bytes(all, optimizer.step_count());
    }
    return all;
  }
};

template <class Optimizer>
void expect_same_as_without_a_stop(const typename Optimizer::Options& options) {
  const TemporaryFolder folder;
  for (const int stop : {0, 1, 5}) {
    Training<Optimizer> whole(1, options);
    for (int k = 0; k < stop; ++k) {
      whole.step();
    }
    const std::string at_stop = whole.bytes();
    whole.save(folder / "run.safetensors");

    Training<Optimizer> resumed(50, {});  // other weights, generators, options
    for (int k = 0; k < 2; ++k) {
      resumed.step();
    }
    EXPECT_NE(resumed.bytes(), at_stop);
    resumed.load(folder / "run.safetensors");
    EXPECT_EQ(resumed.bytes(), at_stop) << "stopped after " << stop;
    for (int k = stop; k < 12; ++k) {
      whole.step();
      resumed.step();
      ASSERT_EQ(resumed.loss_sum, whole.loss_sum) << "step " << k << ", stopped after " << stop;
    }
    EXPECT_EQ(resumed.bytes(), whole.bytes()) << "stopped after " << stop;
  }
}

TEST(Checkpoint, SGDGoesOnToTheSameBits) {
  expect_same_as_without_a_stop<recur::SGD<float>>({.lr = 0.1});
  expect_same_as_without_a_stop<recur::SGD<float>>(
      {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true});
  expect_same_as_without_a_stop<recur::SGD<double>>({.lr = 0.1, .momentum = 0.9, .dampening = 0.5});
}

TEST(Checkpoint, AdamGoesOnToTheSameBits) {
  expect_same_as_without_a_stop<recur::Adam<float>>({.lr = 0.01});
  expect_same_as_without_a_stop<recur::Adam<double>>(
      {.lr = 0.01, .betas = {0.8, 0.99}, .weight_decay = 0.1, .amsgrad = true});
}

TEST(Checkpoint, AdamWGoesOnToTheSameBits) {
  expect_same_as_without_a_stop<recur::AdamW<float>>({.lr = 0.01});
  expect_same_as_without_a_stop<recur::AdamW<double>>({.lr = 0.01, .amsgrad = true});
}

// amsgrad switched off in the middle: its maxima stay, and wait to be switched on.
TEST(Checkpoint, KeepsMomentsThatAreNotInUse) {
  const TemporaryFolder folder;
  Training<recur::Adam<float>> whole(1, {.amsgrad = true});
  whole.step();
  whole.optimizer.options().amsgrad = false;
  whole.step();
  whole.save(folder / "run.safetensors");
  Training<recur::Adam<float>> resumed(2, {});
  resumed.load(folder / "run.safetensors");
  EXPECT_EQ(resumed.bytes(), whole.bytes());
  EXPECT_FALSE(resumed.optimizer.options().amsgrad);
}

TEST(Checkpoint, ModelIsReadAlone) {
  const TemporaryFolder folder;
  Training<recur::AdamW<float>> training(1, {});
  training.step();
  training.save(folder / "run.safetensors");
  Model<float> alone(2);
  recur::load_state_dict(alone, folder / "run.safetensors", "model");
  EXPECT_EQ(bytes_of(alone.lstm.parameters()), bytes_of(training.model.lstm.parameters()));
}

TEST(Checkpoint, NumbersAndArraysOfAllKinds) {
  const TemporaryFolder folder;
  const auto path = folder / "parts.safetensors";
  const bool yes = true;
  const std::uint8_t small = 200;
  const int number = -7;
  const std::uint64_t large = ~std::uint64_t{0};
  const float real = 0.1F;
  const std::vector<double> losses{1.5, -0.0};
  const recur::Vector<float> vector = recur::Vector<float>::LinSpaced(3, 1, 3);
  const recur::RowMatrix<double> matrix = recur::RowMatrix<double>::Random(2, 3);
  const Eigen::Matrix<float, 2, 2, Eigen::RowMajor> fixed{{1, 2}, {3, 4}};
  recur::Tensor3<float> tensor(2, 1, 2);
  tensor.rows().setRandom();
  const recur::GRU<float>::State state{tensor};
  save_checkpoint(path, "yes", yes, "small", small, "number", number, "large", large, "real", real,
                  "losses", losses, "vector", vector, "matrix", matrix, "fixed", fixed, "tensor",
                  tensor, "state", state);

  bool yes_read = false;
  std::uint8_t small_read = 0;
  int number_read = 0;
  std::uint64_t large_read = 0;
  float real_read = 0;
  std::vector<double> losses_read{1, 2, 3};
  recur::Vector<float> vector_read;
  recur::RowMatrix<double> matrix_read;
  Eigen::Matrix<float, 2, 2, Eigen::RowMajor> fixed_read;
  recur::Tensor3<float> tensor_read;
  recur::GRU<float>::State state_read;
  load_checkpoint(path, "yes", yes_read, "small", small_read, "number", number_read, "large",
                  large_read, "real", real_read, "losses", losses_read, "vector", vector_read,
                  "matrix", matrix_read, "fixed", fixed_read, "tensor", tensor_read, "state",
                  state_read);
  EXPECT_EQ(yes_read, yes);
  EXPECT_EQ(small_read, small);
  EXPECT_EQ(number_read, number);
  EXPECT_EQ(large_read, large);
  EXPECT_EQ(real_read, real);
  EXPECT_EQ(bytes_of(losses_read), bytes_of(losses));
  EXPECT_EQ(vector_read, vector);
  EXPECT_EQ(matrix_read, matrix);
  EXPECT_EQ(fixed_read, fixed);
  EXPECT_EQ(bytes_of(tensor_read, state_read), bytes_of(tensor, state));
}

// ---- What is refused, with everything as before -------------------------------------------------

template <class Optimizer>
void expect_refused(Training<Optimizer>& training, const std::filesystem::path& path,
                    const std::string& text) {
  const std::string before = training.bytes();
  EXPECT_ERROR(training.load(path), text);
  EXPECT_EQ(training.bytes(), before) << text;
}

TEST(Checkpoint, AnotherOptimiserIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "run.safetensors";
  Training<recur::Adam<float>> adam(1, {});
  Training<recur::AdamW<float>> adamw(2, {});
  Training<recur::SGD<float>> sgd(3, {.momentum = 0.9});
  adam.step();
  adamw.step();
  sgd.step();
  adam.save(path);
  expect_refused(adamw, path, R"("optimizer": expected the state of AdamW, got that of "Adam")");
  expect_refused(sgd, path, R"("optimizer": expected the state of SGD, got that of "Adam")");
  sgd.save(path);
  expect_refused(adam, path, R"("optimizer": expected the state of Adam, got that of "SGD")");
}

TEST(Checkpoint, AnotherModelIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "run.safetensors";
  Training<recur::Adam<float>> training(1, {});
  training.step();
  training.save(path);

  recur::Linear<float> wide({.in_features = 3, .out_features = 5});
  recur::Adam<float> adam;
  adam.step(wide, recur::zero_gradients(wide));
  const std::string before = bytes_of(wide.parameters());
  EXPECT_ERROR(load_checkpoint(path, "model", wide), "Missing key(s) in state_dict");

  recur::Linear<float> head({.in_features = 5, .out_features = 2});
  save_checkpoint(path, "model", head);
  EXPECT_ERROR(load_checkpoint(path, "model", wide),
               R"(size mismatch for "model.weight": expected (5, 3), got (2, 5))");
  EXPECT_ERROR(load_checkpoint(path, "model", wide, "optimizer", adam), "size mismatch");
  EXPECT_EQ(bytes_of(wide.parameters()), before);

  Training<recur::Adam<double>> doubles(1, {});
  doubles.save(path);
  expect_refused(training, path, R"("model.lstm.weight_ih_l0": expected F32, got F64)");
  EXPECT_ERROR(save_checkpoint(path, "head", head, "optimizer", training.optimizer),
               R"(checkpoint: "optimizer" is the optimiser of another model)");
}

// The last part does not fit: those before it stay, too.
TEST(Checkpoint, EveryPartFitsOrNoneIsWritten) {
  const TemporaryFolder folder;
  const auto path = folder / "run.safetensors";
  Training<recur::Adam<float>> training(1, {});
  training.step();
  const auto save = [&](const auto&... last) {
    save_checkpoint(path, "model", training.model, "optimizer", training.optimizer, "dropout",
                    training.tape.generator, "shuffle", training.shuffle, "order", training.order,
                    "state", training.state, "step", training.step_count, last...);
  };
  Training<recur::Adam<float>> other(2, {});
  other.step();
  save();
  expect_refused(other, path, R"("loss_sum": expected this tensor, got none)");
  save("loss_sum", std::int64_t{3});
  expect_refused(other, path, R"("loss_sum": expected F64, got I64)");
  save("loss_sum", std::vector<double>{3});
  expect_refused(other, path, R"("loss_sum": expected shape (), got (1,))");
  save("loss_sum", 3.0, "more", 1);
  expect_refused(other, path, R"("more": unexpected: no part of this training has use for it)");
  save("loss_sum", 3.0);
  other.load(path);
  EXPECT_EQ(other.loss_sum, 3.0);
}

TEST(Checkpoint, NothingIsSavedUnderNamesThatDoNotGoTogether) {
  const TemporaryFolder folder;
  const int one = 1;
  EXPECT_ERROR(save_checkpoint(folder / "parts.safetensors", "a", one, "a.b", one),
               R"(checkpoint: the names "a" and "a.b" do not go together)");
  EXPECT_EQ(folder.count(), 0U);
}

TEST(Checkpoint, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "run.safetensors";
  recur::Linear<float> model({.in_features = 2, .out_features = 1});
  recur::Adam<float> adam;
  adam.step(model, recur::zero_gradients(model));
  int step = 3;
  save_checkpoint(path, "model", model, "adam", adam, "step", step);
  const std::string before = bytes_of(model.parameters(), step);
  for (auto size = std::filesystem::file_size(path); size > 0; --size) {
    std::filesystem::resize_file(path, size - 1);
    EXPECT_ERROR(load_checkpoint(path, "model", model, "adam", adam, "step", step),
                 "run.safetensors: ");
  }
  EXPECT_EQ(bytes_of(model.parameters(), step), before);
}

}  // namespace
}  // namespace checkpoint_test
