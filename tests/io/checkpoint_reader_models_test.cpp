// SPDX-License-Identifier: MIT
//
// Models and optimisers out of files put together tensor by tensor, by the table in checkpoint.hpp.
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/checkpoint_reader.hpp"
#include "recur/nn/linear.hpp"
#include "recur/optim/adam.hpp"
#include "recur/optim/sgd.hpp"

#include "support/bytes.hpp"
#include "support/checkpoint_file.hpp"

namespace checkpoint_reader_models_test {
namespace {

using recur::RowMatrix;
using recur::test::bytes_of;
using recur::test::CheckpointFile;
using recur::test::error_of_load;
using Doubles = std::vector<double>;

recur::Linear<double> linear() {
  return recur::Linear<double>({.in_features = 2, .out_features = 1});
}
CheckpointFile model_file() {
  return CheckpointFile()
      .add("model.weight", {1, 2}, Doubles{1, 2})
      .add("model.bias", {1}, Doubles{3});
}
void add_sgd(CheckpointFile& file, double lr = 0.5) {
  for (const auto& [option, value] : {std::pair("lr", lr), std::pair("momentum", 0.9),
                                      std::pair("dampening", 0.), std::pair("weight_decay", 0.)}) {
    file.add(std::string("sgd.options.") + option, value);
  }
  file.add("sgd.options.nesterov", true).add_metadata("sgd", "SGD");
}
void add_adam(CheckpointFile& file, std::int64_t step, bool amsgrad = false) {
  file.add("adam.options.lr", 0.5)
      .add("adam.options.betas", {2}, Doubles{0.75, 0.5})
      .add("adam.options.eps", 1e-6)
      .add("adam.options.weight_decay", 0.25)
      .add("adam.options.amsgrad", amsgrad)
      .add("adam.options.decoupled_weight_decay", false)
      .add("adam.step", step)
      .add_metadata("adam", "Adam");
}

TEST(CheckpointReaderModels, Models) {
  auto model = linear();
  model_file().load("model", model);
  EXPECT_EQ(model.parameters().weight, (RowMatrix<double>{{1, 2}}));
  EXPECT_EQ(model.parameters().bias[0], 3);
  recur::Linear<float> single({.in_features = 2, .out_features = 1});
  EXPECT_EQ(error_of_load(model_file(), "model", single),
            R"(run.safetensors: "model.weight": expected F32, got F64)");
  recur::Linear<double> wide({.in_features = 3, .out_features = 1});
  EXPECT_ERROR(model_file().load("model", wide),
               R"(size mismatch for "model.weight": expected (1, 3), got (1, 2))");
}

TEST(CheckpointReaderModels, SGD) {
  auto model = linear();
  recur::SGD<double> sgd;
  CheckpointFile file = model_file();
  add_sgd(file);
  const CheckpointFile before_the_first_step = file;
  file.load("model", model, "sgd", sgd);
  EXPECT_EQ(sgd.options().lr, 0.5);
  EXPECT_EQ(sgd.options().momentum, 0.9);
  EXPECT_TRUE(sgd.options().nesterov);
  sgd.visit_state([](const auto&, const auto&) { FAIL() << "there were no steps"; });

  file.add("sgd.momentum_buffer.weight", {1, 2}, Doubles{4, 5})
      .add("sgd.momentum_buffer.bias", {1}, Doubles{6});
  file.load("model", model, "sgd", sgd);
  Doubles buffers;
  sgd.visit_state([&](const std::string&, const auto& array) {
    buffers.insert(buffers.end(), array.data(), array.data() + array.size());
  });
  EXPECT_EQ(buffers, (Doubles{4, 5, 6}));
  before_the_first_step.load("model", model, "sgd", sgd);
  sgd.visit_state([](const auto&, const auto&) { FAIL() << "what it had is gone"; });
}

// max_exp_avg_sq is read where the file has it, whether amsgrad is on or not.
TEST(CheckpointReaderModels, Adam) {
  for (const bool amsgrad : {false, true}) {
    for (const bool maxima : {false, true}) {
      auto model = linear();
      recur::Adam<double> adam;
      CheckpointFile file = model_file();
      add_adam(file, 3, amsgrad);
      std::vector<std::string> moments{"exp_avg", "exp_avg_sq"};
      if (maxima) {
        moments.push_back("max_exp_avg_sq");
      }
      double value = 0;
      for (const std::string& moment : moments) {
        file.add("adam." + moment + ".weight", {1, 2}, Doubles{value + 1, value + 2});
        file.add("adam." + moment + ".bias", {1}, Doubles{value + 3});
        value += 10;
      }
      file.load("model", model, "adam", adam);
      EXPECT_EQ(adam.step_count(), 3);
      EXPECT_EQ(adam.options().betas, (std::array<double, 2>{0.75, 0.5}));
      EXPECT_EQ(adam.options().weight_decay, 0.25);
      EXPECT_EQ(adam.options().amsgrad, amsgrad);
      Doubles all;
      adam.visit_state([&](const std::string&, const auto& array) {
        all.insert(all.end(), array.data(), array.data() + array.size());
      });
      EXPECT_EQ(all, maxima ? (Doubles{1, 2, 11, 12, 21, 22, 3, 13, 23})
                            : (Doubles{1, 2, 11, 12, 3, 13}));
    }
  }
}

TEST(CheckpointReaderModels, OptimisersThatDoNotFit) {
  auto model = linear();
  recur::SGD<double> sgd;
  recur::Adam<double> adam;
  const auto error_of_sgd = [&](const CheckpointFile& file) {
    return error_of_load(file, "model", model, "sgd", sgd);
  };
  const std::string at = "run.safetensors: ";
  EXPECT_EQ(error_of_sgd(model_file()), at + R"("sgd": expected the state of SGD, got none)");
  EXPECT_EQ(error_of_sgd(model_file().add_metadata("sgd", "AdamW")),
            at + R"("sgd": expected the state of SGD, got that of "AdamW")");
  EXPECT_EQ(error_of_sgd(model_file().add_metadata("sgd", "SGD")),
            at + R"("sgd.options.lr": expected this tensor, got none)");
  CheckpointFile wrong = model_file();
  add_sgd(wrong, -1);
  EXPECT_EQ(error_of_sgd(wrong), at + R"("sgd": SGD: Invalid learning rate: -1)");
  CheckpointFile half = model_file();
  add_sgd(half);
  half.add("sgd.momentum_buffer.weight", {1, 2}, Doubles{4, 5});
  EXPECT_EQ(error_of_sgd(half),
            at + R"("sgd.momentum_buffer.bias": expected this tensor, got none)");
  half.add("sgd.momentum_buffer.bias", {1, 1}, Doubles{6});
  EXPECT_EQ(error_of_sgd(half),
            at + R"("sgd.momentum_buffer.bias": expected shape (1,), got (1, 1))");
  EXPECT_EQ(sgd.options().lr, 1e-3);

  CheckpointFile negative = model_file();
  add_adam(negative, -1);
  EXPECT_EQ(error_of_load(negative, "model", model, "adam", adam),
            at + R"("adam.step": expected a number from 0 on, got -1)");
  EXPECT_EQ(adam.options().lr, 1e-3);
}

// All parts, or none.
TEST(CheckpointReaderModels, ModelsAndOptimisersBeforeAPartThatDoesNotFit) {
  auto model = linear();
  recur::SGD<double> sgd;
  const std::string before = bytes_of(model.parameters());
  CheckpointFile file = model_file();
  add_sgd(file);
  int last = 7;
  EXPECT_EQ(error_of_load(file, "model", model, "sgd", sgd, "last", last),
            R"(run.safetensors: "last": expected this tensor, got none)");
  EXPECT_EQ(bytes_of(model.parameters()), before);
  EXPECT_EQ(sgd.options().lr, 1e-3);
}

}  // namespace
}  // namespace checkpoint_reader_models_test
