// SPDX-License-Identifier: MIT
#include "recur/io/npy.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace npy_test {
namespace {

using recur::Index;
using recur::load_npy;
using recur::load_npz;
using recur::TensorFile;
using recur::test::archive;
using recur::test::bytes_of_text;
using recur::test::exported_file;
using recur::test::raw;
using recur::test::text_of_bytes;
using Names = std::vector<std::string>;
using Shape = std::vector<Index>;
using Values = std::vector<double>;

// A .npy file of version 1 with this header and data.
std::string npy(const std::string& header, const std::string& data = "") {
  return "\x93NUMPY" + raw('\1', '\0', static_cast<std::uint16_t>(header.size())) + header + data;
}
std::string npy_of(const std::string& descr, const std::string& shape, const std::string& data = "",
                   const std::string& order = "False") {
  return npy("{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + "}\n",
             data);
}

TensorFile parse(const std::string& file) {
  return recur::parse_npy(bytes_of_text(file), "test.npy");
}

// ---- Files that NumPy wrote: tests/golden/export_files.py ----

TEST(Npy, FilesOfNumPy) {
  const auto expect = [](const std::string& name, const std::string& dtype, const Shape& shape,
                         const Values& values) {
    const TensorFile file = load_npy(exported_file(name));
    EXPECT_EQ(file.names(), Names{"arr_0"});
    EXPECT_EQ(file.tensor("arr_0").dtype, dtype) << name;
    EXPECT_EQ(file.tensor("arr_0").shape, shape) << name;
    EXPECT_EQ(file.values<double>("arr_0"), values) << name;
  };
  Values counted;
  for (int k = 0; k < 24; ++k) {
    counted.push_back(k);
  }
  expect("float32.npy", "F32", {2, 3}, {0, 1, 2, 3, 4, 5});
  expect("fortran.npy", "F64", {2, 3, 4}, counted);
  expect("big_endian.npy", "F32", {2, 3}, {0.5, 1.5, 2.5, 3.5, 4.5, 5.5});
  expect("big_endian_fortran.npy", "F64", {2, 3}, {0, 1, 2, 3, 4, 5});
  expect("scalar.npy", "F64", {}, {2.5});
  expect("empty.npy", "F32", {0, 3}, {});
  expect("version2.npy", "F16", {2, 3}, {0, 1, 2, 3, 4, 5});
  expect("version3.npy", "F32", {2, 3}, {0, 1, 2, 3, 4, 5});
}

TEST(Npy, WhatIsNotRead) {
  EXPECT_ERROR(load_npy(exported_file("objects.npy")), "is a pickle, which could run any program");
  EXPECT_ERROR(load_npy(exported_file("texts.npy")), "got the type \"<U2\"");
  EXPECT_ERROR(load_npy(exported_file("records.npy")), "got an array of records");
  EXPECT_ERROR(parse(npy_of("|V2", "(1,)", "xx")), "bfloat16?");
  EXPECT_ERROR(parse(npy_of("<c16", "(1,)", "xx")), "got the type \"<c16\"");
  EXPECT_ERROR(parse(npy_of("=f4", "(1,)", "xxxx")), "got the type \"=f4\"");
  EXPECT_ERROR(parse(npy_of("f4", "(1,)", "xxxx")), "got the type \"f4\"");
  EXPECT_ERROR(parse(npy_of("", "(1,)", "xxxx")), "got the type \"\"");
  EXPECT_ERROR(load_npy("/nowhere/x.npy"), "/nowhere/x.npy: cannot be opened");
  EXPECT_ERROR(load_npy(exported_file("tensor.pt")), "expected an array of NumPy");
}

