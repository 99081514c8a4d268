// SPDX-License-Identifier: MIT
#include "recur/io/pickle.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace pickle_test {
namespace {

using recur::detail::Pickle;
using recur::detail::PickleKind;
using recur::detail::PickleRef;
using recur::detail::PickleValue;
using recur::test::bytes_of_text;
using recur::test::pickle;
using recur::test::pickled;
using recur::test::pickled_name;
using recur::test::raw;

Pickle parse(const std::string& bytes) { return Pickle(bytes_of_text(bytes), "test.pkl"); }

// As Python prints it; `depth` against values that contain themselves.
std::string text_of(const Pickle& values, PickleRef ref, int depth = 4) {
  const PickleValue& value = values[ref];
  const auto list = [&](const char* begin, const char* end) {
    std::string text = begin;
    for (std::size_t k = 0; k < value.items.size() && depth > 0; ++k) {
      const bool after_key = value.kind == PickleKind::dict && k % 2 == 1;
      text += (k == 0 ? "" : after_key ? ": " : ", ") + text_of(values, value.items[k], depth - 1);
    }
    return text + end;
  };
  switch (value.kind) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return value.integer != 0 ? "True" : "False";
    case PickleKind::integer:
      return std::to_string(value.integer);
    case PickleKind::real:
      return std::to_string(value.real());
    case PickleKind::text:
      return "'" + std::string(value.text) + "'";
    case PickleKind::tuple:
      return list("(", ")");
    case PickleKind::list:
      return list("[", "]");
    case PickleKind::dict:
      return list("{", "}");
    case PickleKind::name:
      return std::string(value.known().name);
    case PickleKind::call:
      return std::string(value.known().name) + list("(", ")");
    case PickleKind::storage:
      return list("storage(", ")");
    case PickleKind::inert:
      return "inert";
  }
  return "";
}

std::string read(const std::string& instructions) {
  const std::string bytes = pickle(instructions);
  const Pickle values = parse(bytes);
  return text_of(values, values.root());
}

#define EXPECT_PICKLE_ERROR(instructions, part)                 \
  EXPECT_ERROR(parse(pickle(instructions)), "test.pkl: byte "); \
  EXPECT_ERROR(parse(pickle(instructions)), part)

// Bytes that Python 3.11 wrote: pickle.dumps(value, protocol), for protocols 2 to 5.
TEST(Pickle, ValuesThatPythonWrote) {
  const char* const expected =
      "{'a': [1, -2, 300, 70000, 0.500000], 'b': (None, True, False), 'c': {7: ()}}";
  for (
      const std::string& bytes : {
          std::string(
              "\200\002\175\161\000\050\130\001\000\000\000\141\161\001\135\161\002\050\113\001\112"
              "\376\377\377\377\115\054\001\112\160\021\001\000\107\077\340\000\000\000\000\000\000"
              "\145\130\001\000\000\000\142\161\003\116\210\211\207\161\004\130\001\000\000\000\143"
              "\161\005\175\161\006\113\007\051\163\165\056",
              74),
          std::string(
              "\200\003\175\161\000\050\130\001\000\000\000\141\161\001\135\161\002\050\113\001\112"
              "\376\377\377\377\115\054\001\112\160\021\001\000\107\077\340\000\000\000\000\000\000"
              "\145\130\001\000\000\000\142\161\003\116\210\211\207\161\004\130\001\000\000\000\143"
              "\161\005\175\161\006\113\007\051\163\165\056",
              74),
          std::string(
              "\200\004\225\070\000\000\000\000\000\000\000\175\224\050\214\001\141\224\135\224\050"
              "\113\001\112\376\377\377\377\115\054\001\112\160\021\001\000\107\077\340\000\000\000"
              "\000\000\000\145\214\001\142\224\116\210\211\207\224\214\001\143\224\175\224\113\007"
              "\051\163\165\056",
              67),
          std::string(
              "\200\005\225\070\000\000\000\000\000\000\000\175\224\050\214\001\141\224\135\224\050"
              "\113\001\112\376\377\377\377\115\054\001\112\160\021\001\000\107\077\340\000\000\000"
              "\000\000\000\145\214\001\142\224\116\210\211\207\224\214\001\143\224\175\224\113\007"
              "\051\163\165\056",
              67),
      }) {
    const Pickle values = parse(bytes);
    EXPECT_EQ(text_of(values, values.root()), expected);
    EXPECT_EQ(values.size(), bytes.size());
  }
}

