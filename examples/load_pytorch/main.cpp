// SPDX-License-Identifier: MIT
//
// A model trained in PyTorch in a C++ program, which proves at its start that it computes what
// PyTorch did. See README.md in ../.
//
//     load_pytorch model.safetensors      a file that export.py wrote
#include <cstdio>
#include <exception>
#include <string>

#include "recur/recur.hpp"

namespace {

// The class Forecaster of export.py: its members have the same names, and so have its weights.
struct Forecaster {
  recur::LSTM<float> lstm{
      {.input_size = 3, .hidden_size = 8, .num_layers = 2, .batch_first = true}};
  recur::Linear<float> head{{.in_features = 8, .out_features = 2}};

  static auto members(auto& self) { return recur::members("lstm", self.lstm, "head", self.head); }

  // x (B, T, 3); gives (B × 2).
  recur::RowMatrix<float> forward(const recur::Tensor3<float>& x) const {
    return head.forward(lstm.forward(x).state.h[1]);  // h_n of the upper layer: the last step
  }
};

void print(const std::string& model, const recur::CheckResult& found) {
  std::printf(
      "%s: as in PyTorch: largest difference %.1e of the largest entry (%s), allowed %.0e\n",
      model.c_str(), found.difference, found.output.c_str(), found.tolerance);
}

// ---- Any LSTM, GRU or RNN: its options stand in the metadata ------------------------------------

class Description {
 public:
  explicit Description(const recur::TensorFile& file) : file_(file) {}

  const std::string& text(const char* key) const {
    const auto found = file_.metadata().find(key);
    recur::check(found != file_.metadata().end(), file_.name(), ": metadata ", key,
                 ": expected it, got none (was the file written by export.py?)");
    return found->second;
  }
  recur::Index number(const char* key) const {
    const std::string& digits = text(key);
    const bool is_number = !digits.empty() && digits.size() <= 6 &&
                           digits.find_first_not_of("0123456789") == std::string::npos;
    recur::check(is_number, file_.name(), ": metadata ", key, ": expected a number, got ", digits);
    return std::stol(digits);
  }
  bool flag(const char* key) const {
    const std::string& value = text(key);
    recur::check(value == "true" || value == "false", file_.name(), ": metadata ", key,
                 ": expected true or false, got ", value);
    return value == "true";
  }

  // The options that LSTM, GRU and RNN have in common.
  template <class Options>
  Options options() const {
    Options o;
    o.input_size = number("input_size");
    o.hidden_size = number("hidden_size");
    o.num_layers = number("num_layers");
    o.bias = flag("bias");
    o.batch_first = flag("batch_first");
    o.bidirectional = flag("bidirectional");
    if constexpr (requires { o.nonlinearity; }) {
      o.nonlinearity =
          text("nonlinearity") == "relu" ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh;
    } else {
      o.proj_size = number("proj_size");
    }
    return o;
  }

 private:
  const recur::TensorFile& file_;
};

template <class Layer>
void run_layer(const recur::TensorFile& file) {
  const Description description(file);
  Layer layer(description.options<typename Layer::Options>());
  print(description.text("module"), recur::load_with_check(layer, file.name()));
}

template <class Scalar>
void run_layer(const recur::TensorFile& file, const std::string& module) {
  if (module == "LSTM") {
    run_layer<recur::LSTM<Scalar>>(file);
  } else if (module == "GRU") {
    run_layer<recur::GRU<Scalar>>(file);
  } else if (module == "RNN") {
    run_layer<recur::RNN<Scalar>>(file);
  } else {
    recur::fail(file.name(), ": metadata module: expected Forecaster, LSTM, GRU or RNN, got ",
                module);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: load_pytorch FILE      (a file that export.py wrote)\n", stderr);
    return 2;
  }
  try {
    const recur::TensorFile file = recur::load_safetensors(argv[1]);
    const std::string module = Description(file).text("module");
    if (module == "Forecaster") {
      Forecaster model;
      print(module, recur::load_with_check(model, argv[1]));
      const auto forecast = model.forward(file.tensor3<float>("self_test.input"));
      std::printf("forecast of the first sequence: %g %g\n", forecast(0, 0), forecast(0, 1));
    } else if (file.contains("weight_ih_l0") && file.tensor("weight_ih_l0").dtype == "F64") {
      run_layer<double>(file, module);
    } else {
      run_layer<float>(file, module);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
