// SPDX-License-Identifier: MIT
//
// The program examples/load_pytorch on the file that export.py wrote with PyTorch, and on the same
// with one weight changed.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace load_pytorch_program_test {
namespace {

using recur::test::Finished;
using recur::test::TemporaryFolder;

const std::string program = RECUR_EXAMPLES_BIN_DIR "/load_pytorch";
const std::string file = RECUR_TESTS_DIR "/../examples/load_pytorch/model.safetensors";

class LoadPyTorch : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(program)) {
      GTEST_SKIP() << "the example was not built";
    }
  }
  Finished run(const std::vector<std::string>& arguments) {
    return recur::test::run_program(program, folder_, arguments);
  }

  TemporaryFolder folder_;
};

TEST_F(LoadPyTorch, ComputesWhatPyTorchDid) {
  const Finished finished = run({file});
  EXPECT_EQ(finished.code, 0);
  EXPECT_EQ(finished.output.find("Forecaster: as in PyTorch: largest difference "), 0U)
      << finished.output;
  // What PyTorch 1.13 prints for Forecaster()(torch.randn(5, 4, 3))[0] after manual_seed(0).
  EXPECT_NE(finished.output.find("forecast of the first sequence: -0.145415 -0.121869\n"),
            std::string::npos)
      << finished.output;
}

TEST_F(LoadPyTorch, RefusesAChangedWeight) {
  std::ifstream stream(file, std::ios::binary);
  std::string contents(std::istreambuf_iterator<char>(stream), {});
  // The data of the last float of a weight: F32, 0x40 at its top makes it at least 2.
  const auto header = static_cast<std::size_t>(static_cast<unsigned char>(contents[0])) +
                      256 * static_cast<std::size_t>(static_cast<unsigned char>(contents[1]));
  contents[8 + header + 3] = '\x40';
  std::ofstream(folder_ / "changed.safetensors", std::ios::binary) << contents;
  const Finished finished = run({(folder_ / "changed.safetensors").string()});
  EXPECT_EQ(finished.code, 1);
  EXPECT_NE(finished.output.find(
                "changed.safetensors: \"self_test.output\": the model computes something else: "
                "largest difference at ["),
            std::string::npos)
      << finished.output;
  EXPECT_NE(finished.output.find("(by PyTorch "), std::string::npos) << finished.output;
}

TEST_F(LoadPyTorch, SaysWhatIsWrong) {
  EXPECT_EQ(run({}).code, 2);
  const Finished missing = run({(folder_ / "none").string()});
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.output.find("none: cannot be opened"), std::string::npos) << missing.output;
  const Finished other = run({RECUR_TESTS_DIR "/golden/model.safetensors"});
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.output.find("model.safetensors: metadata module: expected it, got none"),
            std::string::npos)
      << other.output;
}

}  // namespace
}  // namespace load_pytorch_program_test
