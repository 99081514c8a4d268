// SPDX-License-Identifier: MIT
#include "recur/io/load_tensors.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"
#include "support/temporary_folder.hpp"

namespace load_tensors_test {
namespace {

using recur::load_tensors;
using recur::test::archive;
using recur::test::bytes_of_text;
using recur::test::exported_file;
using recur::test::TemporaryFolder;

recur::TensorFile parse(const std::string& file) {
  return recur::parse_tensors(bytes_of_text(file), "file");
}

TEST(LoadTensors, EveryFormatByItsContents) {
  const auto expected = load_tensors(exported_file("state_dict.safetensors"));
  EXPECT_EQ(expected.names().size(), 6U);
  const auto torch = load_tensors(exported_file("state_dict.pt"));
  EXPECT_EQ(torch.values<float>("head.weight"), expected.values<float>("head.weight"));
  EXPECT_EQ(load_tensors(exported_file("float32.npy")).tensor("arr_0").size(), 6);
  EXPECT_EQ(load_tensors(exported_file("arrays.npz")).tensor("weight").size(), 6);
  EXPECT_TRUE(parse(archive({})).names().empty());

  const TemporaryFolder folder;  // the name does not count
  std::filesystem::copy_file(exported_file("state_dict.pt"), folder / "model.safetensors");
  EXPECT_EQ(load_tensors(folder / "model.safetensors").names().size(), 6U);
}

TEST(LoadTensors, OtherFormatsByName) {
  using namespace std::string_literals;
  for (const auto& start_and_part : std::vector<std::pair<std::string, std::string>>{
           {"\x89HDF\r\n\x1a\n\0\0"s, "got an HDF5 file, as Keras writes it"},
           {"\x08\x07\x12\x07pytorch", "got an ONNX model"},
           {"\x1f\x8b\x08\0\0\0"s, "got a gzip file"},
           {"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94."s, "got a pickle of Python"},
           {"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"},
           {"<!DOCTYPE html><html>", "got a web page"},
           {"\x1c\0\0\0TFL3"s, "TensorFlow Lite"},
           {std::string(257, 'x') + "ustar", "tar archive"},
           {"hello", "got a file that begins with \"hello\""},
           {"", "file: is empty"},
           {"\x93", "got a file that begins with"}}) {
    EXPECT_ERROR(parse(start_and_part.first), start_and_part.second);
  }
  EXPECT_ERROR(load_tensors(exported_file("legacy.pt")), "before 1.6");
  EXPECT_ERROR(load_tensors(exported_file("script.pt")), "TorchScript");
  EXPECT_ERROR(load_tensors(exported_file("objects.npy")), "is a pickle");
  EXPECT_ERROR(parse(archive({{"model.weights.h5", ""}, {"config.json", ""}})), "model of Keras");
  EXPECT_ERROR(parse(archive({{"word/document.xml", ""}, {"b", ""}})),
               "got a zip archive with \"word/document.xml\" and 1 more");
  EXPECT_ERROR(load_tensors("/nowhere/model.pt"), "/nowhere/model.pt: cannot be opened");
}

}  // namespace
}  // namespace load_tensors_test
