// SPDX-License-Identifier: MIT
#include "recur/io/self_test.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"
#include "recur/nn/embedding.hpp"
#include "recur/nn/linear.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

namespace self_test_test {
namespace {

using recur::Generator;
using recur::Index;
using recur::load_with_check;
using recur::RowMatrix;
using recur::save_with_check;
using recur::Tensor3;
using recur::test::bytes_of;
using recur::test::random_matrix;
using recur::test::random_tensor;
using recur::test::TemporaryFolder;

// A file with something changed, in its place or elsewhere.
void rewrite(const std::filesystem::path& path, const std::filesystem::path& to,
             const auto& change) {
  std::map<std::string, std::pair<std::vector<Index>, std::vector<double>>> tensors;
  std::map<std::string, std::string> dtypes;
  recur::SafetensorsWriter writer;
  {
    const auto file = recur::load_safetensors(path);
    for (const std::string& name : file.names()) {
      tensors[name] = {file.tensor(name).shape, file.values<double>(name)};
      dtypes[name] = file.tensor(name).dtype;
    }
    for (const auto& [key, value] : file.metadata()) {
      writer.add_metadata(key, value);
    }
  }
  change(tensors);
  for (const auto& [name, tensor] : tensors) {
    const std::string dtype = dtypes.count(name) > 0 ? dtypes[name] : "F64";
    writer.add(name, tensor.first, tensor.second.data(), dtype);
  }
  writer.save(to);
}
void rewrite(const std::filesystem::path& path, const auto& change) { rewrite(path, path, change); }

template <class Scalar>
recur::LSTM<Scalar> small_lstm(std::uint64_t seed) {
  Generator generator(seed);
  return recur::LSTM<Scalar>({.input_size = 3, .hidden_size = 4, .num_layers = 2}, generator);
}

TEST(SelfTest, FileHoldsInputAndOutputs) {
  const TemporaryFolder folder;
  const auto path = folder / "lstm.safetensors";
  const auto lstm = small_lstm<float>(1);
  Generator generator(2);
  const auto x = random_tensor<float>(generator, 5, 2, 3);
  save_with_check(lstm, path, x, {.metadata = {{"author", "me"}}});

  const auto file = recur::load_safetensors(path);
  EXPECT_EQ(file.metadata().at("self_test"), std::string("recur ") + recur::version);
  EXPECT_EQ(file.metadata().at("author"), "me");
  const auto [output, state] = lstm.forward(x);
  EXPECT_EQ(bytes_of(file.tensor3<float>("self_test.input")), bytes_of(x));
  EXPECT_EQ(bytes_of(file.tensor3<float>("self_test.output")), bytes_of(output));
  EXPECT_EQ(bytes_of(file.tensor3<float>("self_test.h_n")), bytes_of(state.h));
  EXPECT_EQ(bytes_of(file.tensor3<float>("self_test.c_n")), bytes_of(state.c));

  auto loaded = small_lstm<float>(3);
  const auto found = load_with_check(loaded, path);
  EXPECT_EQ(bytes_of(loaded.parameters()), bytes_of(lstm.parameters()));
  EXPECT_EQ(found.difference, 0);
  EXPECT_EQ(found.tolerance, 2e-5);

  auto plain = small_lstm<float>(4);  // without the check
  recur::load_state_dict(plain, path);
  EXPECT_EQ(bytes_of(plain.parameters()), bytes_of(lstm.parameters()));
}

template <class Model, class Input>
void expect_round_trip(const Model& saved, Model loaded, const Input& input,
                       const std::vector<std::string>& outputs) {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  save_with_check(saved, path, input);
  std::vector<std::string> names;
  const auto file = recur::load_safetensors(path);
  for (const std::string& name : file.names()) {
    if (name.starts_with("self_test.") && name != "self_test.input") {
      names.push_back(name.substr(10));
    }
  }
  EXPECT_EQ(names, outputs);
  load_with_check(loaded, path);
  EXPECT_EQ(bytes_of(loaded.parameters()), bytes_of(saved.parameters()));
}

TEST(SelfTest, EveryKindOfModuleAndInput) {
  Generator g(1);
  const auto x = random_tensor<double>(g, 4, 2, 3);
  const RowMatrix<double> unbatched = random_matrix<double>(g, 4, 3);
  const std::vector<std::string> with_h{"output", "h_n"};
  const std::vector<std::string> with_c{"output", "h_n", "c_n"};
  const recur::RecurrentOptions deep{.input_size = 3,
                                     .hidden_size = 4,
                                     .num_layers = 2,
                                     .batch_first = true,
                                     .bidirectional = true};
  expect_round_trip(recur::GRU<double>(deep, g), recur::GRU<double>(deep, g), x, with_h);
  expect_round_trip(recur::GRU<double>(deep, g), recur::GRU<double>(deep, g), unbatched, with_h);
  expect_round_trip(recur::RNN<double>({.input_size = 3, .hidden_size = 4}, g),
                    recur::RNN<double>({.input_size = 3, .hidden_size = 4}, g), x, with_h);
  const recur::RecurrentOptions projected{.input_size = 3, .hidden_size = 4, .proj_size = 2};
  expect_round_trip(recur::LSTM<double>(projected, g), recur::LSTM<double>(projected, g), x,
                    with_c);
  expect_round_trip(recur::LSTM<double>(projected, g), recur::LSTM<double>(projected, g), unbatched,
                    with_c);
  expect_round_trip(recur::LSTMCell<double>({.input_size = 3, .hidden_size = 4}, g),
                    recur::LSTMCell<double>({.input_size = 3, .hidden_size = 4}, g), unbatched,
                    {"h_n", "c_n"});
  expect_round_trip(recur::GRUCell<double>({.input_size = 3, .hidden_size = 4}, g),
                    recur::GRUCell<double>({.input_size = 3, .hidden_size = 4}, g), unbatched,
                    {"h_n"});
  expect_round_trip(recur::Linear<double>({.in_features = 3, .out_features = 2}, g),
                    recur::Linear<double>({.in_features = 3, .out_features = 2}, g), unbatched,
                    {"output"});
  expect_round_trip(recur::Linear<double>({.in_features = 3, .out_features = 2}, g),
                    recur::Linear<double>({.in_features = 3, .out_features = 2}, g), x, {"output"});
  const recur::Embedding<float> words({.num_embeddings = 6, .embedding_dim = 2}, g);
  const recur::Embedding<float> others({.num_embeddings = 6, .embedding_dim = 2}, g);
  expect_round_trip(words, others, std::vector<Index>{5, 0, 3}, {"output"});
  expect_round_trip(words, others, RowMatrix<Index>{{5, 0, 3}, {1, 1, 2}}, {"output"});
}

// ---- A model of several members -----------------------------------------------------------------

struct Model {
  recur::LSTM<float> lstm;
  recur::Linear<float> head;

