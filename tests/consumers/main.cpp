// SPDX-License-Identifier: MIT
//
// The program of both consumer projects.
#ifdef BARE  // without the optional packages: the headers of the core only
#include <recur/layers/lstm.hpp>
#include <recur/version.hpp>
#else
#include <recur/recur.hpp>
#endif
#ifdef ONNX
#include <recur/io/onnx_file.hpp>
#endif

#include <cstdio>

int main() {
  recur::LSTM<float> lstm({.input_size = 3, .hidden_size = 4});
  recur::Tensor3<float> x(5, 2, 3);
  auto [output, state] = lstm.forward(x);
  std::printf("recur %s: output (%d, %d, %d)\n", recur::version, static_cast<int>(output.size(0)),
              static_cast<int>(output.size(1)), static_cast<int>(output.size(2)));
  const bool right = output.size(0) == 5 && output.size(1) == 2 && output.size(2) == 4 &&
                     state.h.size(2) == 4 && state.c.size(2) == 4;
#ifdef ONNX  // links protobuf
  try {
    recur::parse_onnx_file(std::vector<std::byte>(), "empty");
    return 1;
  } catch (const recur::Error& error) {
    std::printf("%s\n", error.what());
  }
#endif
  return right ? 0 : 1;
}
