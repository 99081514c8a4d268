// SPDX-License-Identifier: MIT
//
// The names that a pickle may hold are those of torch.load(weights_only=True)
// (torch/_weights_only_unpickler.py); the sizes are the itemsize of PyTorch's dtypes.
#include "recur/io/pickle_value.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/dtype.hpp"

namespace pickle_value_test {
namespace {

using recur::detail::known_pickle_names;
using recur::detail::KnownPickleName;
using recur::detail::PickleKind;
using recur::detail::PickleName;
using recur::detail::PickleValue;

// "module name" of all that have this meaning.
std::set<std::string> names_of(PickleName meaning) {
  std::set<std::string> names;
  for (const KnownPickleName& known : known_pickle_names) {
    if (known.meaning == meaning) {
      names.insert(std::string(known.module) + " " + std::string(known.name));
    }
  }
  return names;
}

const KnownPickleName* find(const std::string& module, const std::string& name) {
  for (const KnownPickleName& known : known_pickle_names) {
    if (known.module == module && known.name == name) {
      return &known;
    }
  }
  return nullptr;
}

struct Dtype {
  std::string name;     // in torch
  std::string storage;  // the class of its storage; "": has none of its own
  std::string dtype;    // in safetensors
  std::size_t size;     // torch.<name>.itemsize; 0: not read here
};
const std::vector<Dtype> dtypes{
    {"float64", "DoubleStorage", "F64", 8},
    {"float32", "FloatStorage", "F32", 4},
    {"float16", "HalfStorage", "F16", 2},
    {"bfloat16", "BFloat16Storage", "BF16", 2},
    {"int64", "LongStorage", "I64", 8},
    {"int32", "IntStorage", "I32", 4},
    {"int16", "ShortStorage", "I16", 2},
    {"int8", "CharStorage", "I8", 1},
    {"uint8", "ByteStorage", "U8", 1},
    {"bool", "BoolStorage", "BOOL", 1},
    {"complex64", "ComplexFloatStorage", "C64", 8},
    {"complex128", "ComplexDoubleStorage", "complex128", 0},
    {"uint16", "", "U16", 2},
    {"uint32", "", "U32", 4},
    {"uint64", "", "U64", 8},
    {"float8_e4m3fn", "", "F8_E4M3", 1},
    {"float8_e5m2", "", "F8_E5M2", 1},
    {"float8_e8m0fnu", "", "F8_E8M0", 1},
};

TEST(PickleValue, DtypesAndTheirStorages) {
  std::set<std::string> names;
  std::set<std::string> storages{"torch.storage UntypedStorage"};
  for (const Dtype& expected : dtypes) {
    const KnownPickleName* dtype = find("torch", expected.name);
    ASSERT_NE(dtype, nullptr) << expected.name;
    EXPECT_EQ(dtype->dtype, expected.dtype);
    EXPECT_EQ(recur::dtype_size(dtype->dtype), expected.size) << expected.name;
    names.insert("torch " + expected.name);
    if (!expected.storage.empty()) {
      const KnownPickleName* storage = find("torch", expected.storage);
      ASSERT_NE(storage, nullptr) << expected.storage;
      EXPECT_EQ(storage->dtype, expected.dtype) << expected.storage;
      storages.insert("torch " + expected.storage);
    }
  }
  EXPECT_EQ(names_of(PickleName::dtype), names);
  EXPECT_EQ(names_of(PickleName::storage), storages);
  EXPECT_EQ(find("torch.storage", "UntypedStorage")->dtype, "");
}

// All that a file may name beside dtypes and storages. What else is added can harm: say why here.
TEST(PickleValue, FunctionsAndClasses) {
  const std::vector<std::pair<PickleName, std::set<std::string>>> expected{
      {PickleName::ordered_dict, {"collections OrderedDict"}},
      {PickleName::rebuild_tensor, {"torch._utils _rebuild_tensor_v2"}},
      {PickleName::rebuild_tensor_3, {"torch._utils _rebuild_tensor_v3"}},
      {PickleName::rebuild_parameter,
       {"torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state"}},
      {PickleName::rebuild_from_type, {"torch._tensor _rebuild_from_type_v2"}},
      {PickleName::inert,
       {"torch Size", "torch device", "torch Tensor", "torch.nn.parameter Parameter",
        "torch.nn.parameter Buffer", "collections Counter", "_codecs encode", "__builtin__ set",
        "__builtin__ complex", "__builtin__ bytearray", "builtins set", "builtins complex",
        "builtins bytearray"}}};
  std::size_t count = names_of(PickleName::dtype).size() + names_of(PickleName::storage).size();
  for (const auto& [meaning, names] : expected) {
    EXPECT_EQ(names_of(meaning), names);
    count += names.size();
  }
  EXPECT_EQ(known_pickle_names.size(), count);  // no name has two meanings
  EXPECT_LE(known_pickle_names.size(), 256U);   // PickleValue::name
}

TEST(PickleValue, OnlyDtypesAndStoragesHaveADtype) {
  for (const KnownPickleName& known : known_pickle_names) {
    if (known.meaning != PickleName::dtype && known.meaning != PickleName::storage) {
      EXPECT_EQ(known.dtype, "") << known.name;
    }
  }
}

TEST(PickleValue, IsNoneByItself) {
  const PickleValue value;
  EXPECT_EQ(value.kind, PickleKind::none);
  EXPECT_TRUE(value.items.empty());
  EXPECT_TRUE(value.text.empty());
}

TEST(PickleValue, KnowsItsName) {
  for (std::size_t k = 0; k < known_pickle_names.size(); ++k) {
    const PickleValue value{.kind = PickleKind::name, .name = static_cast<std::uint8_t>(k)};
    EXPECT_EQ(&value.known(), &known_pickle_names[k]);
  }
}

// The bits of IEEE 754: sign, 11 bits of exponent + 1023, 52 of the fraction.
TEST(PickleValue, RealNumbersAreKeptAsBits) {
  const auto real = [](std::uint64_t bits) {
    return PickleValue{.kind = PickleKind::real, .integer = static_cast<std::int64_t>(bits)}.real();
  };
  EXPECT_EQ(real(0x3FF8000000000000), 1.5);
  EXPECT_EQ(real(0xC000000000000000), -2.0);
  EXPECT_EQ(real(1), 0x1p-1074);
  EXPECT_EQ(real(0), 0.0);
  EXPECT_TRUE(std::signbit(real(0x8000000000000000)));
  EXPECT_EQ(real(0x7FF0000000000000), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(real(0x7FF8000000000000)));
}

}  // namespace
}  // namespace pickle_value_test