  explicit Model(std::uint64_t seed) : Model(Generator(seed)) {}
  static auto members(auto& self) { return recur::members("lstm", self.lstm, "head", self.head); }

 private:
  explicit Model(Generator generator)
      : lstm({.input_size = 3, .hidden_size = 4, .bidirectional = true}, generator),
        head({.in_features = 8, .out_features = 2}, generator) {}
};

const auto run = [](const Model& model, const Tensor3<float>& x) {
  const auto [output, state] = model.lstm.forward(x);
  return std::tuple(model.head.forward(output), std::pair(state.h, state.c));
};

std::string bytes(const Model& model) {
  return bytes_of(model.lstm.parameters(), model.head.parameters());
}

struct SavedModel {
  TemporaryFolder folder;
  std::filesystem::path path = folder / "model.safetensors";
  Model saved{1};
  Tensor3<float> x;

  explicit SavedModel(const recur::SaveOptions& options = {}) {
    Generator generator(5);
    x = random_tensor<float>(generator, 4, 2, 3);
    save_with_check(saved, path, x, run, options);
  }

  // Must be refused, with this text; the model stays.
  void expect_refused(const std::string& text, const recur::CheckOptions& options = {}) const {
    Model model(2);
    const std::string before = bytes(model);
    EXPECT_ERROR(load_with_check(model, path, run, options), text);
    EXPECT_EQ(bytes(model), before);
  }
};

TEST(SelfTest, ModelsRunByAFunction) {
  const SavedModel s({.prefix = "net"});
  const auto file = recur::load_safetensors(s.path);
  for (const char* name :
       {"net.self_test.input", "net.self_test.output.0", "net.self_test.output.1.0",
        "net.self_test.output.1.1", "net.lstm.weight_ih_l0_reverse"}) {
    EXPECT_TRUE(file.contains(name)) << name;
  }
  Model loaded(2);
  const auto found = load_with_check(loaded, s.path, run, {.load = {.prefix = "net"}});
  EXPECT_EQ(found.difference, 0);
  EXPECT_EQ(bytes(loaded), bytes(s.saved));
  s.expect_refused(R"(no self-test: expected a tensor "self_test.input")");
}

TEST(SelfTest, RoundedParametersGiveTheirOwnOutput) {
  for (const char* dtype : {"F64", "F32", "F16", "BF16"}) {
    const SavedModel s({.dtype = dtype});
    Model loaded(2);
    EXPECT_EQ(load_with_check(loaded, s.path, run).difference, 0) << dtype;
    EXPECT_EQ(recur::load_safetensors(s.path).tensor("self_test.output.0").dtype, "F32");
  }
}

// Each weight of the file, changed by a tenth of the largest: none goes through.
TEST(SelfTest, EveryChangedWeightIsRefused) {
  const SavedModel s;
  const auto file = recur::load_safetensors(s.path);
  int changed = 0;
  for (const std::string& name : file.names()) {
    if (name.starts_with("self_test.")) {
      continue;
    }
    for (Index k = 0; k < file.tensor(name).size(); k += 9) {
      rewrite(s.path, s.folder / "changed",
              [&](auto& tensors) { tensors[name].second[static_cast<std::size_t>(k)] += 0.05; });
      Model model(2);
      EXPECT_ERROR(load_with_check(model, s.folder / "changed", run),
                   "the model computes something else: largest difference at [");
      EXPECT_EQ(bytes(model), bytes(Model(2)));
      ++changed;
    }
  }
  EXPECT_GT(changed, 30);
}

TEST(SelfTest, ErrorSaysWhereAndWhat) {
  const SavedModel s;
  float expected = 0;
  rewrite(s.path, [&](auto& tensors) {
    auto& [shape, values] = tensors["self_test.output.1.0"];  // h_n (2, 2, 4)
    for (double& value : values) {
      value = static_cast<float>(value);
    }
    values[13] += 8;  // [1, 1, 1], by far the largest entry now
    expected = static_cast<float>(values[13]);
  });
  const auto h = s.saved.lstm.forward(s.x).state.h;
  const double difference =
      std::abs(static_cast<double>(h(1, 1, 1)) - static_cast<double>(expected)) /
      static_cast<double>(expected);
  s.expect_refused(
      s.path.string() +
      R"(: "self_test.output.1.0": the model computes something else: largest difference at [1, 1, 1]: )" +
      "expected " + recur::detail::number_text(static_cast<double>(expected)) + " (by recur " +
      recur::version + "), got " + recur::detail::number_text(static_cast<double>(h(1, 1, 1))) +
      ": " + recur::detail::number_text(difference) + " of the largest entry, allowed 2e-05");
  Model model(2);
  EXPECT_NEAR(load_with_check(model, s.path, run, {.tolerance = 1.1}).difference, difference,
              1e-12);
}

TEST(SelfTest, OutputsAndShapesMustBeTheFiles) {
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors.erase("self_test.output.1.1"); });
    s.expect_refused(R"("self_test.output.1.1": expected this output, got none)");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors["self_test.more"] = {{1}, {0}}; });
    s.expect_refused(R"("self_test.more": the model gives no such output)");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors["self_test.output.0"].first = {2, 4, 2}; });
    s.expect_refused("the model gives shape (4, 2, 2), expected (2, 4, 2)");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) {
      tensors["self_test.output.0"].second[3] = std::numeric_limits<double>::quiet_NaN();
    });
    s.expect_refused("expected finite numbers, got nan");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors["self_test.input"].first = {24}; });
    s.expect_refused("expected 2 or 3 dimensions, got shape (24,)");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors["self_test.input"].first = {8, 3}; });
    s.expect_refused("the model takes no input of shape (8, 3) and type F32");
  }
  {
    const SavedModel s;
    rewrite(s.path, [](auto& tensors) { tensors.erase("head.bias"); });
    s.expect_refused("Missing key(s) in state_dict");
  }
}

