// SPDX-License-Identifier: MIT
//
// Files put together tensor by tensor, by the table in checkpoint.hpp. Models and optimisers:
// checkpoint_reader_models_test.cpp.
#include "recur/io/checkpoint_reader.hpp"

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"

#include "support/bytes.hpp"
#include "support/checkpoint_file.hpp"

namespace checkpoint_reader_test {
namespace {

using recur::Generator;
using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::Vector;
using recur::test::bytes_of;
using recur::test::CheckpointFile;
using recur::test::error_of_load;
using Doubles = std::vector<double>;
using Shape = std::vector<Index>;

// ---- Numbers ----

TEST(CheckpointReader, Numbers) {
  bool yes = false;
  std::uint8_t small = 0;
  std::int16_t negative = 0;
  std::uint64_t large = 0;
  float real = 0;
  CheckpointFile()
      .add("yes", true)
      .add("small", std::uint64_t{200})
      .add("negative", std::int64_t{-7})
      .add("large", ~std::uint64_t{0})
      .add("real", 0.5)
      .load("small", small, "yes", yes, "negative", negative, "large", large, "real", real);
  EXPECT_TRUE(yes);
  EXPECT_EQ(small, 200);
  EXPECT_EQ(negative, -7);
  EXPECT_EQ(large, ~std::uint64_t{0});
  EXPECT_EQ(real, 0.5F);
}

TEST(CheckpointReader, NumbersOutOfRange) {
  std::uint8_t byte = 7;
  std::int8_t signed_byte = 7;
  int number = 7;
  const auto with = [](auto value) { return CheckpointFile().add("n", value); };
  with(std::uint64_t{255}).load("n", byte);
  EXPECT_EQ(byte, 255);
  EXPECT_EQ(error_of_load(with(std::uint64_t{256}), "n", byte),
            R"(run.safetensors: "n": expected a number from 0 to 255, got 256)");
  with(std::int64_t{-128}).load("n", signed_byte);
  EXPECT_EQ(signed_byte, -128);
  EXPECT_EQ(error_of_load(with(std::int64_t{-129}), "n", signed_byte),
            R"(run.safetensors: "n": expected a number from -128 to 127, got -129)");
  EXPECT_EQ(error_of_load(with(std::int64_t{1} << 31), "n", number),
            R"(run.safetensors: "n": expected a number from -2147483648 to 2147483647, got )"
            "2147483648");
  EXPECT_EQ(byte, 255);
  EXPECT_EQ(signed_byte, -128);
  EXPECT_EQ(number, 7);
}

// Nothing is converted: it would not go on to the same bits.
TEST(CheckpointReader, OtherTypesAndShapes) {
  int number = 7;
  double real = 7;
  bool truth = false;
  const std::string n = R"(run.safetensors: "n": )";
  EXPECT_EQ(error_of_load(CheckpointFile(), "n", number), n + "expected this tensor, got none");
  EXPECT_EQ(error_of_load(CheckpointFile().add("n", std::uint64_t{1}), "n", number),
            n + "expected I64, got U64");
  EXPECT_EQ(error_of_load(CheckpointFile().add("n", 1.F), "n", real), n + "expected F64, got F32");
  EXPECT_EQ(error_of_load(CheckpointFile().add("n", std::uint8_t{1}), "n", truth),
            n + "expected BOOL, got U8");
  EXPECT_EQ(error_of_load(CheckpointFile().add("n", {1}, Doubles{3}), "n", real),
            n + "expected shape (), got (1,)");
  EXPECT_EQ(error_of_load(CheckpointFile().add_bools("n", {}, "\2"), "n", truth),
            n + "expected 0 or 1, got 2");
  EXPECT_EQ(number, 7);
  EXPECT_EQ(real, 7);
  EXPECT_FALSE(truth);
}

// ---- Arrays ----

TEST(CheckpointReader, ArraysHaveTheSizesOfTheFile) {
  std::vector<std::int64_t> order{9};
  Tensor3<float> tensor;
  RowMatrix<double> matrix = RowMatrix<double>::Ones(7, 7);
  Vector<float> vector;
  Eigen::Matrix<double, 2, 2, Eigen::RowMajor> fixed;
  Eigen::Vector2d two;
  RowMatrix<double, Eigen::Dynamic, 2> columns;
  const Doubles numbers{1, 2, 3, 4};
  CheckpointFile()
      .add("order", {3}, std::vector<std::int64_t>{2, 0, 1})
      .add("tensor", {2, 1, 2}, std::vector<float>{1, 2, 3, 4})
      .add("matrix", {1, 4}, numbers)
      .add("vector", {0}, std::vector<float>{})
      .add("fixed", {2, 2}, numbers)
      .add("two", {2}, Doubles{5, 6})
      .add("columns", {2, 2}, numbers)
      .load("order", order, "tensor", tensor, "matrix", matrix, "vector", vector, "fixed", fixed,
            "two", two, "columns", columns);
  EXPECT_EQ(order, (std::vector<std::int64_t>{2, 0, 1}));
  EXPECT_EQ(tensor.shape(), "(2, 1, 2)");
  EXPECT_EQ(tensor(1, 0, 0), 3);
  EXPECT_EQ(matrix, (RowMatrix<double>{{1, 2, 3, 4}}));
  EXPECT_EQ(vector.size(), 0);
  EXPECT_EQ(fixed(0, 1), 2);
  EXPECT_EQ(fixed(1, 0), 3);
  EXPECT_EQ(two, Eigen::Vector2d(5, 6));
  EXPECT_EQ(columns(1, 0), 3);
}

TEST(CheckpointReader, ArraysOfOtherDimensions) {
  const std::string a = R"(run.safetensors: "a": )";
  const CheckpointFile file = CheckpointFile().add("a", {2, 2}, Doubles{1, 2, 3, 4});
  Doubles list{7};
  EXPECT_EQ(error_of_load(file, "a", list), a + "expected 1 dimensions, got shape (2, 2)");
  Tensor3<double> tensor;
  EXPECT_EQ(error_of_load(file, "a", tensor), a + "expected 3 dimensions, got shape (2, 2)");
  Vector<double> vector;
  EXPECT_EQ(error_of_load(file, "a", vector), a + "expected 1 dimensions, got shape (2, 2)");
  RowMatrix<float> floats;
  EXPECT_EQ(error_of_load(file, "a", floats), a + "expected F32, got F64");
  Eigen::Matrix<double, 2, 3, Eigen::RowMajor> fixed;
  EXPECT_EQ(error_of_load(file, "a", fixed), a + "expected the fixed sizes of (2, 3), got (2, 2)");
  Eigen::Matrix<double, 3, 2, Eigen::RowMajor> other;
  EXPECT_EQ(error_of_load(file, "a", other), a + "expected the fixed sizes of (3, 2), got (2, 2)");
  EXPECT_EQ(list, Doubles{7});
  EXPECT_EQ(tensor.size() + vector.size() + floats.size(), 0);
}

// An array of a largest size was resized past it, and written past its end.
TEST(CheckpointReader, SizesPastTheLargestWereWritten) {
  using AtMost = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor, 2, 3>;
  AtMost matrix;
  const auto with = [](Index rows, Index columns) {
    const Doubles zeros(static_cast<std::size_t>(rows * columns));
    return CheckpointFile().add("a", {rows, columns}, zeros);
  };
  with(2, 3).load("a", matrix);
  EXPECT_EQ(matrix.size(), 6);
  EXPECT_EQ(error_of_load(with(3, 1), "a", matrix),
            R"(run.safetensors: "a": expected at most (2, 3), got (3, 1))");
  EXPECT_ERROR(with(1, 4).load("a", matrix), "expected at most (2, 3), got (1, 4)");
  EXPECT_EQ(matrix.size(), 6);
  Eigen::Matrix<double, Eigen::Dynamic, 1, Eigen::ColMajor, 2, 1> vector;
  EXPECT_ERROR(CheckpointFile().add("a", {3}, Doubles(3)).load("a", vector),
               "expected at most (2, 1), got (3,)");
}

// Only single truth values were looked at.
TEST(CheckpointReader, BytesOfTruthValuesInArraysWereNotChecked) {
  Vector<bool> mask;
  CheckpointFile().add_bools("a", {3}, std::string("\1\0\1", 3)).load("a", mask);
  EXPECT_EQ(mask, (Vector<bool>{{true, false, true}}));
  EXPECT_EQ(error_of_load(CheckpointFile().add_bools("a", {2}, "\1\2"), "a", mask),
            R"(run.safetensors: "a": expected 0 or 1, got 2)");
  EXPECT_EQ(mask.size(), 3);
}

TEST(CheckpointReader, States) {
  const std::vector<float> one{1, 2};
  const std::vector<float> two{3, 4};
  recur::LSTM<float>::State lstm;
  recur::GRU<float>::State gru;
  const CheckpointFile file = CheckpointFile()
                                  .add("lstm.h", {1, 1, 2}, one)
                                  .add("lstm.c", {1, 1, 2}, two)
                                  .add("gru.h", {1, 2, 1}, two);
  file.load("lstm", lstm, "gru", gru);
  EXPECT_EQ(lstm.h(0, 0, 1), 2);
  EXPECT_EQ(lstm.c(0, 0, 1), 4);
  EXPECT_EQ(gru.h(0, 1, 0), 4);
  EXPECT_EQ(error_of_load(file, "gru", lstm),
            R"(run.safetensors: "gru.c": expected this tensor, got none)");
}

// ---- Generators ----

// MT19937's first state: x[0] = seed, x[k] = 1812433253 · (x[k-1] ^ x[k-1] >> 30) + k.
std::vector<std::uint32_t> twister_state(std::uint32_t seed) {
  std::vector<std::uint32_t> x{seed};
  for (std::uint32_t k = 1; k < 624; ++k) {
    x.push_back(1812433253U * (x.back() ^ (x.back() >> 30)) + k);
  }
  return x;
}
CheckpointFile generator_file(const std::vector<std::uint32_t>& state, std::int64_t given,
                              const Doubles& normal) {
  return CheckpointFile()
      .add("g.state", {static_cast<Index>(state.size())}, state)
      .add("g.given", given)
      .add("g.normal", {static_cast<Index>(normal.size())}, normal);
}

TEST(CheckpointReader, GeneratorsGoOn) {
  Generator generator(1);
  generator_file(twister_state(5489), 624, {}).load("g", generator);
  std::mt19937 expected(5489);
  for (int k = 0; k < 2000; ++k) {
    ASSERT_EQ(generator.next32(), expected()) << k;
  }
  generator_file(twister_state(5489), 624, {0.25}).load("g", generator);
  EXPECT_EQ(generator.normal(), 0.25);
  EXPECT_EQ(generator.next32(), 3499211612U);  // the first number of std::mt19937
}

TEST(CheckpointReader, GeneratorsThatCannotBe) {
  Generator generator(1);
  const std::string before = bytes_of(generator);
  const auto state = twister_state(1);
  EXPECT_EQ(error_of_load(generator_file(state, 625, {}), "g", generator),
            R"(run.safetensors: "g.given": expected a number from 0 to 624, got 625)");
  EXPECT_EQ(error_of_load(generator_file(state, -1, {}), "g", generator),
            R"(run.safetensors: "g.given": expected a number from 0 to 624, got -1)");
  EXPECT_EQ(error_of_load(generator_file(state, 0, {1, 2}), "g", generator),
            R"(run.safetensors: "g.normal": expected at most one number, got shape (2,))");
  EXPECT_EQ(error_of_load(generator_file({1, 2}, 0, {}), "g", generator),
            R"(run.safetensors: "g.state": expected shape (624,), got (2,))");
  EXPECT_EQ(bytes_of(generator), before);
  generator_file(state, 0, {}).load("g", generator);
}

// ---- Parts and files ----

TEST(CheckpointReader, NothingIsWrittenBeforeTheLastPartFits) {
  int first = 7;
  Doubles list{7};
  int last = 7;
  const CheckpointFile file =
      CheckpointFile().add("first", std::int64_t{1}).add("list", {1}, Doubles{1});
  EXPECT_EQ(error_of_load(file, "first", first, "list", list, "last", last),
            R"(run.safetensors: "last": expected this tensor, got none)");
  EXPECT_EQ(first, 7);
  EXPECT_EQ(list, Doubles{7});
}

TEST(CheckpointReader, TensorsThatNoPartAsksFor) {
  int number = 7;
  const CheckpointFile file = CheckpointFile().add("n", std::int64_t{1}).add("m", std::int64_t{1});
  EXPECT_EQ(error_of_load(file, "n", number),
            R"(run.safetensors: "m": unexpected: no part of this training has use for it)");
  EXPECT_EQ(number, 7);
  EXPECT_EQ(error_of_load(file), R"(run.safetensors: "n": unexpected: no part of this training )"
                                 "has use for it");
  EXPECT_NO_THROW(CheckpointFile().load());
}

TEST(CheckpointReader, NamesThatDoNotGoTogether) {
  int number = 7;
  const CheckpointFile file = CheckpointFile().add("n", std::int64_t{1});
  EXPECT_EQ(error_of_load(file, "n", number, "n", number),
            R"(checkpoint: the names "n" and "n" do not go together)");
  EXPECT_EQ(error_of_load(file, "", number), R"(checkpoint: expected a name, got "")");
  EXPECT_EQ(number, 7);
}

}  // namespace
}  // namespace checkpoint_reader_test
