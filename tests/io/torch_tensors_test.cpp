// SPDX-License-Identifier: MIT
//
// Tensors by the arguments of torch._utils._rebuild_tensor_v2 and _v3:
//
//   v2(storage, offset, shape, strides, requires_grad, hooks, [metadata])
//   v3(storage, offset, shape, strides, requires_grad, hooks, dtype, [metadata])
#include "recur/io/torch_tensors.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace torch_tensors_test {
namespace {

using recur::Index;
using recur::StoredTensor;
using recur::TensorFile;
using recur::ZipFile;
using recur::detail::Pickle;
using recur::detail::torch_entry;
using recur::detail::TorchBudget;
using recur::detail::TorchTensors;
using recur::test::bytes_of_text;
using recur::test::error_of;
using recur::test::pickled;
using recur::test::pickled_name;
using recur::test::PickledTensor;
using recur::test::raw;
using recur::test::text_of_bytes;
using Shape = std::vector<Index>;
using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

const std::string numbers = raw(0.F, 1.F, 2.F, 3.F, 4.F, 5.F);

// A file with the storage data/0 and a pickle whose root is a call.
struct Torch {
  std::string contents;
  std::string archive;
  ZipFile zip;
  Pickle values;
  TorchBudget budget;
  TensorFile file{"test.pt"};
  TorchTensors tensors;

  explicit Torch(const std::string& call, std::uint64_t size = 1000,
                 const std::string& data = numbers)
      : contents(recur::test::pickle(call)),
        archive(recur::test::archive({{"a/data.pkl", contents}, {"a/data/0", data}})),
        zip(bytes_of_text(archive), "test.pt"),
        values(bytes_of_text(contents), "test.pt: data.pkl"),
        budget("test.pt", size),
        tensors(zip, "a/", values, budget, file) {}

  StoredTensor tensor() { return tensors.tensor("w", values.root()); }
};

std::string error_of_call(const std::string& call) {
  return error_of([&] { Torch(call).tensor(); });
}
std::string error_of_tensor(const PickledTensor& tensor) { return error_of_call(pickled(tensor)); }

// The elements of a tensor of data/0, as text.
std::string read(const PickledTensor& tensor) {
  return text_of_bytes(Torch(pickled(tensor)).tensor().bytes);
}

// The arguments of a call one by one, as instructions; that of a tensor (2, 3) of data/0.
struct Call {
  std::string function = "_rebuild_tensor_v2";
  std::string tag = pickled("storage");
  std::string storage_class = pickled_name("torch", "FloatStorage");
  std::string key = pickled("0");
  std::string count = pickled(std::int64_t{6});
  std::string storage = "";  // instead of these
  std::string offset = pickled(std::int64_t{0});
  std::string shape = pickled(Sizes{2, 3});
  std::string strides = pickled(Sizes{3, 1});
  std::string requires_grad = "\x89";  // False
  std::string more = "";               // behind the hooks

