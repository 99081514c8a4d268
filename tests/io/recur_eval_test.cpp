// SPDX-License-Identifier: MIT
//
// The program recur_eval (tests/golden/recur_eval.cpp): what it computes, and what it refuses.
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "recur/io/safetensors.hpp"
#include "recur/io/safetensors_writer.hpp"

#include "support/compare.hpp"
#include "support/golden.hpp"
#include "support/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace recur_eval_test {
namespace {

using nlohmann::json;
using recur::Index;
using recur::SafetensorsWriter;
using recur::TensorFile;
using recur::test::golden_cases;
using recur::test::GoldenCase;
using recur::test::TemporaryFolder;
using Shape = std::vector<Index>;

using recur::test::Finished;

Finished run(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return recur::test::run_program(RECUR_EVAL_PROGRAM, folder, arguments);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

// ---- What PyTorch gave --------------------------------------------------------------------------

json config_of(const GoldenCase& golden) {
  const bool lstm = golden.is("module", "LSTM");
  const bool gru = golden.is("module", "GRU");
  json config = {
      {"cell", lstm                                ? "lstm"
               : gru                               ? "gru"
               : golden.is("nonlinearity", "relu") ? "rnn_relu"
                                                   : "rnn_tanh"},
      {"dtype", golden.is("dtype", "float32") ? "float32" : "float64"},
  };
  for (const char* key : {"input_size", "hidden_size", "num_layers", "proj_size"}) {
    config[key] = golden.number(key);
  }
  for (const char* key : {"bias", "batch_first", "bidirectional"}) {
    config[key] = golden.flag(key);
  }
  return config;
}

// The names of IN and OUT by those of the golden files.
std::string in_name(const std::string& key) {
  if (key.starts_with("parameter.")) {
    return key.substr(std::string("parameter.").size());
  }
  return key == "input" || key == "h_0" || key == "c_0" || key.starts_with("d_") ? key : "";
}
std::string out_name(const std::string& key) {
  if (key == "grad.input" || key == "grad.h_0" || key == "grad.c_0") {
    return "d_" + key.substr(std::string("grad.").size());
  }
  return key == "output" || key == "h_n" || key == "c_n" || key.starts_with("grad.") ? key : "";
}

template <class Scalar>
void write_inputs(const GoldenCase& golden, const std::filesystem::path& path) {
  SafetensorsWriter in;
  for (const std::string& full : golden.file().names()) {
    if (full.starts_with(golden.path(""))) {
      const std::string name = in_name(full.substr(golden.path("").size()));
      if (!name.empty()) {
        in.add(name, golden.file().tensor(full).shape, golden.file().values<Scalar>(full).data());
      }
    }
  }
  in.save(path);
}

template <class Scalar>
void expect_outputs(const GoldenCase& golden, const std::filesystem::path& path) {
  const auto out = recur::load_safetensors(path);
  std::size_t expected = 0;
  for (const std::string& full : golden.file().names()) {
    if (!full.starts_with(golden.path(""))) {
      continue;
    }
    const std::string name = out_name(full.substr(golden.path("").size()));
    if (name.empty()) {
      continue;
    }
    ++expected;
    ASSERT_TRUE(out.contains(name)) << golden.name() << ": " << name;
    EXPECT_EQ(out.tensor(name).shape, golden.file().tensor(full).shape) << full;
    EXPECT_EQ(out.tensor(name).dtype, golden.file().tensor(full).dtype) << full;
    recur::test::expect_close(out.values<Scalar>(name), golden.file().values<Scalar>(full),
                              std::is_same_v<Scalar, float> ? 1e-5 : 1e-12, full);
  }
  EXPECT_EQ(out.names().size(), expected) << golden.name();
}

class RecurEvalGolden : public testing::TestWithParam<const char*> {};

// All cases of a file by one command.
TEST_P(RecurEvalGolden, GivesWhatPyTorchGave) {
  const TemporaryFolder folder;
  const auto cases = golden_cases(GetParam());
  std::ofstream list(folder / "list.txt");
  for (const GoldenCase& golden : cases) {
    const auto in = folder / (golden.name() + ".in");
    write_text(folder / golden.name(), config_of(golden).dump());
    golden.is("dtype", "float32") ? write_inputs<float>(golden, in)
                                  : write_inputs<double>(golden, in);
    for (const char* suffix : {"", ".in", ".out"}) {
      list << std::quoted((folder / (golden.name() + suffix)).string()) << '\n';
    }
  }
  list.close();

  const Finished finished = run(folder, {"--list", (folder / "list.txt").string()});
  ASSERT_EQ(finished.code, 0) << finished.output;
  EXPECT_EQ(finished.output, "");
  for (const GoldenCase& golden : cases) {
    const auto out = folder / (golden.name() + ".out");
    golden.is("dtype", "float32") ? expect_outputs<float>(golden, out)
                                  : expect_outputs<double>(golden, out);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecurEvalGolden, testing::Values("lstm", "gru", "rnn"),
                         [](const auto& file) { return std::string(file.param); });

// ---- One small layer ----------------------------------------------------------------------------

// A correct CONFIG and IN, to be changed.
struct Files {
  TemporaryFolder folder;
  json config = {{"cell", "lstm"},         {"input_size", 3}, {"hidden_size", 4},
                 {"num_layers", 1},        {"bias", true},    {"batch_first", false},
                 {"bidirectional", false}, {"proj_size", 0},  {"dtype", "float64"}};
  std::map<std::string, Shape> tensors = {{"input", {5, 2, 3}},
                                          {"weight_ih_l0", {16, 3}},
                                          {"weight_hh_l0", {16, 4}},
                                          {"bias_ih_l0", {16}},
                                          {"bias_hh_l0", {16}}};

  Files() = default;
  explicit Files(const auto& change) { change(*this); }

  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::vector<std::string> triple() const {
    return {path("config.json"), path("in.safetensors"), path("out.safetensors")};
  }

  template <class Scalar = double>
  void write() const {
    write_text(folder / "config.json", config.dump());
    SafetensorsWriter in;
    for (const auto& [name, shape] : tensors) {
      Index size = 1;
      for (const Index length : shape) {
        size *= length;
      }
      std::vector<Scalar> values;
      for (Index k = 0; k < size; ++k) {
        values.push_back(static_cast<Scalar>((7 * k + 3) % 11 - 5) / Scalar(8));
      }
      in.add(name, shape, values.data());
    }
    in.save(folder / "in.safetensors");
  }

  // Runs the program on what is in the folder.
  TensorFile evaluate() const {
    const Finished finished = run(folder, triple());
    EXPECT_EQ(finished.code, 0) << finished.output;
    return recur::load_safetensors(path("out.safetensors"));
  }
  void expect_refused(const std::string& text) const {
    const Finished finished = run(folder, triple());
    EXPECT_EQ(finished.code, 2);
    EXPECT_EQ(finished.output, "recur_eval: " + path("") + text + "\n");
    EXPECT_EQ(folder.count(), 3U) << "expected only config.json, in.safetensors and log";
  }
  void expect_config_refused(const std::string& text) const {
    write();
    expect_refused("config.json: " + text);
  }
  void expect_input_refused(const std::string& text) const {
    write();
    expect_refused("in.safetensors: " + text);
  }
};

TEST(RecurEval, GivesGradientsOnlyWhereThereAreUpstreamOnes) {
  Files files;
  files.write();
  EXPECT_EQ(files.evaluate().names(), (std::vector<std::string>{"output", "h_n", "c_n"}));

  files.tensors["d_c_n"] = {1, 2, 4};
  files.write();
  EXPECT_EQ(files.evaluate().names(),
            (std::vector<std::string>{"output", "h_n", "c_n", "d_input", "d_h_0", "d_c_0",
                                      "grad.weight_ih_l0", "grad.weight_hh_l0", "grad.bias_ih_l0",
                                      "grad.bias_hh_l0"}));
}

TEST(RecurEval, LengthsAndPackedGiveTheSame) {
  for (const bool batch_first : {false, true}) {
    Files files;
    const Shape x = batch_first ? Shape{3, 5, 3} : Shape{5, 3, 3};
    files.config["batch_first"] = batch_first;
    files.config["lengths"] = {2, 4, 1};  // no sequence reaches the last step
    files.tensors["input"] = x;
    files.tensors["d_output"] = {x[0], x[1], 4};
    files.tensors["h_0"] = files.tensors["d_h_n"] = {1, 3, 4};
    files.write();
    const auto plain = files.evaluate();

    files.config["packed"] = true;
    files.write();
    const auto packed = files.evaluate();
    ASSERT_EQ(packed.names(), plain.names());
    for (const std::string& name : plain.names()) {
      EXPECT_EQ(packed.tensor(name).shape, plain.tensor(name).shape) << name;
      recur::test::expect_close(packed.values<double>(name), plain.values<double>(name), 1e-14,
                                name);
    }
  }
}

TEST(RecurEval, RefusesAWrongConfig) {
  const auto with = [](const std::string& key, const json& value) {
    return Files([&](Files& files) { files.config[key] = value; });
  };
  with("cell", "LSTM")
      .expect_config_refused(
          R"("cell": expected one of "rnn_tanh", "rnn_relu", "lstm", "gru", got "LSTM")");
  with("dtype", "float16")
      .expect_config_refused(R"("dtype": expected one of "float32", "float64", got "float16")");
  with("bias", 1).expect_config_refused(R"("bias": expected true or false, got 1)");
  for (const json& wrong : {json(4.0), json(-4), json("4"), json(1ULL << 31), json()}) {
    with("hidden_size", wrong)
        .expect_config_refused(
            R"("hidden_size": expected a whole number from 0 to 2147483647, got )" + wrong.dump());
  }
  with("hiden_size", 4)
      .expect_config_refused(
          R"("hiden_size": unknown key, expected only batch_first, bias, bidirectional, cell, dtype, )"
          "hidden_size, input_size, num_layers, proj_size and, optionally, lengths, packed, "
          "enforce_sorted");
  with("hidden_size", 0).expect_config_refused("hidden_size must be greater than zero");
  with("num_layers", 0).expect_config_refused("num_layers must be greater than zero");
  with("proj_size", 4).expect_config_refused("proj_size has to be smaller than hidden_size");

  Files gru = with("cell", "gru");
  gru.config["proj_size"] = 2;
  gru.expect_config_refused("proj_size argument is only supported for LSTM, not RNN or GRU");

  for (const char* key : {"cell", "input_size", "hidden_size", "num_layers", "bias", "batch_first",
                          "bidirectional", "proj_size", "dtype"}) {
    Files files;
    files.config.erase(key);
    files.expect_config_refused('"' + std::string(key) + "\": expected this key, got none");
  }
}

TEST(RecurEval, RefusesWrongLengths) {
  const auto with = [](const json& lengths) {
    return Files([&](Files& files) { files.config["lengths"] = lengths; });
  };
  with(3).expect_config_refused(R"("lengths": expected an array of whole numbers, got 3)");
  with({3, -1}).expect_config_refused(
      R"("lengths": expected a whole number from 0 to 2147483647, got -1)");
  with({3, 2, 1}).expect_config_refused(
      "\"lengths\": Expected `len(lengths)` to be equal to batch_size, but got 3 (batch_size=2)");
  with({3, 6}).expect_config_refused(
      "\"lengths\": lengths[1]: expected 0 to 5 (the time steps of the input), got 6");

  Files packed = with({3, 0});
  packed.config["packed"] = true;
  packed.expect_config_refused(
      "\"lengths\": Length of all samples has to be greater than 0, but found an element in "
      "'lengths' that is <= 0");
  packed.config["lengths"] = {3, 5};
  packed.config["enforce_sorted"] = true;
  packed.expect_config_refused(
      "\"lengths\": `lengths` array must be sorted in decreasing order when `enforce_sorted` is "
      "True. You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
      "sidestep this requirement if you do not need ONNX exportability.");
  packed.config.erase("lengths");
  packed.expect_config_refused(R"("packed": expected "lengths" beside it)");
  packed.config.erase("packed");
  packed.expect_config_refused(R"("enforce_sorted": expected "packed": true beside it)");

  Files unbatched = with({3});
  unbatched.tensors["input"] = {5, 3};
  unbatched.expect_config_refused(
      "\"lengths\": expected input of 3 dimensions beside it, got shape (5, 3)");
}

TEST(RecurEval, RefusesWrongTensors) {
  const auto with = [](const std::string& name, const Shape& shape) {
    return Files([&](Files& files) { files.tensors[name] = shape; });
  };
  with("input", {5, 2, 2})
      .expect_input_refused(R"("input": expected shape (5, 2, 3), got (5, 2, 2))");
  with("input", {5}).expect_input_refused(R"("input": expected 2 or 3 dimensions, got shape (5,))");
  with("input", {0, 2, 3})
      .expect_input_refused(R"("input": Expected sequence length to be larger than 0 in RNN)");
  with("h_0", {1, 2, 3}).expect_input_refused(R"("h_0": expected shape (1, 2, 4), got (1, 2, 3))");
  with("c_0", {1, 4}).expect_input_refused(R"("c_0": expected shape (1, 2, 4), got (1, 4))");
  with("d_output", {2, 5, 4})
      .expect_input_refused(R"("d_output": expected shape (5, 2, 4), got (2, 5, 4))");
  with("d_h_n", {2, 2, 4})
      .expect_input_refused(R"("d_h_n": expected shape (1, 2, 4), got (2, 2, 4))");
  with("weight_hh_l0", {4, 16})
      .expect_input_refused(R"("weight_hh_l0": expected shape (16, 4), got (4, 16))");
  with("bias_hh_l0", {16, 1})
      .expect_input_refused(R"("bias_hh_l0": expected shape (16,), got (16, 1))");
  with("weight_ih_l1", {16, 4})
      .expect_input_refused(
          R"("weight_ih_l1": unexpected tensor: the layer of CONFIG has no use for it)");

  Files missing;
  missing.tensors.erase("bias_hh_l0");
  missing.expect_input_refused(R"("bias_hh_l0": expected this tensor of shape (16,), got none)");
  missing.tensors.erase("input");
  missing.expect_input_refused(R"("input": expected this tensor, got none)");

  Files other_type;
  other_type.write<float>();
  other_type.expect_refused(R"(in.safetensors: "input": expected F64 as CONFIG says, got F32)");

  // Sizes that no memory would hold are found out by the shapes of what is there.
  Files huge;
  huge.config["hidden_size"] = 2147483647;
  huge.expect_input_refused(R"("weight_ih_l0": expected shape (8589934588, 3), got (16, 3))");
}

TEST(RecurEval, RefusesFilesThatAreNone) {
  Files files;
  files.write();
  write_text(files.folder / "config.json", "[1]");
  files.expect_refused("config.json: expected a JSON object, got array");
  write_text(files.folder / "config.json", R"({"cell": )");
  const Finished broken = run(files.folder, files.triple());
  EXPECT_EQ(broken.code, 2);
  EXPECT_NE(broken.output.find("config.json: is not valid JSON: "), std::string::npos)
      << broken.output;

  files.write();
  write_text(files.folder / "in.safetensors", "none");
  files.expect_refused(
      "in.safetensors: expected the header's length in the first 8 bytes, got 4 bytes in all");

  auto absent = files.triple();
  absent[0] = files.path("absent.json");
  const Finished finished = run(files.folder, absent);
  EXPECT_EQ(finished.code, 2);
  EXPECT_EQ(finished.output,
            "recur_eval: " + absent[0] + ": cannot be opened: No such file or directory\n");
}

TEST(RecurEval, KeepsAnOldOutWhenItFails) {
  Files files;
  files.write();
  write_text(files.folder / "out.safetensors", "old");
  files.config["cell"] = "mgu";
  files.write();
  EXPECT_EQ(run(files.folder, files.triple()).code, 2);
  EXPECT_EQ(std::filesystem::file_size(files.folder / "out.safetensors"), 3U);
}

TEST(RecurEval, OneWrongTripleDoesNotStopTheOthers) {
  Files files;
  files.write();
  std::vector<std::string> arguments;
  for (const char* number : {"1", "2", "3"}) {
    auto triple = files.triple();
    triple[1] = *number == '2' ? files.path("absent") : triple[1];
    triple[2] = files.path(std::string("out ") + number);
    arguments.insert(arguments.end(), triple.begin(), triple.end());
  }
  const Finished finished = run(files.folder, arguments);
  EXPECT_EQ(finished.code, 2);
  EXPECT_EQ(finished.output, "recur_eval: " + files.path("absent") +
                                 ": cannot be opened: No such file or directory\n");
  EXPECT_TRUE(std::filesystem::exists(files.folder / "out 1"));
  EXPECT_FALSE(std::filesystem::exists(files.folder / "out 2"));
  EXPECT_TRUE(std::filesystem::exists(files.folder / "out 3"));
}

TEST(RecurEval, SaysHowItIsCalled) {
  const TemporaryFolder folder;
  EXPECT_EQ(run(folder, {"--help"}).code, 0);
  for (const auto& arguments : {std::vector<std::string>{}, {"config.json", "in.safetensors"}}) {
    const Finished finished = run(folder, arguments);
    EXPECT_EQ(finished.code, 2);
    EXPECT_NE(finished.output.find("usage: recur_eval CONFIG.json IN.safetensors"),
              std::string::npos)
        << finished.output;
  }
}

}  // namespace
}  // namespace recur_eval_test
