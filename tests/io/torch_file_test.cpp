// SPDX-License-Identifier: MIT
#include "recur/io/torch_file.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/safetensors.hpp"

#include "support/files.hpp"
#include "support/temporary_folder.hpp"

namespace torch_file_test {
namespace {

using recur::Index;
using recur::load_torch;
using recur::TensorFile;
using recur::test::archive;
using recur::test::bytes_of_text;
using recur::test::exported_file;
using recur::test::pickle;
using recur::test::pickled;
using recur::test::pickled_name;
using recur::test::PickledTensor;
using recur::test::raw;
using recur::test::torch_file;
using Names = std::vector<std::string>;
using Shape = std::vector<Index>;
using Values = std::vector<float>;

TensorFile parse(const std::string& file, const std::string& key = "") {
  return recur::parse_torch(bytes_of_text(file), "test.pt", key);
}

// A file with a dict of one tensor, "w".
std::string file_of(const PickledTensor& tensor) {
  return torch_file(pickle("}" + pickled("w") + pickled(tensor) + "s"));
}

// ---- Files that PyTorch wrote: tests/golden/export_files.py ----

TEST(TorchFile, StateDict) {
  const TensorFile expected = recur::load_safetensors(exported_file("state_dict.safetensors"));
  for (const char* name : {"state_dict.pt", "state_dict_protocol4.pt"}) {
    const TensorFile file = load_torch(exported_file(name));
    EXPECT_EQ(file.name(), exported_file(name).string());
    EXPECT_EQ(file.names(), (Names{"lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0",
                                   "lstm.bias_hh_l0", "head.weight", "head.bias"}));
    EXPECT_TRUE(file.metadata().empty());
    for (const std::string& tensor : file.names()) {
      EXPECT_EQ(file.tensor(tensor).dtype, "F32");
      EXPECT_EQ(file.tensor(tensor).shape, expected.tensor(tensor).shape);
      EXPECT_EQ(file.values<float>(tensor), expected.values<float>(tensor)) << tensor;
    }
  }
}

TEST(TorchFile, Checkpoint) {
  const TensorFile all = load_torch(exported_file("checkpoint.pt"));
  EXPECT_TRUE(all.contains("model.lstm.weight_ih_l0"));
  EXPECT_EQ(all.values<float>("optimizer.state.0.step"), Values{1});
  EXPECT_EQ(all.tensor("optimizer.state.0.exp_avg").shape, (Shape{12, 2}));
  EXPECT_EQ(all.values<float>("nested.ema.head.weight"), (Values{0, 1}));
  EXPECT_EQ(all.metadata().at("epoch"), "3");
  EXPECT_EQ(all.metadata().at("loss"), "0.25");
  EXPECT_EQ(all.metadata().at("name"), "tiny");
  EXPECT_EQ(all.metadata().at("best"), "true");
  EXPECT_EQ(all.metadata().at("large"), "1099511627776");
  EXPECT_EQ(all.metadata().at("negative"), "-5");
  EXPECT_EQ(all.metadata().at("optimizer.param_groups.0.lr"), "0.01");
  for (const char* without_text : {"none", "too_large", "bytes", "shape", "device", "set"}) {
    EXPECT_EQ(all.metadata().count(without_text), 0U) << without_text;
  }
}

TEST(TorchFile, PartOfACheckpoint) {
  const auto path = exported_file("checkpoint.pt");
  const TensorFile model = load_torch(path, "model");
  EXPECT_EQ(model.names().size(), 6U);
  EXPECT_EQ(model.names().front(), "lstm.weight_ih_l0");
  EXPECT_EQ(load_torch(path, "nested.ema").values<float>("head.weight"), (Values{0, 1}));
  EXPECT_EQ(load_torch(path, "nested.ema.head").values<float>("weight"), (Values{0, 1}));
  EXPECT_EQ(load_torch(path, "nested.ema.head.weight").values<float>("tensor"), (Values{0, 1}));
  EXPECT_EQ(load_torch(path, "ema.model").names(), Names{"w"});  // a key with a point
  EXPECT_EQ(load_torch(path, "optimizer.state.0").names(),
            (Names{"step", "exp_avg", "exp_avg_sq"}));

  EXPECT_ERROR(load_torch(path, "state_dict"),
               "checkpoint.pt: no key \"state_dict\"; the keys are \"model\" (holds tensors), "
               "\"optimizer\" (holds tensors), \"epoch\", \"loss\", \"name\"");
  EXPECT_ERROR(load_torch(path, "nested.other"),
               "no key \"nested.other\"; the keys are \"ema\" (holds tensors)");
  EXPECT_ERROR(load_torch(path, "epoch.x"), "no key \"epoch.x\": what is there is no dict");
  EXPECT_ERROR(load_torch(path, "epoch"), "\"epoch\" is no tensor and no dict, list or tuple");
}

TEST(TorchFile, ViewsAndSharedStorages) {
  const TensorFile file = load_torch(exported_file("views.pt"));
  const auto expect = [&](const std::string& name, const Shape& shape, const Values& values) {
    EXPECT_EQ(file.tensor(name).shape, shape) << name;
    EXPECT_EQ(file.values<float>(name), values) << name;
  };
  expect("part", {2, 3}, {8, 9, 10, 14, 15, 16});
  expect("row", {6}, {12, 13, 14, 15, 16, 17});
  expect("every_second", {4, 3}, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22});
  expect("expanded", {3, 2}, {1, 2, 1, 2, 1, 2});
  expect("parameter", {2}, {7, 7});
  expect("scalar", {}, {3.5});
  expect("empty", {0, 3}, {});
  const auto base = file.matrix<float>("base");
  EXPECT_EQ(file.matrix<float>("transposed"), base.transpose());
  EXPECT_EQ(base(3, 5), 23);