  std::string text() const {
    return pickled_name("torch._utils", function) + "(" +
           (storage.empty() ? "(" + tag + storage_class + key + pickled("cpu") + count + "tQ"
                            : storage) +
           offset + shape + strides + requires_grad + "}" + more + "tR";
  }
};
// One of an untyped storage and a dtype.
Call call_with_dtype(const std::string& dtype, const Sizes& shape) {
  return {.function = "_rebuild_tensor_v3",
          .storage_class = pickled_name("torch.storage", "UntypedStorage"),
          .count = pickled(std::int64_t{24}),
          .shape = pickled(shape),
          .strides = pickled(Sizes(shape.size(), 1)),
          .more = pickled_name("torch", dtype)};
}

TEST(TorchTensors, WholeStorage) {
  Torch torch(pickled(PickledTensor{}));
  const StoredTensor tensor = torch.tensor();
  EXPECT_EQ(tensor.dtype, "F32");
  EXPECT_EQ(tensor.shape, (Shape{2, 3}));
  EXPECT_EQ(text_of_bytes(tensor.bytes), numbers);
  EXPECT_EQ(text_of_bytes(Torch(Call{}.text()).tensor().bytes), numbers);
}

// Element (i, j) is storage[offset + i · strides[0] + j · strides[1]].
TEST(TorchTensors, OffsetsAndStrides) {
  EXPECT_EQ(read({.shape = {3, 2}, .strides = {1, 3}}), raw(0.F, 3.F, 1.F, 4.F, 2.F, 5.F));
  EXPECT_EQ(read({.offset = 1, .shape = {2}, .strides = {4}}), raw(1.F, 5.F));
  EXPECT_EQ(read({.offset = 2, .shape = {2, 2}, .strides = {2, 1}}), raw(2.F, 3.F, 4.F, 5.F));
  EXPECT_EQ(read({.offset = 4, .shape = {3, 2}, .strides = {0, 1}}),
            raw(4.F, 5.F, 4.F, 5.F, 4.F, 5.F));
  EXPECT_EQ(read({.offset = 5, .shape = {}, .strides = {}}), raw(5.F));
  EXPECT_EQ(read({.offset = 6, .shape = {0, 3}, .strides = {3, 1}}), "");
  EXPECT_EQ(Torch(pickled({.shape = {2, 0}, .strides = {9, 9}})).tensor().shape, (Shape{2, 0}));
}

TEST(TorchTensors, ContiguousOnesLieInTheFile) {
  for (const PickledTensor& tensor :
       std::vector<PickledTensor>{{.offset = 3, .shape = {3}, .strides = {1}},
                                  {.offset = 3, .shape = {1, 3}, .strides = {99, 1}},
                                  {.offset = 3, .shape = {3, 1}, .strides = {1, 0}},
                                  {.offset = 2, .shape = {2, 1, 2}, .strides = {2, 7, 1}}}) {
    Torch torch(pickled(tensor), 0);  // nothing may be copied
    const auto storage = torch_entry(torch.zip, "a/data/0").bytes;
    EXPECT_EQ(torch.tensor().bytes.data(), storage.data() + tensor.offset * 4);
  }
}

TEST(TorchTensors, OthersAreCopiedOnce) {
  const PickledTensor transposed{.shape = {3, 2}, .strides = {1, 3}};
  Torch torch(pickled(transposed), 2);  // 32 bytes: for one copy of 24
  const StoredTensor first = torch.tensor();
  const StoredTensor again = torch.tensors.tensor("other", torch.values.root());
  EXPECT_EQ(first.bytes.data(), again.bytes.data());
  EXPECT_EQ(text_of_bytes(again.bytes), raw(0.F, 3.F, 1.F, 4.F, 2.F, 5.F));
}

TEST(TorchTensors, CopiesAreBoundedByTheFile) {
  const std::string expanded = pickled({.shape = {4, 4}, .strides = {0, 1}});  // 64 bytes
  EXPECT_EQ(Torch(expanded, 4).tensor().bytes.size(), 64U);
  EXPECT_EQ(error_of([&] { Torch(expanded, 3).tensor(); }),
            "test.pt: \"w\": what is read would take more than 16 times the size of the file "
            "(tensors made by expand() or saved many times over: save tensor.clone())");
  // Before the memory is asked for.
  EXPECT_NE(error_of_tensor({.shape = {1'000'000'000, 1'000'000}, .strides = {0, 0}})
                .find("would take more than 16 times"),
            std::string::npos);
}

TEST(TorchBudget, IsSpentOnce) {
  TorchBudget budget("test.pt", 10);
  budget.spend(100, "a");
  budget.spend(0, "b");
  EXPECT_ERROR(budget.spend(61, "c"), "test.pt: \"c\": what is read would take more than 16 times");
  budget.spend(60, "d");  // an error spends nothing
  EXPECT_ERROR(budget.spend(1, "e"), "\"e\": what is read");
  EXPECT_ERROR(budget.spend(~std::uint64_t{0}, "f"), "\"f\": what is read");
}

TEST(TorchEntry, MustBeThere) {
  const Torch torch(pickled(PickledTensor{}));
  EXPECT_EQ(text_of_bytes(torch_entry(torch.zip, "a/data.pkl").bytes), torch.contents);
  EXPECT_EQ(error_of([&] { torch_entry(torch.zip, "a/data/1"); }),
            "test.pt: the archive has no \"a/data/1\"");
}

// PyTorch 2.3 and newer: an untyped storage, and the dtype.
TEST(TorchTensors, NewerDtypes) {
  struct Elements {
    std::string dtype;
    std::string bytes;  // a copy: a tensor's lie in the file
  };
  const auto read_as = [](const std::string& dtype, const Sizes& shape) {
    Torch file(call_with_dtype(dtype, shape).text());
    const StoredTensor tensor = file.tensor();
    return Elements{tensor.dtype, text_of_bytes(tensor.bytes)};
  };
  EXPECT_EQ(read_as("uint16", {2}).dtype, "U16");
  EXPECT_EQ(read_as("uint32", {2}).bytes, raw(0.F, 1.F));
  EXPECT_EQ(read_as("uint64", {3}).bytes.size(), 24U);
  EXPECT_EQ(read_as("float8_e4m3fn", {24}).dtype, "F8_E4M3");
  EXPECT_EQ(read_as("float8_e5m2", {24}).dtype, "F8_E5M2");
  EXPECT_ERROR(read_as("float8_e5m2", {25}), "reaches past its storage of 24 elements");
  EXPECT_ERROR(read_as("uint64", {4}), "reaches past its storage of 3 elements");
  EXPECT_ERROR(read_as("complex128", {1}), "test.pt: \"w\": unknown dtype \"complex128\"");
}

TEST(TorchTensors, DtypesThatDoNotGoWithTheStorage) {
  const std::string error = "test.pt: \"w\": expected an untyped storage and a dtype";
  Call call = call_with_dtype("uint16", {2});
  call.more = "";
  EXPECT_EQ(error_of_call(call.text()), error);
  call.more = "N";
  EXPECT_EQ(error_of_call(call.text()), error);
  call.more = pickled_name("torch", "FloatStorage");
  EXPECT_EQ(error_of_call(call.text()), error);
  call = call_with_dtype("float32", {2});
  call.storage_class = pickled_name("torch", "FloatStorage");
  call.count = pickled(std::int64_t{6});
  EXPECT_EQ(error_of_call(call.text()), error);
  call.function = "_rebuild_tensor_v2";
  call.storage_class = pickled_name("torch.storage", "UntypedStorage");
  call.count = pickled(std::int64_t{24});
  EXPECT_EQ(error_of_call(call.text()), "test.pt: \"w\": unknown dtype \"\"");
  EXPECT_EQ(error_of_tensor({.storage = "ComplexDoubleStorage"}),
            "test.pt: \"w\": unknown dtype complex128");
}

TEST(TorchTensors, WhatReachesPastTheStorage) {
  EXPECT_EQ(error_of_tensor({.offset = 1}),
            "test.pt: \"w\": shape (2, 3) with strides (3, 1) and offset 1 reaches past its "
            "storage of 6 elements");
  for (const PickledTensor& tensor :
       std::vector<PickledTensor>{{.offset = 6, .shape = {}, .strides = {}},
                                  {.offset = 7, .shape = {0}, .strides = {1}},
                                  {.offset = huge, .shape = {1}, .strides = {1}},
                                  {.shape = {7}, .strides = {1}},
                                  {.shape = {2}, .strides = {6}},
                                  {.shape = {2, 2}, .strides = {3, 3}},
                                  {.shape = {2}, .strides = {huge}},
                                  {.shape = {5}, .strides = {huge / 2 + 1}},  // 4 · 2⁶² = 2⁶⁴
                                  {.shape = {3, 3}, .strides = {huge / 2 + 1, huge / 2 + 1}},
                                  {.shape = {huge / 8}, .strides = {1}}}) {
    EXPECT_NE(error_of_tensor(tensor).find("reaches past its storage of 6"), std::string::npos);
  }
}

TEST(TorchTensors, ShapesThatAreNone) {
  const std::string w = "test.pt: \"w\": ";
  EXPECT_EQ(error_of_tensor({.offset = -1}),
            w + "offset: expected a whole number from 0 on, got -1");
  EXPECT_EQ(error_of_tensor({.shape = {-2, 3}}),
            w + "shape: expected a whole number from 0 on, got -2");
  EXPECT_EQ(error_of_tensor({.strides = {3, -1}}),
            w + "strides: expected a whole number from 0 on, got -1");
  EXPECT_EQ(error_of_tensor({.strides = {1}}), w + "shape (2, 3): got 1 strides");
  EXPECT_EQ(error_of_tensor({.shape = {1LL << 31, 1LL << 30}}),
            w + "shape (2147483648, 1073741824): the number of bytes overflows");
  const Sizes ones(64, 1);
  EXPECT_EQ(read({.shape = ones, .strides = ones}), raw(0.F));  // as many as PyTorch has
  EXPECT_EQ(error_of_tensor({.shape = Sizes(65, 1)}),
            w + "shape: expected a tuple of at most 64 numbers");
  EXPECT_EQ(error_of_call(Call{.offset = "N"}.text()),
            w + "offset: expected a whole number from 0 on");
  EXPECT_EQ(error_of_call(Call{.shape = "]"}.text()),
            w + "shape: expected a tuple of at most 64 numbers");
  EXPECT_EQ(error_of_call(Call{.strides = pickled("x") + "\x85"}.text()),
            w + "strides: expected a whole number from 0 on");
}

TEST(TorchTensors, StoragesThatAreNone) {
  const std::string parts =
      "test.pt: \"w\": expected a storage: \"storage\", class, key, device, number of elements";
  EXPECT_EQ(error_of_call(Call{.storage = "N"}.text()),
            "test.pt: \"w\": expected a storage in the file");
  EXPECT_EQ(error_of_call(Call{.tag = pickled("module")}.text()), parts);
  EXPECT_EQ(error_of_call(Call{.tag = "N"}.text()), parts);
  EXPECT_EQ(error_of_call(Call{.storage_class = pickled("FloatStorage")}.text()), parts);
  EXPECT_EQ(error_of_call(Call{.storage_class = pickled_name("torch", "float32")}.text()), parts);
  EXPECT_EQ(error_of_call(Call{.key = pickled(std::int64_t{0})}.text()), parts);
  EXPECT_EQ(error_of_call(Call{.count = "N"}.text()),
            "test.pt: \"w\": elements of the storage: expected a whole number from 0 on");
  EXPECT_EQ(error_of_tensor({.key = "1"}), "test.pt: the archive has no \"a/data/1\"");
  EXPECT_EQ(error_of_tensor({.key = "../data.pkl"}),
            "test.pt: the archive has no \"a/data/../data.pkl\"");
}

TEST(TorchTensors, StoragesOfAnotherSize) {
  const std::string expected = "test.pt: \"w\": expected a storage of ";
  EXPECT_EQ(error_of_tensor({.elements = 5}), expected + "5 elements of 4 bytes, got 24 bytes");
  EXPECT_EQ(error_of_tensor({.storage = "DoubleStorage"}),
            expected + "6 elements of 8 bytes, got 24 bytes");
  EXPECT_EQ(error_of_tensor({.elements = huge}),
            expected + "9223372036854775807 elements of 4 bytes, got 24 bytes");
  EXPECT_EQ(error_of([] { Torch(Call{}.text(), 1000, numbers + "x").tensor(); }),
            expected + "6 elements of 4 bytes, got 25 bytes");
}

// torch._C's is_conj and is_neg, which a file holds as metadata.
TEST(TorchTensors, ConjugateViews) {
  const std::string error =
      "test.pt: \"w\": is a conjugate or negative view: save tensor.resolve_conj().resolve_neg()";
  const std::string conj = "}" + pickled("conj") + "\x88s";      // {"conj": True}
  const std::string not_conj = "}" + pickled("conj") + "\x89s";  // {"conj": False}
  EXPECT_EQ(error_of_call(Call{.more = conj}.text()), error);
  EXPECT_EQ(Torch(Call{.more = not_conj}.text()).tensor().shape, (Shape{2, 3}));
  EXPECT_EQ(Torch(Call{.requires_grad = "\x88"}.text()).tensor().shape, (Shape{2, 3}));
  Call newer = call_with_dtype("uint16", {2});
  const std::string dtype = newer.more;
  newer.more = dtype + conj;
  EXPECT_EQ(error_of_call(newer.text()), error);
  newer.more = dtype + not_conj;
  EXPECT_EQ(Torch(newer.text()).tensor().dtype, "U16");
}

// What is copied belongs to the TensorFile, not to the reader.
TEST(TorchTensors, TheFileKeepsCopies) {
  Torch torch("N");
  const std::string contents = recur::test::pickle(pickled({.shape = {3, 2}, .strides = {1, 3}}));
  StoredTensor tensor;
  {
    const Pickle values(bytes_of_text(contents), "test.pt: data.pkl");
    tensor =
        TorchTensors(torch.zip, "a/", values, torch.budget, torch.file).tensor("w", values.root());
  }
  EXPECT_EQ(text_of_bytes(tensor.bytes), raw(0.F, 3.F, 1.F, 4.F, 2.F, 5.F));
}

}  // namespace
}  // namespace torch_tensors_test
