// SPDX-License-Identifier: MIT
//
// The generator of headers, the two headers that it made when this was built, and the program that
// has its weights from one.
#include <array>
#include <cstdlib>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/safetensors.hpp"
#include "recur/io/state_dict.hpp"

#include "embed_weights/embed.hpp"
#include "embed_weights/filter.hpp"
#include "filter_weights_half.hpp"
#include "support/allocations.hpp"
#include "support/compare.hpp"
#include "support/run_program.hpp"

namespace embed_weights_test {
namespace {

using recur::Index;
using recur::TensorFile;

const std::string folder = RECUR_TESTS_DIR "/../examples/embed_weights/";

TensorFile expected_output() {
  return recur::load_safetensors(folder + "filter_output.safetensors");
}

// ---- the generated headers ----

TEST(EmbeddedHeader, HoldsTheFileBitByBit) {
  const TensorFile file = recur::load_safetensors(folder + "filter.safetensors");
  ASSERT_EQ(std::size(filter_weights::tensors), file.names().size());
  for (const recur::EmbeddedTensor& tensor : filter_weights::tensors) {
    const std::string name(tensor.name());
    const std::vector<float> values = file.values<float>(name);
    ASSERT_EQ(tensor.size(), static_cast<Index>(values.size())) << name;
    for (Index k = 0; k < tensor.size(); ++k) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(tensor.element<float>(k)),
                std::bit_cast<std::uint32_t>(values[static_cast<std::size_t>(k)]))
          << name << " " << k;
    }
  }
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(filter_weights::lstm_weight_hh_l0.data()) % 64, 0U);
}

TEST(EmbeddedHeader, HalfTheSizeIsRoundedOnce) {
  const TensorFile file = recur::load_safetensors(folder + "filter.safetensors");
  static_assert(sizeof(filter_weights_half::lstm_weight_hh_l0) == 2 * 64 * 16);
  for (const recur::EmbeddedTensor& tensor : filter_weights_half::tensors) {
    const std::vector<float> values = file.values<float>(std::string(tensor.name()));
    for (Index k = 0; k < tensor.size(); ++k) {
      const float value = values[static_cast<std::size_t>(k)];
      EXPECT_LE(std::abs(tensor.element<float>(k) - value),
                std::max(std::abs(value) * 0x1p-11F, 0x1p-25F));
    }
  }
  FilterModel model;
  recur::load_embedded(model, filter_weights_half::tensors);
}

TEST(EmbeddedFilter, ComputesWhatPyTorchDoes) {
  const TensorFile expected = expected_output();
  const std::vector<float> input = expected.values<float>("input");
  Filter filter;
  std::vector<float> output;
  for (const float sample : input) {
    output.push_back(filter.step(sample));
  }
  recur::test::expect_close(output, expected.values<float>("output"), 1e-6, "output");
  filter.reset();
  EXPECT_EQ(filter.step(input[0]), output[0]);
}

TEST(EmbeddedFilter, AllocatesNothingOnceItRuns) {
  if (!recur::test::can_count_allocations()) {
    GTEST_SKIP() << "malloc cannot be counted here";
  }
  Filter filter;
  float sum = 0;
  EXPECT_EQ(recur::test::allocations_of([&] {
              for (int t = 0; t < 1000; ++t) {
                sum += filter.step(0.5F);
              }
              filter.reset();
            }),
            0U);
  EXPECT_NE(sum, 0);
}

// ---- the program ----

const std::string program = RECUR_EXAMPLES_BIN_DIR "/embedded_filter";

TEST(EmbeddedFilterProgram, PrintsWhatPyTorchComputes) {
  const recur::test::TemporaryFolder temporary;
  const auto finished = recur::test::run_program(program, temporary, {});
  ASSERT_EQ(finished.code, 0) << finished.output;
  std::istringstream lines(finished.output);
  std::vector<float> output;
  for (float value = 0; lines >> value;) {
    output.push_back(value);
  }
  recur::test::expect_close(output, expected_output().values<float>("output"), 1e-6, "output");
}

// What it does not link it cannot call.
TEST(EmbeddedFilterProgram, HasNothingThatOpensAFile) {
  const recur::test::TemporaryFolder temporary;
  const auto symbols = recur::test::run_program(RECUR_NM, temporary, {"--undefined-only", program});
  if (symbols.code != 0) {
    GTEST_SKIP() << "no nm: " << symbols.output;
  }
  std::istringstream words(symbols.output);
  const std::set<std::string> openers{"open",   "open64", "openat",  "openat64",
                                      "creat",  "fopen",  "fopen64", "freopen",
                                      "fdopen", "mmap",   "mmap64",  "system"};
  bool prints = false;
  for (std::string symbol; words >> symbol;) {
    symbol = symbol.substr(0, symbol.find('@'));
    EXPECT_EQ(openers.count(symbol), 0U) << symbol;
    for (const char* part : {"filebuf", "fstream", "filesystem", "json", "GOMP"}) {
      EXPECT_EQ(symbol.find(part), std::string::npos) << symbol;
    }
    prints = prints || symbol == "printf" || symbol == "__printf_chk";
  }
  EXPECT_TRUE(prints) << "expected the program's symbols, got " << symbols.output;
}

// ---- the generator ----

