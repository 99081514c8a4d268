// SPDX-License-Identifier: MIT
//
// The program examples/mnist as a user starts it: a short training on the built-in digits, its
// files, and what it says to broken ones.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace mnist_program_test {
namespace {

using recur::test::Finished;
using recur::test::run_program;
using recur::test::TemporaryFolder;

const std::string program = RECUR_EXAMPLES_BIN_DIR "/mnist";

class MnistProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(program)) {
      GTEST_SKIP() << "the example was not built";
    }
  }
  Finished run(std::vector<std::string> arguments) {
    return run_program(program, folder_, arguments);
  }

  // Two images a class, for training and test.
  void write_images() const;

  TemporaryFolder folder_;
};

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void MnistProgram::write_images() const {
  std::string images("\0\0\x08\x03\0\0\0\x14\0\0\0\x1c\0\0\0\x1c", 16);
  std::string labels("\0\0\x08\x01\0\0\0\x14", 8);
  for (int k = 0; k < 20; ++k) {
    images += std::string(784, static_cast<char>(10 * (k % 10)));
    labels += static_cast<char>(k % 10);
  }
  for (const char* part : {"train", "t10k"}) {
    write(folder_ / (std::string(part) + "-images-idx3-ubyte"), images);
    write(folder_ / (std::string(part) + "-labels-idx1-ubyte"), labels);
  }
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// The four files of a folder, the labels of the training images one byte short.
TEST_F(MnistProgram, BrokenDataIsOneErrorAndExitCode2) {
  const std::string image(784, '\1');
  const std::string images = std::string("\0\0\x08\x03\0\0\0\1\0\0\0\x1c\0\0\0\x1c", 16) + image;
  const std::string labels = std::string("\0\0\x08\x01\0\0\0\1\7", 9);
  write(folder_ / "train-images-idx3-ubyte", images);
  write(folder_ / "train-labels-idx1-ubyte", labels.substr(0, 8));
  write(folder_ / "t10k-images-idx3-ubyte", images);
  write(folder_ / "t10k-labels-idx1-ubyte", labels);
  const Finished broken =
      run({"--data", folder_.path().string(), "--out", (folder_ / "out").string()});
  EXPECT_EQ(broken.code, 2);
  EXPECT_NE(broken.output.find("train-labels-idx1-ubyte"), std::string::npos) << broken.output;
  EXPECT_EQ(std::count(broken.output.begin(), broken.output.end(), '\n'), 1) << broken.output;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(MnistProgram, MissingFolderIsExitCode2) {
  EXPECT_EQ(run({"--data", (folder_ / "nowhere").string()}).code, 2);
}

TEST_F(MnistProgram, WrongOptionsAreRefused) {
  for (const char* option :
       {"--preset=huge", "--hidden=0", "--dropout=2", "--cell=cnn", "--evaluate"}) {
    const Finished refused = run({option});
    EXPECT_NE(refused.code, 0) << option;
    EXPECT_FALSE(refused.output.empty()) << option;
  }
}

// Trains for a moment on one image a class, writes its files, reads its weights back.
TEST_F(MnistProgram, TrainsSavesAndEvaluates) {
  write_images();
  const std::string data = folder_.path().string();
  const std::string out = (folder_ / "out").string();
  for (const char* cell : {"lstm", "gru", "rnn", "rnn_relu"}) {
    const Finished trained = run({"--data",
                                  data,
                                  "--out",
                                  out,
                                  "--cell",
                                  cell,
                                  "--hidden",
                                  "9",
                                  "--layers",
                                  "2",
                                  "--bidirectional",
                                  "--dropout",
                                  "0.1",
                                  "--batch",
                                  "10",
                                  "--iterations",
                                  "4",
                                  "--optimizer",
                                  "adamw",
                                  "--threads",
                                  "1"});
    ASSERT_EQ(trained.code, 0) << trained.output;
    EXPECT_NE(trained.output.find("test accuracy: "), std::string::npos);
    for (const char* file : {"loss.svg", "losses.csv", "model.safetensors"}) {
      EXPECT_TRUE(std::filesystem::exists(folder_.path() / "out" / file)) << file;
    }
    // The file says what model it is of.
    const Finished evaluated =
        run({"--data", data, "--evaluate", "--load", out + "/model.safetensors"});
    ASSERT_EQ(evaluated.code, 0) << evaluated.output;
    const auto accuracy = [](const std::string& text) {
      return text.substr(text.rfind("test accuracy: "));
    };
    EXPECT_EQ(accuracy(evaluated.output), accuracy(trained.output));
  }
}

// Stopped after two epochs, in the middle of a third, and gone on with by another process: the same
// weights and losses as without a stop, to the last bit.
TEST_F(MnistProgram, ResumesToTheSameBits) {
  write_images();
  for (const char* optimizer : {"sgd", "adam", "adamw"}) {
    const auto train = [&](const std::string& out, const std::vector<std::string>& more) {
      std::vector<std::string> arguments = {"--data",     folder_.path().string(),
                                            "--out",      (folder_ / out).string(),
                                            "--cell",     "lstm",
                                            "--hidden",   "9",
                                            "--layers",   "2",
                                            "--dropout",  "0.3",
                                            "--batch",    "4",
                                            "--lr",       "0.01",
                                            "--clip",     "1",
                                            "--threads",  "1",
                                            "--no-decay", "--optimizer",
                                            optimizer};
      if (std::string(optimizer) == "sgd") {
        arguments.insert(arguments.end(), {"--momentum", "0.9"});
      }
      arguments.insert(arguments.end(), more.begin(), more.end());
      const Finished finished = run(arguments);
      EXPECT_EQ(finished.code, 0) << finished.output;
    };
    const std::string checkpoint = (folder_ / "stopped" / "checkpoint.safetensors").string();
    train("whole", {"--iterations", "23"});  // 5 an epoch
    train("stopped", {"--iterations", "12"});
    train("resumed", {"--iterations", "23", "--resume", checkpoint});
    for (const char* file : {"model.safetensors", "losses.csv"}) {
      EXPECT_EQ(contents(folder_ / "resumed" / file), contents(folder_ / "whole" / file))
          << optimizer << ": " << file;
      EXPECT_NE(contents(folder_ / "stopped" / file), contents(folder_ / "whole" / file));
    }
    if (std::string(optimizer) == "adam") {
      const Finished other = run({"--data", folder_.path().string(), "--out",
                                  (folder_ / "other").string(), "--cell", "lstm", "--hidden", "9",
                                  "--layers", "2", "--optimizer", "sgd", "--resume", checkpoint});
      EXPECT_NE(other.code, 0);
      EXPECT_NE(other.output.find("expected the state of SGD, got that of \"Adam\""),
                std::string::npos)
          << other.output;
    }
  }
}

}  // namespace
}  // namespace mnist_program_test
