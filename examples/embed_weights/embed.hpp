// SPDX-License-Identifier: MIT
//
// Weights as C++: the text of a header that holds the tensors of a file as constexpr arrays, bit by
// bit, for recur::load_embedded (io/embedded.hpp).
#pragma once

#include <bit>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "recur/core/check.hpp"
#include "recur/io/dtype.hpp"
#include "recur/io/tensor_file.hpp"

namespace embed {

/// What the arrays hold. F32 and F64 are floats and doubles, F16 and BF16 numbers of 16 bits.
struct Options {
  std::string name_space = "weights";
  std::string prefix = {};    // only tensors below it, named without it
  std::string dtype = "F32";  // F64, F32, F16 or BF16
};

/// A number as a literal that is read back to the same bits: hexadecimal, as no decimal one rounds.
template <class Scalar>
std::string literal(Scalar value) {
  constexpr bool narrow = std::is_same_v<Scalar, float>;
  char text[64];
  if (std::isfinite(value)) {
    std::snprintf(text, sizeof(text), narrow ? "%aF" : "%a", static_cast<double>(value));
  } else if constexpr (narrow) {  // infinities and every NaN
    std::snprintf(text, sizeof(text), "std::bit_cast<float>(0x%08XU)",
                  static_cast<unsigned>(std::bit_cast<std::uint32_t>(value)));
  } else {
    std::snprintf(text, sizeof(text), "std::bit_cast<double>(std::uint64_t{0x%016llX})",
                  static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value)));
  }
  return text;
}

/// Words that name nothing in C++20.
inline bool is_keyword(const std::string& word) {
  static const std::set<std::string> keywords{"alignas",       "alignof",     "and",
                                              "and_eq",        "asm",         "auto",
                                              "bitand",        "bitor",       "bool",
                                              "break",         "case",        "catch",
                                              "char",          "char16_t",    "char32_t",
                                              "char8_t",       "class",       "co_await",
                                              "co_return",     "co_yield",    "compl",
                                              "concept",       "const",       "const_cast",
                                              "consteval",     "constexpr",   "constinit",
                                              "continue",      "decltype",    "default",
                                              "delete",        "do",          "double",
                                              "dynamic_cast",  "else",        "enum",
                                              "explicit",      "export",      "extern",
                                              "false",         "float",       "for",
                                              "friend",        "goto",        "if",
                                              "inline",        "int",         "long",
                                              "mutable",       "namespace",   "new",
                                              "noexcept",      "not",         "not_eq",
                                              "nullptr",       "operator",    "or",
                                              "or_eq",         "private",     "protected",
                                              "public",        "register",    "reinterpret_cast",
                                              "requires",      "return",      "short",
                                              "signed",        "sizeof",      "static",
                                              "static_assert", "static_cast", "struct",
                                              "switch",        "template",    "this",
                                              "thread_local",  "throw",       "true",
                                              "try",           "typedef",     "typeid",
                                              "typename",      "union",       "unsigned",
                                              "using",         "virtual",     "void",
                                              "volatile",      "wchar_t",     "while",
                                              "xor",           "xor_eq"};
  return keywords.count(word) > 0;
}

/// `lstm.weight_ih_l0` → `lstm_weight_ih_l0`: a name of C++, not among those taken.
inline std::string identifier(const std::string& name, std::set<std::string>& taken) {
  std::string result;
  for (const char c : name) {
    result += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
    if (result.size() > 1 && result.ends_with("__")) {  // reserved
      result.pop_back();
    }
  }
  if (result.empty() || std::isalpha(static_cast<unsigned char>(result[0])) == 0) {
    result = (result.starts_with('_') ? "tensor" : "tensor_") + result;
  }
  std::string unique = result;
  for (int k = 2; is_keyword(unique) || !taken.insert(unique).second; ++k) {
    unique = result + "_" + std::to_string(k);
  }
  return unique;
}

/// A text as a literal of C++.
inline std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (code < 0x20 || code > 0x7E) {
      char octal[8];
      std::snprintf(octal, sizeof(octal), "\\%03o", static_cast<unsigned>(code));
      result += octal;
    } else {
      result += c;
    }
  }
  return result + '"';
}

/// The elements of a tensor as literals of the array's type.
inline std::vector<std::string> literals(const recur::TensorFile& file, const std::string& name,
                                         const std::string& dtype) {
  std::vector<std::string> result;
  if (dtype == "F32") {
    for (const float value : file.values<float>(name)) {
      result.push_back(literal(value));
    }
    return result;
  }
  for (const double value : file.values<double>(name)) {
    if (dtype == "F64") {
      result.push_back(literal(value));
    } else {
      char text[16];
      std::snprintf(text, sizeof(text), "{0x%04X}",
                    static_cast<unsigned>(dtype == "F16" ? recur::detail::to_half(value)
                                                         : recur::detail::to_bfloat(value)));
      result.push_back(text);
    }
  }
  return result;
}

/// The whole header. Throws recur::Error for a tensor that is neither matrix nor vector or holds no
/// numbers, and where no tensor is left.
inline std::string header_of(const recur::TensorFile& file, const Options& options) {
  using recur::check;
  const std::string element = options.dtype == "F32"   ? "float"
                              : options.dtype == "F64" ? "double"
                              : options.dtype == "F16" ? "recur::HalfBits"
                                                       : "recur::BFloat16Bits";
  check(recur::is_floating_dtype(options.dtype), "expected F64, F32, F16 or BF16, got ",
        options.dtype);
  std::string arrays;
  std::string table;
  std::set<std::string> taken{"tensors"};
  for (const std::string& name : file.names()) {
    if (!name.starts_with(options.prefix)) {
      continue;
    }
    const recur::StoredTensor& tensor = file.tensor(name);
    const std::string where = file.name() + ": " + recur::detail::in_quotes(name) + ": ";
    check(tensor.shape.size() == 1 || tensor.shape.size() == 2, where,
          "expected a vector or a matrix, got shape ", recur::detail::shape_text(tensor.shape));
    check(tensor.size() > 0, where, "expected numbers, got shape ",
          recur::detail::shape_text(tensor.shape));
    const std::string short_name = name.substr(options.prefix.size());
    const std::string variable = identifier(short_name, taken);
    arrays += "alignas(64) inline constexpr std::array<" + element + ", " +
              std::to_string(tensor.size()) + "> " + variable + "{{";
    std::size_t column = 100;
    for (const std::string& text : literals(file, name, options.dtype)) {
      if (column + text.size() > 98) {
        arrays += "\n   ";
        column = 4;
      }
      arrays += " " + text + ",";
      column += text.size() + 2;
    }
    arrays += "\n}};\n\n";
    table += "    {" + quoted(short_name) + ", " + variable;
    for (const recur::Index length : tensor.shape) {
      table += ", " + std::to_string(length);
    }
    table += "},\n";
  }
  check(!table.empty(), file.name(), ": no tensor below ",
        recur::detail::in_quotes(options.prefix));
  return "// Made by embed_weights from " + std::filesystem::path(file.name()).filename().string() +
         ". Do not edit.\n#pragma once\n\n#include <array>\n#include <bit>\n#include <cstdint>\n\n"
         "#include \"recur/io/embedded.hpp\"\n\nnamespace " +
         options.name_space + " {\n\n" + arrays +
         "inline constexpr recur::EmbeddedTensor tensors[] = {\n" + table +
         "};\n\n}  // namespace " + options.name_space + "\n";
}

}  // namespace embed