TEST(EmbedWeights, LiteralsAreReadBackToTheSameBits) {
  for (const float value :
       {0.0F, -0.0F, 1.0F / 3, -1.5e-45F, std::numeric_limits<float>::max(), 1e-40F}) {
    const std::string text = embed::literal(value);
    ASSERT_EQ(text.back(), 'F');
    EXPECT_EQ(std::bit_cast<std::uint32_t>(std::strtof(text.c_str(), nullptr)),
              std::bit_cast<std::uint32_t>(value))
        << text;
  }
  EXPECT_EQ(std::strtod(embed::literal(0.1).c_str(), nullptr), 0.1);
  EXPECT_EQ(embed::literal(-0.0), "-0x0p+0");
  // As they stand here they must be what they say.
  EXPECT_EQ(embed::literal(std::numeric_limits<float>::infinity()),
            "std::bit_cast<float>(0x7F800000U)");
  EXPECT_EQ(std::bit_cast<float>(0x7F800000U), std::numeric_limits<float>::infinity());
  EXPECT_EQ(embed::literal(-std::numeric_limits<double>::infinity()),
            "std::bit_cast<double>(std::uint64_t{0xFFF0000000000000})");
  EXPECT_EQ(std::bit_cast<double>(std::uint64_t{0xFFF0000000000000}),
            -std::numeric_limits<double>::infinity());
  EXPECT_EQ(embed::literal(std::bit_cast<float>(0x7FC12345U)), "std::bit_cast<float>(0x7FC12345U)");
}

TEST(EmbedWeights, NamesOfCpp) {
  std::set<std::string> taken{"tensors"};
  EXPECT_EQ(embed::identifier("lstm.weight_ih_l0", taken), "lstm_weight_ih_l0");
  EXPECT_EQ(embed::identifier("lstm/weight_ih_l0", taken), "lstm_weight_ih_l0_2");
  EXPECT_EQ(embed::identifier("a..b", taken), "a_b");
  EXPECT_EQ(embed::identifier("0.weight", taken), "tensor_0_weight");
  EXPECT_EQ(embed::identifier("_x", taken), "tensor_x");
  EXPECT_EQ(embed::identifier("tensors", taken), "tensors_2");
  EXPECT_EQ(embed::identifier("new", taken), "new_2");
  EXPECT_EQ(embed::quoted("a\"b\\\n"), "\"a\\\"b\\\\\\012\"");
}

// A file of two tensors.
TensorFile file_of(const std::vector<Index>& shape, const char* dtype) {
  static const std::array<float, 6> values{1, -2.5F, 0.5F, 4, 5, 6};
  TensorFile file("folder/some.safetensors");
  Index count = 1;
  for (const Index length : shape) {
    count *= length;
  }
  const auto bytes = std::as_bytes(std::span(values));
  file.add("lstm.w", {dtype, shape, bytes.first(static_cast<std::size_t>(count) * 4)});
  file.add("head.b", {"F32", {2}, bytes.first(8)});
  return file;
}

TEST(EmbedWeights, WritesTheHeader) {
  EXPECT_EQ(embed::header_of(file_of({2, 1}, "F32"),
                             {.name_space = "my::weights", .prefix = "lstm.", .dtype = "BF16"}),
            "// Made by embed_weights from some.safetensors. Do not edit.\n"
            "#pragma once\n"
            "\n"
            "#include <array>\n"
            "#include <bit>\n"
            "#include <cstdint>\n"
            "\n"
            "#include \"recur/io/embedded.hpp\"\n"
            "\n"
            "namespace my::weights {\n"
            "\n"
            "alignas(64) inline constexpr std::array<recur::BFloat16Bits, 2> w{{\n"
            "    {0x3F80}, {0xC020},\n"
            "}};\n"
            "\n"
            "inline constexpr recur::EmbeddedTensor tensors[] = {\n"
            "    {\"w\", w, 2, 1},\n"
            "};\n"
            "\n"
            "}  // namespace my::weights\n");
  const std::string wide = embed::header_of(file_of({3}, "F32"), {.dtype = "F64"});
  EXPECT_NE(wide.find("std::array<double, 3> lstm_w{{\n    0x1p+0, -0x1.4p+1, 0x1p-1,\n}};"),
            std::string::npos)
      << wide;
  EXPECT_NE(wide.find("{\"lstm.w\", lstm_w, 3},\n    {\"head.b\", head_b, 2},"), std::string::npos);
}

TEST(EmbedWeights, WhatCannotBeEmbeddedIsSaid) {
  const std::string where = "folder/some.safetensors: \"lstm.w\": ";
  EXPECT_ERROR(embed::header_of(file_of({1, 2, 1}, "F32"), {}),
               where + "expected a vector or a matrix, got shape (1, 2, 1)");
  EXPECT_ERROR(embed::header_of(file_of({0}, "F32"), {}),
               where + "expected numbers, got shape (0,)");
  EXPECT_ERROR(embed::header_of(file_of({2}, "I32"), {}),
               where + "expected F64, F32, F16 or BF16, got I32");
  EXPECT_ERROR(embed::header_of(file_of({2}, "F32"), {.prefix = "gru."}),
               "folder/some.safetensors: no tensor below \"gru.\"");
  EXPECT_ERROR(embed::header_of(file_of({2}, "F32"), {.dtype = "I8"}),
               "expected F64, F32, F16 or BF16, got I8");
}

TEST(EmbedWeightsProgram, ErrorsEndWithCode2AndLeaveNoFile) {
  const std::string generator = RECUR_EXAMPLES_BIN_DIR "/embed_weights";
  const recur::test::TemporaryFolder temporary;
  const std::string output = (temporary / "out.hpp").string();
  const auto finished =
      recur::test::run_program(generator, temporary, {"missing.safetensors", "-o", output});
  EXPECT_EQ(finished.code, 2);
  EXPECT_NE(finished.output.find("embed_weights: missing.safetensors: cannot be opened"),
            std::string::npos)
      << finished.output;
  EXPECT_FALSE(std::filesystem::exists(output));
}

}  // namespace
}  // namespace embed_weights_test