// A file of shapes that fit and another order of gates: what self-tests are for.
TEST(SelfTest, GatesInAnotherOrderAreRefused) {
  const SavedModel s;
  rewrite(s.path, [](auto& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (name.starts_with("lstm.")) {
        auto& values = tensor.second;  // i f g o -> i f o g, as in Keras
        const auto quarter = static_cast<std::ptrdiff_t>(values.size() / 4);
        std::rotate(values.begin() + 2 * quarter, values.begin() + 3 * quarter, values.end());
      }
    }
  });
  s.expect_refused("the model computes something else");
}

TEST(SelfTest, NumbersThatAreNotFiniteAreNotSaved) {
  const TemporaryFolder folder;
  Generator generator(1);
  recur::Linear<float> linear({.in_features = 2, .out_features = 1}, generator);
  linear.update_parameters(
      [](auto& p) { p.weight(0, 0) = std::numeric_limits<float>::infinity(); });
  const RowMatrix<float> x = RowMatrix<float>::Ones(1, 2);
  EXPECT_ERROR(save_with_check(linear, folder / "linear.safetensors", x),
               "save_with_check: output: expected finite numbers, got inf");
  EXPECT_EQ(folder.count(), 0U);
}

// Zeros are compared as they are: there is no largest entry to relate to.
TEST(SelfTest, OutputOfZeros) {
  const TemporaryFolder folder;
  const auto path = folder / "linear.safetensors";
  recur::Linear<float> linear({.in_features = 2, .out_features = 1, .bias = false});
  const RowMatrix<float> x = RowMatrix<float>::Zero(1, 2);
  save_with_check(linear, path, x);
  EXPECT_EQ(load_with_check(linear, path).difference, 0);
  rewrite(path, [](auto& tensors) { tensors["self_test.input"].second[0] = 1; });
  EXPECT_ERROR(load_with_check(linear, path), "the model computes something else");
}

TEST(SelfTest, DoubleIsHeldToADoublesTolerance) {
  const TemporaryFolder folder;
  const auto path = folder / "lstm.safetensors";
  Generator generator(2);
  const auto lstm = small_lstm<double>(1);
  save_with_check(lstm, path, random_tensor<double>(generator, 5, 2, 3));
  auto loaded = small_lstm<double>(3);
  EXPECT_EQ(load_with_check(loaded, path).tolerance, 1e-10);
  rewrite(path, [](auto& tensors) { tensors["weight_hh_l0"].second[0] += 1e-8; });
  EXPECT_ERROR(load_with_check(loaded, path), "allowed 1e-10");
  auto single = small_lstm<float>(3);  // in float that is nothing
  EXPECT_LT(load_with_check(single, path).difference, 1e-6);
  EXPECT_EQ(load_with_check(single, path).tolerance, 2e-5);
}

}  // namespace
}  // namespace self_test_test
