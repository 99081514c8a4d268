// SPDX-License-Identifier: MIT
//
// Weights as code: writes the tensors of a file (safetensors, of torch.save, or NumPy's) as a
// header of constexpr arrays.
//
//   embed_weights model.safetensors --output weights.hpp [--prefix lstm.] [--namespace weights]
//                                   [--dtype F32|F64|F16|BF16]
//
// embedded_filter (filter.cpp) is a program that has its weights from such a header.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "recur/io/atomic_file.hpp"
#include "recur/io/load_tensors.hpp"

#include "embed.hpp"

int main(int argc, char** argv) {
  std::filesystem::path input;
  std::filesystem::path output;
  embed::Options options;
  CLI::App app("Writes the tensors of a file of weights as a C++ header of constexpr arrays.");
  app.add_option("file", input, "the weights: safetensors, of torch.save, .npy or .npz")
      ->required();
  app.add_option("-o,--output", output, "the header")->required();
  app.add_option("--prefix", options.prefix, "only tensors whose names begin so, named without it");
  app.add_option("--namespace", options.name_space, "around the arrays")->capture_default_str();
  app.add_option("--dtype", options.dtype, "what the arrays hold; narrower ones are rounded to")
      ->check(CLI::IsMember({"F32", "F64", "F16", "BF16"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const std::string text = embed::header_of(recur::load_tensors(input), options);
    recur::write_file_atomically(output, std::as_bytes(std::span(text)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embed_weights: %s\n", error.what());
    return 2;
  }
  return 0;
}