  // int16 (2, 3, 4), permuted to (4, 2, 3).
  const recur::StoredTensor& permuted = file.tensor("permuted");
  EXPECT_EQ(permuted.dtype, "I16");
  EXPECT_EQ(permuted.shape, (Shape{4, 2, 3}));
  std::string expected;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 2; ++j) {
      for (int k = 0; k < 3; ++k) {
        expected += raw(static_cast<std::int16_t>(j * 12 + k * 4 + i));
      }
    }
  }
  EXPECT_EQ(recur::test::text_of_bytes(permuted.bytes), expected);
  // Contiguous ones are not copied: the row lies within the base.
  EXPECT_EQ(file.tensor("row").bytes.data(), file.tensor("base").bytes.data() + 12 * sizeof(float));
}

TEST(TorchFile, Dtypes) {
  const TensorFile file = load_torch(exported_file("dtypes.pt"));
  const std::vector<std::pair<std::string, std::string>> expected{
      {"float64", "F64"}, {"float32", "F32"}, {"float16", "F16"},  {"bfloat16", "BF16"},
      {"int64", "I64"},   {"int32", "I32"},   {"int16", "I16"},    {"int8", "I8"},
      {"uint8", "U8"},    {"bool", "BOOL"},   {"complex64", "C64"}};
  EXPECT_EQ(file.names().size(), expected.size());
  for (const auto& [name, dtype] : expected) {
    EXPECT_EQ(file.tensor(name).dtype, dtype);
    EXPECT_EQ(file.tensor(name).shape, Shape{3});
    if (recur::is_floating_dtype(dtype)) {
      EXPECT_EQ(file.values<float>(name), (Values{0, 1, 2})) << name;
    }
  }
  EXPECT_EQ(recur::test::text_of_bytes(file.tensor("int32").bytes), raw(0, 1, 2));
  EXPECT_ERROR(load_torch(exported_file("complex128.pt")), "\"w\": unknown dtype complex128");
}

TEST(TorchFile, TensorsAndLists) {
  const TensorFile tensor = load_torch(exported_file("tensor.pt"));
  EXPECT_EQ(tensor.names(), Names{"tensor"});
  EXPECT_EQ(tensor.values<float>("tensor"), (Values{0, 1, 2, 3, 4, 5}));
  const TensorFile list = load_torch(exported_file("list.pt"));
  EXPECT_EQ(list.names(), (Names{"0", "1.a"}));
  EXPECT_EQ(list.tensor("0").shape, (Shape{2, 3}));
}

TEST(TorchFile, OtherFilesOfPyTorchAreNamed) {
  EXPECT_ERROR(load_torch(exported_file("legacy.pt")), "written by a PyTorch before 1.6");
  EXPECT_ERROR(load_torch(exported_file("module.pt")),
               "refers to \"torch.nn.modules.linear.Linear\": only tensors and plain values");
  EXPECT_ERROR(load_torch(exported_file("script.pt")), "is a TorchScript program");
  EXPECT_ERROR(load_torch(exported_file("sparse.pt")), "to_dense()");
  EXPECT_ERROR(load_torch(exported_file("quantized.pt")), "dequantize()");
  EXPECT_ERROR(load_torch(exported_file("arrays.npz")), "a zip archive without data.pkl");
  EXPECT_ERROR(load_torch(exported_file("float32.npy")), "expected a zip archive");
  EXPECT_ERROR(load_torch("/nowhere/model.pt"), "/nowhere/model.pt: cannot be opened");
}