TEST(Npy, Archives) {
  for (const char* name : {"arrays.npz", "compressed.npz"}) {
#ifndef RECUR_HAS_ZLIB
    if (std::string(name) == "compressed.npz") {
      EXPECT_ERROR(load_npz(exported_file(name)), "is deflated");
      continue;
    }
#endif
    const TensorFile file = load_npz(exported_file(name));
    EXPECT_EQ(file.names(),
              (Names{"weight", "layer.bias", "steps", "mask", "big", "zeros", "arr_0"}));
    EXPECT_EQ(file.values<double>("weight"), (Values{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(file.tensor("weight").shape, (Shape{2, 3}));
    EXPECT_EQ(file.values<double>("layer.bias"), (Values{0, 1, 2}));
    EXPECT_EQ(text_of_bytes(file.tensor("steps").bytes), raw(std::int64_t{7}));
    EXPECT_EQ(file.tensor("mask").dtype, "BOOL");
    EXPECT_EQ(text_of_bytes(file.tensor("mask").bytes), raw('\1', '\0'));
    EXPECT_EQ(file.tensor("big").dtype, "I16");
    EXPECT_EQ(text_of_bytes(file.tensor("big").bytes),
              raw(std::int16_t{0}, std::int16_t{1}, std::int16_t{2}, std::int16_t{3},
                  std::int16_t{4}, std::int16_t{5}));
    EXPECT_EQ(file.values<double>("zeros"), Values(500, 0.0));
    EXPECT_EQ(file.tensor("arr_0").dtype, "U8");
  }
}

// ---- Files put together by hand ----

TEST(Npy, HeadersInOtherSpellings) {
  const std::string data = raw(1.0F, 2.0F);
  for (const std::string header :
       {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }          \n",
        "{'shape':(2,),'fortran_order':False,'descr':'<f4'}\n",
        "{\"fortran_order\": True, \"descr\": \"<f4\", \"shape\": (2 , ) , }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }\n"}) {
    EXPECT_EQ(parse(npy(header, data)).values<double>("arr_0"), (Values{1, 2})) << header;
  }
  EXPECT_EQ(parse(npy_of("<f4", "(1, 2, 1)", data)).tensor("arr_0").shape, (Shape{1, 2, 1}));
  EXPECT_EQ(parse(npy_of("<f4", "()", raw(1.0F))).tensor("arr_0").shape, Shape{});
}

TEST(Npy, HeadersThatAreWrong) {
  for (const auto& header_and_part : std::vector<std::pair<std::string, std::string>>{
           {"", "expected {"},
           {"[]", "expected {"},
           {"{}\n", "expected the keys"},
           {"{'descr': '<f4', 'shape': (2,)}\n", "expected the keys"},
           {"{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}\n", "once each, got \"descr\""},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}\n", "got \"x\""},
           {"{'descr': '<f4', 'fortran_order': false, 'shape': (2,)}\n", "expected False"},
           {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}\n", "expected False"},
           {"{'descr': <f4, 'fortran_order': False, 'shape': (2,)}\n", "expected '"},
           {"{'descr': '<f4, 'fortran_order: False, }\n", "expected"},
           {"{'descr': '<f4", "the end of a text"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': [2]}\n", "expected ("},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}\n",
            "whole numbers from 0 on"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}\n", "expected )"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}\n", "whole numbers from 0 on"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)\n", "expected }"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "a newline"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + os.system('x')\n",
            "a newline"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}\n",
            "a size overflows"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2)}\n",
            "the number of bytes overflows"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}\n",
            "F32 of shape (3,): expected 12 bytes, got 8"},
           {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\n", "expected 4 bytes, got 8"},
       }) {
    SCOPED_TRACE(header_and_part.first);
    const std::string file = npy(header_and_part.first, raw(1.0F, 2.0F));
    EXPECT_ERROR(parse(file), header_and_part.second);
  }
  std::string many = "(";
  for (int k = 0; k < 65; ++k) {
    many += "1, ";
  }
  EXPECT_ERROR(parse(npy_of("<f4", many + ")", raw(1.0F))), "at most 64 whole numbers");
}

TEST(Npy, StartsThatAreWrong) {
  EXPECT_ERROR(parse("\x93NUMPY\4" + std::string(1, '\0') + raw(std::uint32_t{0})), "got 4.0");
  EXPECT_ERROR(parse("\x93NUMPY\1\1" + raw(std::uint16_t{0})), "got 1.1");
  EXPECT_ERROR(parse("\x93NUMPY" + raw('\2', '\0', std::uint32_t{0xFFFFFFFF})),
               "expected a header of 4294967295 bytes, got 0");
  EXPECT_ERROR(parse("\x93NUMPY" + raw('\1', '\0', std::uint16_t{1})), "expected a header of 1");
}

TEST(Npy, SwappedComplexNumbers) {
  const TensorFile file = parse(npy_of(">c8", "(1,)", "abcdefgh"));
  EXPECT_EQ(text_of_bytes(file.tensor("arr_0").bytes), "dcbahgfe");
}

TEST(Npy, ArchivesOfOtherFiles) {
  const std::string array = npy_of("<f4", "(1,)", raw(1.0F));
  const auto parse_npz = [](const std::string& file) {
    return recur::parse_npz(bytes_of_text(file), "test.npz");
  };
  EXPECT_EQ(parse_npz(archive({{"a/b.npy", array}})).names(), Names{"a/b"});
  EXPECT_TRUE(parse_npz(archive({})).names().empty());
  EXPECT_ERROR(parse_npz(archive({{"a.npy", array}, {"b.txt", "text"}})),
               "test.npz: \"b.txt\": expected arrays only");
  EXPECT_ERROR(parse_npz(archive({{"a.npy", "text"}})), "test.npz: \"a.npy\": expected an array");
  EXPECT_ERROR(parse_npz(array), "test.npz: expected a zip archive");
}

TEST(Npy, EveryPrefixIsAnError) {
  const std::string array = npy_of(">f4", "(2, 1)", raw(1.0F, 2.0F), "True");
  EXPECT_EQ(parse(array).tensor("arr_0").size(), 2);
  for (std::size_t size = 0; size < array.size(); ++size) {
    EXPECT_ERROR(parse(array.substr(0, size)), "test.npy: ");
  }
}

}  // namespace
}  // namespace npy_test
