// SPDX-License-Identifier: MIT
//
// The names, types and shapes are those of the table in checkpoint.hpp.
#include "recur/io/checkpoint_writer.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/nn/linear.hpp"
#include "recur/optim/adam.hpp"
#include "recur/optim/sgd.hpp"

#include "support/bytes.hpp"
#include "support/compare.hpp"
#include "support/files.hpp"
#include "support/temporary_folder.hpp"

namespace checkpoint_writer_test {
namespace {

using recur::Generator;
using recur::Index;
using recur::Linear;
using recur::RowMatrix;
using recur::Tensor3;
using recur::TensorFile;
using recur::Vector;
using recur::detail::CheckpointWriter;
using recur::detail::moment_name;
using recur::detail::PartNames;
using recur::detail::StoredNumber;
using recur::test::raw;
using recur::test::text_of_bytes;
using Names = std::vector<std::string>;
using Shape = std::vector<Index>;
using Doubles = std::vector<double>;

template <class... Parts>
TensorFile written(const Parts&... parts) {
  const recur::test::TemporaryFolder folder;
  CheckpointWriter writer;
  writer.add(static_cast<const void*>(nullptr), parts...);
  writer.save(folder / "run.safetensors");
  return recur::load_safetensors(folder / "run.safetensors");
}

void expect_tensor(const TensorFile& file, const std::string& name, const std::string& dtype,
                   const Shape& shape, const std::string& bytes) {
  ASSERT_TRUE(file.contains(name)) << name;
  EXPECT_EQ(file.tensor(name).dtype, dtype) << name;
  EXPECT_EQ(file.tensor(name).shape, shape) << name;
  EXPECT_EQ(text_of_bytes(file.tensor(name).bytes), bytes) << name;
}

struct Model {
  Linear<double> first{{.in_features = 2, .out_features = 1}};
  Linear<double> second{{.in_features = 1, .out_features = 3, .bias = false}};
  static auto members(auto& self) {
    return recur::members("first", self.first, "second", self.second);
  }
};

// ---- Names ----

TEST(PartNames, ThatGoTogether) {
  PartNames names;
  for (const char* name : {"a", "ab", "b.c", "b.d", "a b", "A"}) {
    EXPECT_NO_THROW(names.add(name)) << name;
  }
}

TEST(PartNames, ThatDoNotGoTogether) {
  const auto error_of = [](const std::string& first, const std::string& second) {
    PartNames names;
    names.add(first);
    return recur::test::error_of([&] { names.add(second); });
  };
  EXPECT_EQ(error_of("a", "a"), R"(checkpoint: the names "a" and "a" do not go together)");
  EXPECT_EQ(error_of("a", "a.b"), R"(checkpoint: the names "a" and "a.b" do not go together)");
  EXPECT_EQ(error_of("a.b", "a"), R"(checkpoint: the names "a.b" and "a" do not go together)");
  PartNames names;
  EXPECT_ERROR(names.add(""), R"(checkpoint: expected a name, got "")");
  EXPECT_ERROR(names.add("a."), R"(checkpoint: expected a name, got "a.")");
  EXPECT_NO_THROW(names.add("a"));  // what was refused is not there
}

TEST(CheckpointWriter, NamesThatDoNotGoTogetherAreRefused) {
  CheckpointWriter writer;
  const int one = 1;
  writer.add(static_cast<const void*>(nullptr), "a", one);
  EXPECT_ERROR(writer.add(static_cast<const void*>(nullptr), "a.b", one), "do not go together");
}

TEST(ParameterNames, AreThoseOfTheStateDict) {
  EXPECT_EQ(recur::detail::parameter_names(Model()),
            (Names{"first.weight", "first.bias", "second.weight"}));
}

TEST(MomentName, IsThatOfTheParameter) {
  const Names parameters{"lstm.weight_ih_l0", "lstm.bias_ih_l0"};
  EXPECT_EQ(moment_name("adam", "0.exp_avg", parameters), "adam.exp_avg.lstm.weight_ih_l0");
  EXPECT_EQ(moment_name("a.b", "1.max_exp_avg_sq", parameters),
            "a.b.max_exp_avg_sq.lstm.bias_ih_l0");
  EXPECT_EQ(moment_name("sgd", "10.momentum_buffer", Names(11, "weight")),
            "sgd.momentum_buffer.weight");
  EXPECT_EQ(
      recur::test::error_of([&] { moment_name("adam", "2.exp_avg", parameters); }),
      R"(checkpoint: "adam" is the optimiser of another model: expected one of 2 parameters)");
}

// ---- Numbers and arrays ----

static_assert(std::is_same_v<StoredNumber<bool>, bool>);
static_assert(std::is_same_v<StoredNumber<std::int8_t>, std::int64_t>);
static_assert(std::is_same_v<StoredNumber<int>, std::int64_t>);
static_assert(std::is_same_v<StoredNumber<std::uint8_t>, std::uint64_t>);
static_assert(std::is_same_v<StoredNumber<std::uint64_t>, std::uint64_t>);
static_assert(std::is_same_v<StoredNumber<float>, double>);

TEST(CheckpointWriter, Numbers) {
  const bool yes = true;
  const std::uint8_t small = 200;
  const std::int16_t negative = -7;
  const std::uint64_t large = std::numeric_limits<std::uint64_t>::max();
  const float real = 0.5F;
  const TensorFile file =
      written("yes", yes, "small", small, "negative", negative, "large", large, "real", real);
  EXPECT_EQ(file.names().size(), 5U);
  expect_tensor(file, "yes", "BOOL", {}, "\1");
  expect_tensor(file, "small", "U64", {}, raw(std::uint64_t{200}));
  expect_tensor(file, "negative", "I64", {}, raw(std::int64_t{-7}));
  expect_tensor(file, "large", "U64", {}, std::string(8, '\xff'));
  expect_tensor(file, "real", "F64", {}, raw(0.5));
}

TEST(CheckpointWriter, Arrays) {
  const std::vector<std::int64_t> order{2, 0, 1};
  const std::vector<float> losses{1.5F, -0.0F};
  const std::vector<double> none;
  Tensor3<float> tensor(2, 1, 2);
  tensor.rows() = RowMatrix<float>{{1, 2}, {3, 4}};
  const RowMatrix<double> matrix{{1, 2, 3}, {4, 5, 6}};
  const Eigen::Vector2f vector(7, 8);
  const TensorFile file = written("order", order, "losses", losses, "none", none, "tensor", tensor,
                                  "matrix", matrix, "vector", vector);
  expect_tensor(file, "order", "I64", {3}, raw(std::int64_t{2}, std::int64_t{0}, std::int64_t{1}));
  expect_tensor(file, "losses", "F32", {2}, raw(1.5F, -0.0F));
  expect_tensor(file, "none", "F64", {0}, "");
  expect_tensor(file, "tensor", "F32", {2, 1, 2}, raw(1.F, 2.F, 3.F, 4.F));
  expect_tensor(file, "matrix", "F64", {2, 3}, raw(1., 2., 3., 4., 5., 6.));
  expect_tensor(file, "vector", "F32", {2}, raw(7.F, 8.F));
}

TEST(CheckpointWriter, States) {
  Tensor3<float> h(1, 1, 2);
  h.rows() = RowMatrix<float>{{1, 2}};
  Tensor3<float> c(1, 1, 2);
  c.rows() = RowMatrix<float>{{3, 4}};
  const recur::LSTM<float>::State lstm{h, c};
  const recur::GRU<float>::State gru{h};
  const TensorFile file = written("lstm", lstm, "gru", gru);
  EXPECT_EQ(file.names(), (Names{"lstm.h", "lstm.c", "gru.h"}));
  expect_tensor(file, "lstm.h", "F32", {1, 1, 2}, raw(1.F, 2.F));
  expect_tensor(file, "lstm.c", "F32", {1, 1, 2}, raw(3.F, 4.F));
  expect_tensor(file, "gru.h", "F32", {1, 1, 2}, raw(1.F, 2.F));
}

// MT19937's first state: x[0] = seed, x[k] = 1812433253 · (x[k-1] ^ x[k-1] >> 30) + k.
TEST(CheckpointWriter, Generators) {
  std::string state = raw(std::uint32_t{5489});
  for (std::uint32_t k = 1, x = 5489; k < 624; ++k) {
    x = 1812433253U * (x ^ (x >> 30)) + k;
    state += raw(x);
  }
  const TensorFile fresh = written("g", Generator(5489));
  EXPECT_EQ(fresh.names().size(), 3U);
  expect_tensor(fresh, "g.state", "U32", {624}, state);
  expect_tensor(fresh, "g.given", "I64", {}, raw(std::int64_t{624}));
  expect_tensor(fresh, "g.normal", "F64", {0}, "");

  Generator used(5489);
  used.normal();  // of two uniform numbers of 64 bits; a second normal number waits
  const TensorFile file = written("g", used);
  expect_tensor(file, "g.given", "I64", {}, raw(std::int64_t{4}));
  expect_tensor(file, "g.normal", "F64", {1}, raw(used.normal()));
}

// ---- Models and optimisers ----

TEST(CheckpointWriter, Models) {
  Model model;
  model.first.update_parameters([](auto& p) {
    p.weight << 1, 2;
    p.bias << 3;
  });
  const TensorFile file = written("net", model);
  EXPECT_EQ(file.names(), (Names{"net.first.weight", "net.first.bias", "net.second.weight"}));
  expect_tensor(file, "net.first.weight", "F64", {1, 2}, raw(1., 2.));
  expect_tensor(file, "net.first.bias", "F64", {1}, raw(3.));
  EXPECT_EQ(file.tensor("net.second.weight").shape, (Shape{3, 1}));
}

// Gradients of 2: m = (1 - beta1) · 2, v = (1 - beta2) · 4 after one step.
TEST(CheckpointWriter, Adam) {
  Model model;
  auto gradients = recur::zero_gradients(model);
  recur::for_each_gradient([](auto& array) { array.setConstant(2); }, gradients);
  recur::Adam<double> adam(
      {.lr = 0.5, .betas = {0.75, 0.5}, .eps = 1e-6, .weight_decay = 0, .amsgrad = true});
  const TensorFile before = written("model", model, "adam", adam);
  EXPECT_EQ(before.names().size(), 3U + 6 + 1);  // options, step
  adam.step(model, gradients);
  const TensorFile file = written("model", model, "adam", adam);
  EXPECT_EQ(file.names().size(), 3U + 6 + 1 + 3 * 3);
  EXPECT_EQ(file.metadata().at("adam"), "Adam");
  expect_tensor(file, "adam.step", "I64", {}, raw(std::int64_t{1}));
  expect_tensor(file, "adam.exp_avg.first.weight", "F64", {1, 2}, raw(0.5, 0.5));
  expect_tensor(file, "adam.exp_avg.first.bias", "F64", {1}, raw(0.5));
  expect_tensor(file, "adam.exp_avg_sq.second.weight", "F64", {3, 1}, raw(2., 2., 2.));
  expect_tensor(file, "adam.max_exp_avg_sq.first.weight", "F64", {1, 2}, raw(2., 2.));
  expect_tensor(file, "adam.options.lr", "F64", {}, raw(0.5));
  expect_tensor(file, "adam.options.betas", "F64", {2}, raw(0.75, 0.5));
  expect_tensor(file, "adam.options.eps", "F64", {}, raw(1e-6));
  expect_tensor(file, "adam.options.weight_decay", "F64", {}, raw(0.));
  expect_tensor(file, "adam.options.amsgrad", "BOOL", {}, "\1");
  expect_tensor(file, "adam.options.decoupled_weight_decay", "BOOL", {}, std::string(1, '\0'));
  EXPECT_EQ(written("m", model, "o", recur::AdamW<double>()).metadata().at("o"), "AdamW");
}

// The first step's momentum buffer is the gradient.
TEST(CheckpointWriter, SGD) {
  Linear<double> model({.in_features = 2, .out_features = 1});
  auto gradients = recur::zero_gradients(model);
  gradients.weight << 3, 4;
  gradients.bias << 5;
  recur::SGD<double> sgd({.lr = 0.5, .momentum = 0.9});
  sgd.step(model, gradients);
  const TensorFile file = written("model", model, "sgd", sgd);
  EXPECT_EQ(file.metadata().at("sgd"), "SGD");
  EXPECT_EQ(file.names().size(), 2U + 5 + 2);
  expect_tensor(file, "sgd.momentum_buffer.weight", "F64", {1, 2}, raw(3., 4.));
  expect_tensor(file, "sgd.momentum_buffer.bias", "F64", {1}, raw(5.));
  for (const auto& [option, value] : {std::pair("lr", 0.5), std::pair("momentum", 0.9),
                                      std::pair("dampening", 0.), std::pair("weight_decay", 0.)}) {
    expect_tensor(file, std::string("sgd.options.") + option, "F64", {}, raw(value));
  }
  expect_tensor(file, "sgd.options.nesterov", "BOOL", {}, std::string(1, '\0'));
}

// An optimiser belongs to the last model named before it.
TEST(CheckpointWriter, OptimisersOfSeveralModels) {
  Linear<double> a({.in_features = 2, .out_features = 1, .bias = false});
  Linear<double> b({.in_features = 1, .out_features = 3, .bias = false});
  recur::SGD<double> of_a({.momentum = 0.9});
  recur::SGD<double> of_b({.momentum = 0.9});
  of_a.step(a, recur::zero_gradients(a));
  of_b.step(b, recur::zero_gradients(b));
  const int between = 1;
  const TensorFile file = written("a", a, "n", between, "of_a", of_a, "b", b, "of_b", of_b);
  EXPECT_EQ(file.tensor("of_a.momentum_buffer.weight").shape, (Shape{1, 2}));
  EXPECT_EQ(file.tensor("of_b.momentum_buffer.weight").shape, (Shape{3, 1}));
}

// A file was written that could not be read again.
TEST(CheckpointWriter, OptimisersOfOtherModelsWereWritten) {
  Linear<double> a({.in_features = 2, .out_features = 1, .bias = false});
  Linear<double> b({.in_features = 1, .out_features = 3, .bias = false});
  recur::SGD<double> of_a({.momentum = 0.9});
  EXPECT_NO_THROW(written("b", b, "sgd", of_a));  // of no model yet
  of_a.step(a, recur::zero_gradients(a));
  const std::string other = R"(checkpoint: "sgd" is the optimiser of another model: )";
  EXPECT_EQ(recur::test::error_of([&] { written("b", b, "sgd", of_a); }),
            other + R"(expected the state of "weight" (3, 1), got that of (1, 2))");
  const Linear<double> with_bias({.in_features = 2, .out_features = 1});
  EXPECT_EQ(recur::test::error_of([&] { written("a", with_bias, "sgd", of_a); }),
            other + R"(expected the state of "bias" (1,), got none)");
}

TEST(CheckpointWriter, OptimiserOfALargerModel) {
  Model model;
  recur::SGD<double> sgd({.momentum = 0.9});
  sgd.step(model, recur::zero_gradients(model));
  EXPECT_ERROR(written("first", model.first, "sgd", sgd),
               R"(checkpoint: "sgd" is the optimiser of another model: expected one of 2)");
}

}  // namespace
}  // namespace checkpoint_writer_test