// ---- Files put together by hand ----

TEST(TorchFile, AnyFolderAndByteOrder) {
  const std::string contents = pickle("}" + pickled("w") + pickled(PickledTensor{}) + "s");
  const std::string data = raw(0.F, 1.F, 2.F, 3.F, 4.F, 5.F);
  for (const std::string folder : {"archive/", "some/where/", "/"}) {
    const std::string file = archive({{folder + "data.pkl", contents},
                                      {folder + ".format_version", "1"},
                                      {folder + "byteorder", "little"},
                                      {folder + "data/0", data},
                                      {folder + "version", "3\n"}});
    EXPECT_EQ(parse(file).values<float>("w"), (Values{0, 1, 2, 3, 4, 5}));
  }
  EXPECT_ERROR(
      parse(archive({{"a/data.pkl", contents}, {"a/byteorder", "big"}, {"a/data/0", data}})),
      "test.pt: expected the byte order \"little\", got \"big\"");
  EXPECT_ERROR(parse(archive({{"a/data.pkl", contents}, {"b/data.pkl", contents}})),
               "expected one data.pkl, got several");
  EXPECT_ERROR(parse(archive({{"a/data.pkl", contents}})), "the archive has no \"a/data/0\"");
  EXPECT_ERROR(parse(file_of({.offset = 1})), "test.pt: \"w\": shape (2, 3) with strides (3, 1)");
}

// What a small file may make a reader allocate.
TEST(TorchFile, CopiesAreBoundedByTheFile) {
  EXPECT_ERROR(parse(file_of({.shape = {1000, 1000}, .strides = {0, 0}})),
               "would take more than 16 times the size of the file");
  // A dict with a long key, in another one many times.
  std::string dicts = "}" + pickled(std::string(3000, 'k')) + "Nsq" + raw('\0') + "}(";
  for (int k = 0; k < 200; ++k) {
    dicts += pickled(std::to_string(k)) + "h" + raw('\0');
  }
  EXPECT_ERROR(parse(torch_file(pickle(dicts + "u\x86"))), "would take more than 16 times");
}

TEST(TorchFile, ValuesThatComeAgain) {
  // (((…, …), (…, …)), …): a million tuples out of a hundred bytes.
  std::string nested = "]";
  for (char level = 0; level < 20; ++level) {
    nested += "q" + raw(level) + "h" + raw(level) + "\x86";
  }
  EXPECT_ERROR(parse(torch_file(pickle(nested))), "the same values come again and again");
  // A list that contains itself, and a hundred tuples in one another.
  EXPECT_ERROR(parse(torch_file(pickle("]q" + raw('\0') + "h" + raw('\0') + "a"))),
               "come again and again");
  EXPECT_ERROR(parse(torch_file(pickle(")" + std::string(100, '\x85')))), "nests deeper than 32");
}

TEST(TorchFile, NamesOfTensors) {
  const std::string tensor = pickled(PickledTensor{});
  EXPECT_ERROR(
      parse(torch_file(pickle("}(" + pickled("w") + tensor + pickled("w") + tensor + "u"))),
      "\"w\": stands twice in the file");
  EXPECT_ERROR(parse(torch_file(pickle("}(" + pickled("a") + "}" + pickled("b") + tensor + "s" +
                                       pickled("a.b") + tensor + "u"))),
               "\"a.b\": stands twice");
  EXPECT_ERROR(parse(torch_file(pickle("}N" + tensor + "s"))), "keys of text or whole numbers");
  EXPECT_EQ(parse(torch_file(pickle("}" + pickled(std::int64_t{-3}) + tensor + "s"))).names(),
            Names{"-3"});
  EXPECT_ERROR(parse(torch_file(pickle("N"))), "the object in the file is no tensor and no dict");
  // A tensor that stands in a file twice is one tensor of two names.
  const TensorFile tied =
      parse(torch_file(pickle("}(" + pickled("a") + pickled({.shape = {3, 2}, .strides = {1, 3}}) +
                              "q" + raw('\7') + pickled("b") + "h" + raw('\7') + "u")));
  EXPECT_EQ(tied.values<float>("a"), (Values{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(tied.tensor("a").bytes.data(), tied.tensor("b").bytes.data());
}

TEST(TorchFile, KeepsTheFileThatItRefersTo) {
  const recur::test::TemporaryFolder folder;
  recur::test::write_text(folder / "model.pt", file_of({}));
  const TensorFile file = load_torch(folder / "model.pt");
  std::filesystem::remove(folder / "model.pt");
  EXPECT_EQ(file.values<float>("w"), (Values{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace torch_file_test
