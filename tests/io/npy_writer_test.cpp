// SPDX-License-Identifier: MIT
#include "recur/io/npy_writer.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/layers/lstm.hpp"

#include "support/files.hpp"
#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace npy_writer_test {
namespace {

using recur::Index;
using recur::load_npy;
using recur::load_npz;
using recur::test::exported_file;
using recur::test::read_text;
using recur::test::TemporaryFolder;
using Shape = std::vector<Index>;

// The same bytes as numpy.save writes for the same array.
TEST(NpyWriter, BytesOfNumPy) {
  const TemporaryFolder folder;
  recur::RowMatrix<float> matrix(2, 3);
  matrix << 0, 1, 2, 3, 4, 5;
  recur::save_npy(folder / "x.npy", matrix);
  EXPECT_EQ(read_text(folder / "x.npy"), read_text(exported_file("float32.npy")));
  recur::save_npy(folder / "x.npy", Eigen::MatrixXf(matrix));  // column-major
  EXPECT_EQ(read_text(folder / "x.npy"), read_text(exported_file("float32.npy")));
  recur::save_npy(folder / "x.npy", matrix.transpose().transpose());
  EXPECT_EQ(read_text(folder / "x.npy"), read_text(exported_file("float32.npy")));
  recur::save_npy(folder / "x.npy", recur::RowMatrix<float>(0, 3));
  EXPECT_EQ(read_text(folder / "x.npy"), read_text(exported_file("empty.npy")));
}

TEST(NpyWriter, ShapesAndTypes) {
  const TemporaryFolder folder;
  recur::Tensor3<double> tensor(2, 3, 4);
  tensor.rows().setRandom();
  recur::Vector<float> vector(3);
  vector << 1, 2, 3;
  const std::vector<std::int16_t> numbers{-1, 2};
  const bool flags[] = {true, false};

  recur::NpzWriter writer;
  writer.add("tensor", tensor);
  writer.add("vector", vector);
  writer.add("numbers", {2, 1}, numbers.data());
  writer.add("flags", {2}, flags);
  writer.add("column", recur::RowMatrix<float>(vector));
  writer.add("nothing", {}, &numbers[1]);
  writer.save(folder / "x.npz");

  const auto file = load_npz(folder / "x.npz");
  EXPECT_EQ(file.tensor("tensor").shape, (Shape{2, 3, 4}));
  recur::test::expect_same(file.tensor3<double>("tensor"), tensor, "tensor");
  EXPECT_EQ(file.tensor("vector").shape, Shape{3});
  EXPECT_EQ(file.vector<float>("vector"), vector);
  EXPECT_EQ(file.tensor("numbers").dtype, "I16");
  EXPECT_EQ(file.tensor("numbers").shape, (Shape{2, 1}));
  EXPECT_EQ(file.tensor("flags").dtype, "BOOL");
  EXPECT_EQ(file.tensor("column").shape, (Shape{3, 1}));
  EXPECT_EQ(file.tensor("nothing").shape, Shape{});
  EXPECT_ERROR(writer.add("vector", vector), "\"vector.npy\" was added before");
  EXPECT_ERROR(writer.add("wrong", {-1}, numbers.data()), "got shape (-1,)");
}

// NumPy, where there is one, reads the archives (their zip64 fields, too).
TEST(NpyWriter, ArchiveLoadsInNumPy) {
  const TemporaryFolder folder;
  recur::Tensor3<float> tensor(2, 3, 4);
  for (Index k = 0; k < tensor.size(); ++k) {
    tensor.data()[k] = 0.5F * static_cast<float>(k);
  }
  const std::vector<std::int64_t> numbers{-1, 2};
  recur::NpzWriter writer;
  writer.add("lstm.tensor", tensor);
  writer.add("numbers", {2, 1}, numbers.data());
  writer.save(folder / "x.npz");
  const std::string program =
      "import sys\n"
      "try:\n"
      "  import numpy as np\n"
      "except ImportError:\n"
      "  sys.exit(77)\n"
      "file = np.load(sys.argv[1])\n"
      "assert file.files == ['lstm.tensor', 'numbers'], file.files\n"
      "assert file['lstm.tensor'].dtype == np.float32\n"
      "assert (file['lstm.tensor'] == 0.5 * np.arange(24).reshape(2, 3, 4)).all()\n"
      "assert (file['numbers'] == np.array([[-1], [2]], dtype='<i8')).all()\n"
      "import zipfile\n"
      "assert zipfile.ZipFile(sys.argv[1]).testzip() is None\n";
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    const auto finished =
        recur::test::run_program(python, folder, {"-c", program, (folder / "x.npz").string()});
    if (finished.code == 77 || finished.code == 127) {  // no NumPy, no such program
      continue;
    }
    EXPECT_EQ(finished.code, 0) << finished.output;
    return;
  }
  GTEST_SKIP() << "no python3 with NumPy (Debian, Ubuntu: apt install python3-numpy)";
}

TEST(NpyWriter, ParametersOfAModel) {
  const TemporaryFolder folder;
  recur::Generator generator(1);
  const recur::LSTM<float> saved({.input_size = 1, .hidden_size = 2}, generator);
  recur::save_npz(folder / "model.npz", saved, "lstm");
  const auto file = load_npz(folder / "model.npz");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"lstm.weight_ih_l0", "lstm.weight_hh_l0",
                                                    "lstm.bias_ih_l0", "lstm.bias_hh_l0"}));
  EXPECT_EQ(file.tensor("lstm.weight_ih_l0").shape, (Shape{8, 1}));
  EXPECT_EQ(file.tensor("lstm.bias_ih_l0").shape, Shape{8});
  recur::for_each_parameter(saved, [&](const std::string& name, const auto& array) {
    const auto values = file.values<float>("lstm." + name);
    EXPECT_TRUE(std::equal(values.begin(), values.end(), array.data(), array.data() + array.size()))
        << name;
  });
  EXPECT_ERROR(recur::save_npz("/nowhere/model.npz", saved),
               "/nowhere/model.npz: cannot be written");
}

}  // namespace
}  // namespace npy_writer_test