TEST(Pickle, Numbers) {
  EXPECT_EQ(read(std::string("\x8a\0", 2)), "0");
  EXPECT_EQ(read("\x8a\x01\xff"), "-1");
  EXPECT_EQ(read("\x8a\x05" + raw(std::int64_t{1} << 36).substr(0, 5)), "68719476736");
  EXPECT_EQ(read(pickled(std::numeric_limits<std::int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(read("\x8a\x09" + std::string(9, '\1')), "inert");  // too large
  EXPECT_EQ(read("\x8b" + raw(std::int32_t{2}) + raw(std::int16_t{-300})), "-300");
  EXPECT_EQ(read("G" + std::string("\x3f\xd0\0\0\0\0\0\0", 8)), "0.250000");
}

TEST(Pickle, SharedValuesAndCycles) {
  EXPECT_EQ(read("]q" + raw('\0') + "K" + raw('\7') + "ah" + raw('\0') + "\x86"), "([7], [7])");
  EXPECT_EQ(read("]q" + raw('\0') + "h" + raw('\0') + "a"), "[[[[[]]]]]");  // contains itself
  EXPECT_EQ(read("]\x94]\x94h" + raw('\1') + "\x87"), "([], [], [])");
  EXPECT_EQ(read("]r" + raw(std::uint32_t{4}) + "Nj" + raw(std::uint32_t{4}) + "\x87"),
            "([], None, [])");
}

TEST(Pickle, WhatHoldsNoTensorIsNotLookedAt) {
  EXPECT_EQ(read(pickled_name("torch", "Size") + ")R"), "inert");
  EXPECT_EQ(read(pickled_name("_codecs", "encode") + pickled("x") + pickled("latin1") + "\x86R"),
            "inert");
  EXPECT_EQ(read("\x8f(K" + raw('\1') + "\x90"), "inert");  // a set
  EXPECT_EQ(read("(K" + raw('\1') + "\x91"), "inert");
  EXPECT_EQ(read("C" + raw('\2') + "xy"), "inert");                            // bytes
  EXPECT_EQ(read(pickled_name("collections", "OrderedDict") + ")R}b"), "{}");  // attributes
  EXPECT_EQ(read(pickled_name("torch", "float32")), "float32");
}

TEST(Pickle, TensorsStayCalls) {
  const std::string tensor = pickled(recur::test::PickledTensor{});
  const std::string expected =
      "_rebuild_tensor_v2(storage('storage', FloatStorage, '0', 'cpu', 6), 0, (2, 3), (3, 1), "
      "False, {})";
  EXPECT_EQ(read(tensor), expected);
  EXPECT_EQ(read(pickled_name("torch._utils", "_rebuild_parameter") + tensor + "\x88" +
                 pickled_name("collections", "OrderedDict") + ")R\x87R"),
            expected);
  // A tensor with attributes: torch._tensor._rebuild_from_type_v2(function, type, arguments, state)
  std::string arguments = tensor.substr(pickled_name("torch._utils", "_rebuild_tensor_v2").size());
  arguments.pop_back();
  EXPECT_EQ(read(pickled_name("torch._tensor", "_rebuild_from_type_v2") + "(" +
                 pickled_name("torch._utils", "_rebuild_tensor_v2") +
                 pickled_name("torch", "Tensor") + arguments + "}tR"),
            expected);
}

// No other name is known, whatever it is.
TEST(Pickle, OtherNamesAreRefused) {
  for (const auto& name_in_module : std::vector<std::pair<std::string, std::string>>{
           {"os", "system"},
           {"builtins", "eval"},
           {"builtins", "getattr"},
           {"__builtin__", "exec"},
           {"torch", "load"},
           {"torch", "nn.Module"},
           {"torch._utils", "_rebuild_tensor_v2 "},
           {"collections", "defaultdict"},
           {"os", "OrderedDict"},  // known names in other modules
           {"other", "_rebuild_tensor_v2"},
           {"torch.nn", "FloatStorage"},
           {"torch.nn.modules.rnn", "LSTM"},
           {"", ""}}) {
    const std::string& module = name_in_module.first;
    const std::string& name = name_in_module.second;
    const std::string full = recur::detail::in_quotes(module + "." + name);
    EXPECT_PICKLE_ERROR(pickled_name(module, name) + pickled("x") + "\x85R",
                        "refers to " + full + ": only tensors and plain values");
    EXPECT_PICKLE_ERROR(pickled(module) + pickled(name) + "\x93",
                        "refers to " + full + ": only tensors");
  }
  EXPECT_PICKLE_ERROR(pickled_name("torch._utils", "_rebuild_sparse_tensor"), "to_dense()");
  EXPECT_PICKLE_ERROR(pickled_name("torch._utils", "_rebuild_qtensor"), "dequantize()");
  // Instructions that make objects in other ways.
  for (const char instruction :
       {'i', 'o', '\x81', '\x92', '\x82', '\x83', '\x84', 'P', 'S', 'I',    'V',
        'L', 'F', 'l',    'd',    'g',    'p',    '0',    '1', '2', '\x97', '\x98'}) {
    EXPECT_PICKLE_ERROR(std::string(1, instruction) + "os\nsystem\n", "unknown instruction");
  }
}

TEST(Pickle, CallsOfOtherThings) {
  EXPECT_PICKLE_ERROR(pickled("x") + ")R", "expected the name of a function");
  EXPECT_PICKLE_ERROR(pickled_name("torch", "Size") + "]R", "expected a tuple of arguments");
  EXPECT_PICKLE_ERROR(pickled_name("torch", "FloatStorage") + ")R",
                      "expected a function to call, got torch.FloatStorage");
  EXPECT_PICKLE_ERROR(pickled_name("collections", "OrderedDict") + "]\x85R",
                      "an empty OrderedDict");
  EXPECT_PICKLE_ERROR(pickled_name("torch._utils", "_rebuild_tensor_v2") + ")R",
                      "expected 6 to 8 arguments, got 0");
  EXPECT_PICKLE_ERROR(pickled_name("torch._utils", "_rebuild_parameter") + ")R", "the tensor");
  EXPECT_PICKLE_ERROR(pickled_name("torch._tensor", "_rebuild_from_type_v2") + ")R",
                      "expected 4 arguments");
  const std::string again = pickled_name("torch._tensor", "_rebuild_from_type_v2");
  EXPECT_PICKLE_ERROR(again + "(" + again + pickled_name("torch", "Tensor") + ")}tR",
                      "a function that makes tensors");
}

TEST(Pickle, OtherValuesThanAnInstructionNeeds) {
  EXPECT_PICKLE_ERROR("", "the stack is empty");
  EXPECT_PICKLE_ERROR("NN", "more values on the stack");
  EXPECT_PICKLE_ERROR("(N", "more values on the stack");
  EXPECT_PICKLE_ERROR("t", "there is no mark");
  EXPECT_PICKLE_ERROR("N\x86", "the stack is empty");
  EXPECT_PICKLE_ERROR("}Na", "expected a list to add to");
  EXPECT_PICKLE_ERROR("]NNs", "expected a dict to add to");
  EXPECT_PICKLE_ERROR("}(Nu", "a key without a value");
  EXPECT_PICKLE_ERROR("](N\x90", "expected a set");
  EXPECT_PICKLE_ERROR("]Nb", "an object to give attributes to");
  EXPECT_PICKLE_ERROR("NQ", "a tuple of 5");
  EXPECT_PICKLE_ERROR("N)\x93", "expected text on the stack");
  EXPECT_PICKLE_ERROR("h" + raw('\0'), "there is no memo 0");
  EXPECT_ERROR(parse(pickle("N") + "x"), "more bytes after it");
  EXPECT_ERROR(parse("\x80\x06N."), "expected protocol 2 to 5, got 6");
  EXPECT_ERROR(parse("(lp0\n."), "unknown instruction 108");  // protocol 0
}

TEST(Pickle, Lengths) {
  EXPECT_PICKLE_ERROR("X" + raw(std::uint32_t{0xFFFFFFFF}),
                      "expected 4294967295 bytes more, got 1");
  EXPECT_PICKLE_ERROR("\x8d" + raw(~std::uint64_t{0}), "expected 18446744073709551615 bytes more");
  EXPECT_PICKLE_ERROR("\x8e" + raw(~std::uint64_t{0}), "bytes more, got 1");
  EXPECT_PICKLE_ERROR("\x8b" + raw(std::uint32_t{0x80000000}), "bytes more, got 1");
  EXPECT_PICKLE_ERROR("cos", "expected a line");
}

TEST(Pickle, EveryPrefixIsAnError) {
  const std::string whole = pickle("}(" + pickled("w") + pickled(recur::test::PickledTensor{}) +
                                   pickled("n") + "(K" + raw('\1') + "\x88tu");
  EXPECT_EQ(parse(whole).size(), whole.size());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_ERROR(parse(whole.substr(0, size)), "test.pkl: byte ");
  }
}

}  // namespace
}  // namespace pickle_test
