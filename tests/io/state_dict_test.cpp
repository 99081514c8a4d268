// SPDX-License-Identifier: MIT
#include "recur/io/state_dict.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <gtest/gtest.h>

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/nn/linear.hpp"

#include "support/compare.hpp"
#include "support/golden.hpp"
#include "support/temporary_folder.hpp"

namespace state_dict_test {
namespace {

using recur::Index;
using recur::SafetensorsWriter;
using recur::TensorFile;
using recur::test::golden_path;
using recur::test::TemporaryFolder;

// tests/golden/export.py has the same model.
template <class Scalar>
struct Model {
  recur::LSTM<Scalar> encoder;
  recur::GRU<Scalar> decoder;

  explicit Model(std::uint64_t seed) : Model(recur::Generator(seed)) {}

  static auto members(auto& self) {
    return recur::members("encoder", self.encoder, "decoder", self.decoder);
  }

 private:
  explicit Model(recur::Generator generator)
      : encoder({.input_size = 3,
                 .hidden_size = 4,
                 .num_layers = 2,
                 .batch_first = true,
                 .bidirectional = true},
                generator),
        decoder({.input_size = 8, .hidden_size = 5, .bias = false, .batch_first = true},
                generator) {}
};

std::vector<double> all_parameters(const auto& model) {
  std::vector<double> values;
  recur::for_each_parameter(model, [&](const std::string&, const auto& array) {
    for (Index k = 0; k < array.size(); ++k) {
      values.push_back(static_cast<double>(array.data()[k]));
    }
  });
  return values;
}

// A copy of a model's parameters as a file, with changes.
struct Entry {
  std::string name;
  std::vector<Index> shape;
  std::vector<float> values;
};

std::vector<Entry> entries_of(const auto& model) {
  std::vector<Entry> entries;
  recur::for_each_parameter(model, [&](const std::string& name, const auto& array) {
    entries.push_back(
        {name, recur::detail::parameter_shape(array), {array.data(), array.data() + array.size()}});
  });
  return entries;
}

TensorFile file_of(const std::vector<Entry>& entries) {
  SafetensorsWriter writer;
  for (const Entry& entry : entries) {
    writer.add(entry.name, entry.shape, entry.values.data());
  }
  return recur::parse_safetensors(writer.bytes(), "test.safetensors");
}

// The same file with the dtype of one tensor exchanged for another of the same size.
TensorFile with_dtype(const std::vector<Entry>& entries, const std::string& name,
                      const std::string& dtype) {
  SafetensorsWriter writer;
  for (const Entry& entry : entries) {
    writer.add(entry.name, entry.shape, entry.values.data());
  }
  std::vector<std::byte> bytes = writer.bytes();
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  text.replace(text.find("F32", text.find('"' + name + '"')), 3, dtype);
  std::memcpy(bytes.data(), text.data(), text.size());
  return recur::parse_safetensors(std::move(bytes), "test.safetensors");
}

TEST(StateDict, RoundTripOfAModule) {
  const TemporaryFolder folder;
  recur::Generator generator(1);
  const recur::LSTM<double> saved(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .proj_size = 2}, generator);
  recur::save_state_dict(saved, folder / "lstm.safetensors");

  const auto file = recur::load_safetensors(folder / "lstm.safetensors");
  EXPECT_EQ(file.names(),
            (std::vector<std::string>{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
                                      "weight_hr_l0", "weight_ih_l1", "weight_hh_l1", "bias_ih_l1",
                                      "bias_hh_l1", "weight_hr_l1"}));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensor("weight_ih_l0").shape, (std::vector<Index>{20, 3}));
  EXPECT_EQ(file.tensor("bias_ih_l0").shape, (std::vector<Index>{20}));

  recur::LSTM<double> loaded({.input_size = 3, .hidden_size = 5, .num_layers = 2, .proj_size = 2},
                             generator);
  EXPECT_NE(all_parameters(loaded), all_parameters(saved));
  recur::load_state_dict(loaded, folder / "lstm.safetensors");
  EXPECT_EQ(all_parameters(loaded), all_parameters(saved));

  recur::Tensor3<double> x(4, 2, 3);
  x.rows().setRandom();
  recur::test::expect_same(loaded.forward(x).output, saved.forward(x).output,
                           "output");  // packed copies are new, too
}

TEST(StateDict, MatricesOfOneColumnKeepTwoDimensions) {
  recur::GRUCell<float> cell({.input_size = 1, .hidden_size = 1});
  const auto file = file_of(entries_of(cell));
  EXPECT_EQ(file.tensor("weight_ih").shape, (std::vector<Index>{3, 1}));
  EXPECT_EQ(file.tensor("bias_hh").shape, (std::vector<Index>{3}));
  recur::load_state_dict(cell, file);
}

TEST(StateDict, RoundTripOfACompositeWithPrefix) {
  const TemporaryFolder folder;
  const Model<float> saved(1);
  for (const char* prefix : {"net", "net."}) {
    recur::save_state_dict(saved, folder / "model.safetensors", {.prefix = prefix});
    const auto file = recur::load_safetensors(folder / "model.safetensors");
    EXPECT_EQ(file.names().front(), "net.encoder.weight_ih_l0");
    Model<float> loaded(2);
    recur::load_state_dict(loaded, folder / "model.safetensors", prefix);
    EXPECT_EQ(all_parameters(loaded), all_parameters(saved));
    EXPECT_ERROR(recur::load_state_dict(loaded, folder / "model.safetensors"), "Missing key(s)");
  }
}

TEST(StateDict, PrefixTakesOnlyItsOwnNames) {
  const Model<float> saved(1);
  std::vector<Entry> entries = entries_of(saved);
  entries.push_back(
      {"decoder2.weight_ih_l0", {1}, {0.0F}});  // begins alike, is not below `decoder`
  entries.push_back({"other", {1}, {0.0F}});
  Model<float> loaded(2);
  recur::load_state_dict(loaded.decoder, file_of(entries), "decoder");
  EXPECT_EQ(all_parameters(loaded.decoder), all_parameters(saved.decoder));

  entries.push_back({"decoder.weight_ih_l1", {1}, {0.0F}});
  EXPECT_ERROR(recur::load_state_dict(loaded.decoder, file_of(entries), "decoder."),
               R"("decoder.weight_ih_l1" (1,))");
}

TEST(StateDict, ConvertsBetweenFloatAndDouble) {
  const Model<float> saved(1);
  Model<double> loaded(2);
  recur::load_state_dict(loaded, file_of(entries_of(saved)));
  EXPECT_EQ(all_parameters(loaded), all_parameters(saved));
}

TEST(StateDict, OneErrorListsEverything) {
  Model<float> model(1);
  const std::vector<double> before = all_parameters(model);
  std::vector<Entry> entries = entries_of(Model<float>(2));
  entries.erase(entries.begin());  // encoder.weight_ih_l0
  entries.push_back({"decoder.weight_ih_l7", {1, 2}, {1, 2}});
  entries.push_back({"encoder.extra", {}, {1}});
  for (Entry& entry : entries) {
    if (entry.name == "encoder.bias_hh_l0") {
      entry.shape = {16, 1};
    } else if (entry.name == "decoder.weight_hh_l0") {
      entry.shape = {5, 15};
    }
  }
  const std::string expected =
      "Error(s) in loading state_dict from test.safetensors:\n"
      "  Missing key(s) in state_dict:\n"
      "    \"encoder.weight_ih_l0\" (16, 3)\n"
      "  Unexpected key(s) in state_dict:\n"
      "    \"decoder.weight_ih_l7\" (1, 2)\n"
      "    \"encoder.extra\" ()\n"
      "  size mismatch for \"encoder.bias_hh_l0\": expected (16,), got (16, 1)\n"
      "  type mismatch for \"encoder.bias_ih_l1\": expected F64, F32, F16 or BF16, got I32\n"
      "  size mismatch for \"decoder.weight_hh_l0\": expected (15, 5), got (5, 15)";
  const auto file = with_dtype(entries, "encoder.bias_ih_l1", "I32");
  EXPECT_EQ(recur::test::error_of([&] { recur::load_state_dict(model, file); }), expected);
  EXPECT_EQ(all_parameters(model), before);
}

TEST(StateDict, EveryFaultAloneLeavesTheModelUntouched) {
  Model<float> model(1);
  const std::vector<double> before = all_parameters(model);
  const std::vector<Entry> good = entries_of(Model<float>(2));
  for (std::size_t k = 0; k < good.size(); ++k) {
    std::vector<Entry> entries = good;
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(k));
    EXPECT_ERROR(recur::load_state_dict(model, file_of(entries)),
                 "Missing key(s) in state_dict:\n    \"" + good[k].name + '"');
    entries = good;
    entries[k].name += "_";
    EXPECT_ERROR(recur::load_state_dict(model, file_of(entries)), '"' + good[k].name + "_\"");
    entries = good;
    entries[k].shape.push_back(1);
    EXPECT_ERROR(recur::load_state_dict(model, file_of(entries)),
                 "size mismatch for \"" + good[k].name + '"');
    EXPECT_ERROR(recur::load_state_dict(model, with_dtype(good, good[k].name, "U32")),
                 "type mismatch for \"" + good[k].name + '"');
  }
  EXPECT_EQ(all_parameters(model), before);
  recur::load_state_dict(model, file_of(good));
  EXPECT_EQ(all_parameters(model), all_parameters(Model<float>(2)));
}

// ---- Types --------------------------------------------------------------------------------------

TEST(StateDict, IsWrittenInTheTypeAskedFor) {
  const TemporaryFolder folder;
  const Model<float> saved(1);
  const std::vector<Entry> entries = entries_of(saved);
  for (const std::string dtype : {"F64", "F32", "F16", "BF16"}) {
    recur::save_state_dict(saved, folder / "model.safetensors",
                           {.dtype = dtype, .metadata = {{"made by", "hand"}}});
    const auto file = recur::load_safetensors(folder / "model.safetensors");
    EXPECT_EQ(file.metadata().at("made by"), "hand");
    EXPECT_EQ(file.metadata().at("format"), "pt");
    for (const Entry& entry : entries) {
      ASSERT_EQ(file.tensor(entry.name).dtype, dtype) << entry.name;
      ASSERT_EQ(file.tensor(entry.name).shape, entry.shape) << entry.name;
      // Half a unit in the last place of 11 or 8 significant bits.
      const float bound = dtype == "F16" ? 0x1p-11F : dtype == "BF16" ? 0x1p-8F : 0;
      const std::vector<float> values = file.values<float>(entry.name);
      for (std::size_t k = 0; k < values.size(); ++k) {
        ASSERT_LE(std::abs(values[k] - entry.values[k]), bound * std::abs(entry.values[k]));
      }
    }
    Model<double> loaded(2);
    recur::load_state_dict(loaded, folder / "model.safetensors");
  }
  EXPECT_ERROR(recur::save_state_dict(saved, folder / "other.safetensors", {.dtype = "I32"}),
               R"("encoder.weight_ih_l0": expected dtype F64, F32, F16 or BF16, got "I32")");
  EXPECT_EQ(folder.count(), 1U);
}

// ---- Names --------------------------------------------------------------------------------------

TEST(StateDict, SeveralModelsInOneFile) {
  const TemporaryFolder folder;
  const Model<float> first(1);
  const Model<float> second(2);
  SafetensorsWriter writer;
  recur::add_state_dict(writer, first, {.prefix = "first"});
  recur::add_state_dict(writer, second, {.dtype = "F64", .prefix = "second."});
  writer.save(folder / "both.safetensors");

  Model<float> loaded(3);
  recur::load_state_dict(loaded, folder / "both.safetensors", "second");
  EXPECT_EQ(all_parameters(loaded), all_parameters(second));
  recur::load_state_dict(loaded, folder / "both.safetensors", "first.");
  EXPECT_EQ(all_parameters(loaded), all_parameters(first));
  EXPECT_ERROR(recur::load_state_dict(loaded, folder / "both.safetensors"), "Unexpected key(s)");
  EXPECT_ERROR(recur::add_state_dict(writer, second, {.prefix = "first"}),
               R"("first.encoder.weight_ih_l0": was added before)");
}

TEST(StateDict, RenamesFromTheModelToTheFile) {
  const Model<float> saved(1);
  std::vector<Entry> entries = entries_of(saved);
  for (Entry& entry : entries) {  // encoder.weight_ih_l0 -> net.enc/weight_ih_l0
    entry.name = "net." + entry.name.replace(3, entry.name.find('.') - 2, "/");
  }
  const auto rename = [](const std::string& name) {
    return name.substr(0, 3) + "/" + name.substr(name.find('.') + 1);
  };
  Model<float> loaded(2);
  const auto report =
      recur::load_state_dict(loaded, file_of(entries), {.prefix = "net", .rename = rename});
  EXPECT_EQ(all_parameters(loaded), all_parameters(saved));
  EXPECT_TRUE(report.missing_keys.empty());
  EXPECT_TRUE(report.unexpected_keys.empty());
  EXPECT_ERROR(recur::load_state_dict(loaded, file_of(entries), {.rename = rename}),
               R"(Missing key(s) in state_dict:
    "enc/weight_ih_l0" (16, 3))");
}

// Two parameters that take the same tensor, as shared ones in PyTorch.
TEST(StateDict, RenameMayNameATensorTwice) {
  recur::LSTMCell<float> cell({.input_size = 2, .hidden_size = 3});
  std::vector<Entry> entries =
      entries_of(recur::LSTMCell<float>({.input_size = 2, .hidden_size = 3}));
  entries.pop_back();  // bias_hh
  recur::load_state_dict(cell, file_of(entries), {.rename = [](const std::string& name) {
                           return name == "bias_hh" ? "bias_ih" : name;
                         }});
  EXPECT_EQ(cell.parameters().bias_hh, cell.parameters().bias_ih);
}

// ---- Not strict ---------------------------------------------------------------------------------

TEST(StateDict, PartialLoadingReportsWhatItPassedOver) {
  Model<float> model(1);
  const std::vector<Entry> before = entries_of(model);
  std::vector<Entry> entries = entries_of(Model<float>(2));
  for (Entry& entry : entries) {
    entry.name = "net." + entry.name;
  }
  const Entry gone = entries[1];  // net.encoder.weight_hh_l0
  entries.erase(entries.begin() + 1);
  entries.push_back({"net.more", {1}, {5}});
  entries.push_back({"other", {1}, {5}});  // not below the prefix
  const auto file = file_of(entries);

  EXPECT_ERROR(recur::load_state_dict(model, file, "net"), "Missing key(s)");
  const auto report = recur::load_state_dict(model, file, {.prefix = "net", .strict = false});
  EXPECT_EQ(report.missing_keys, std::vector<std::string>{"encoder.weight_hh_l0"});
  EXPECT_EQ(report.unexpected_keys, std::vector<std::string>{"net.more"});
  const std::vector<Entry> after = entries_of(model);
  for (std::size_t k = 0; k < after.size(); ++k) {
    EXPECT_EQ(after[k].values,
              k == 1 ? before[k].values : file.values<float>("net." + after[k].name))
        << after[k].name;
  }
}

// torch: RuntimeError on size mismatch also with strict=False.
TEST(StateDict, WrongShapesAreErrorsAlsoWhereNotStrict) {
  Model<float> model(1);
  const std::vector<double> before = all_parameters(model);
  std::vector<Entry> entries = entries_of(Model<float>(2));
  entries.erase(entries.begin());
  entries.push_back({"more", {1}, {5}});
  entries[2].shape.push_back(1);
  const std::string text = recur::test::error_of(
      [&] { recur::load_state_dict(model, file_of(entries), {.strict = false}); });
  EXPECT_EQ(text, "Error(s) in loading state_dict from test.safetensors:\n  size mismatch for \"" +
                      entries[2].name + "\": expected (16,), got (16, 1)");
  EXPECT_ERROR(
      recur::load_state_dict(model, with_dtype(entries_of(model), "encoder.bias_ih_l0", "I32"),
                             {.strict = false}),
      "type mismatch");
  EXPECT_EQ(all_parameters(model), before);
}

TEST(StateDict, NothingInTheFileIsAllMissing) {
  Model<float> model(1);
  const std::vector<double> before = all_parameters(model);
  const auto report = recur::load_state_dict(model, file_of({}), {.strict = false});
  EXPECT_EQ(report.missing_keys.size(), entries_of(model).size());
  const auto named = recur::load_state_dict(
      model, file_of(entries_of(model)),
      {.rename = [](const std::string&) { return std::string(); }, .strict = false});
  EXPECT_EQ(named.missing_keys, report.missing_keys);
  EXPECT_EQ(named.unexpected_keys.size(), report.missing_keys.size());
  EXPECT_EQ(all_parameters(model), before);
}

TEST(StateDict, MissingFile) {
  Model<float> model(1);
  EXPECT_ERROR(recur::load_state_dict(model, "/nowhere/model.safetensors"),
               "/nowhere/model.safetensors: cannot be opened");
  EXPECT_ERROR(recur::save_state_dict(model, "/nowhere/model.safetensors"),
               "/nowhere/model.safetensors: cannot be written");
}

// A file that PyTorch wrote gives PyTorch's output.
TEST(StateDict, LoadsFromPyTorch) {
  Model<float> model(1);
  recur::load_state_dict(model, golden_path("model.safetensors"));
  const auto io = recur::load_safetensors(golden_path("model_io.safetensors"));

  const auto encoded = model.encoder.forward(io.tensor3<float>("input"));
  const auto decoded = model.decoder.forward(encoded.output);
  recur::test::expect_close(decoded.output, io.tensor3<float>("output"), 1e-6, "output");
  recur::test::expect_close(encoded.state.h, io.tensor3<float>("encoder.h_n"), 1e-6, "encoder.h_n");
  recur::test::expect_close(encoded.state.c, io.tensor3<float>("encoder.c_n"), 1e-6, "encoder.c_n");
  recur::test::expect_close(decoded.state.h, io.tensor3<float>("decoder.h_n"), 1e-6, "decoder.h_n");

  recur::GRU<float> decoder({.input_size = 8, .hidden_size = 5, .bias = false});
  recur::load_state_dict(decoder, golden_path("model.safetensors"), "decoder.");
  EXPECT_EQ(all_parameters(decoder), all_parameters(model.decoder));
}

#ifdef __linux__
// Under a sanitizer limits of memory mean nothing.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// True where f runs in a process that may take `more` bytes than it has.
template <class F>
bool runs_with_memory(std::size_t more, const F& f) {
  const pid_t child = fork();
  if (child == 0) {
    std::size_t pages = 0;  // of data and stack: the sixth number
    std::ifstream statm("/proc/self/statm");
    for (int k = 0; k < 6; ++k) {
      statm >> pages;
    }
    const rlim_t limit = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + more;
    const rlimit limits{limit, limit};
    setrlimit(RLIMIT_DATA, &limits);
    try {
      f();
    } catch (...) {
      std::_Exit(1);
    }
    std::_Exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// 32 MB of weights are written and read with 8 MB to spare.
TEST(StateDict, NoSecondCopyOfTheWeights) {
  const TemporaryFolder folder;
  constexpr std::size_t spare = std::size_t{8} << 20;
  recur::Linear<float> model({.in_features = 2048, .out_features = 4096, .bias = false});
  EXPECT_FALSE(runs_with_memory(spare, [] {  // the limit holds
    const std::vector<float> copy(2048 * 4096, 1.0F);
    EXPECT_EQ(copy.back(), 1.0F);
  }));
  for (const char* dtype : {"F32", "F16", "F64"}) {
    const auto path = folder / (std::string(dtype) + ".safetensors");
    EXPECT_TRUE(runs_with_memory(spare, [&] {
      recur::save_state_dict(model, path, {.dtype = dtype});
    })) << dtype;
    EXPECT_TRUE(runs_with_memory(spare, [&] { recur::load_state_dict(model, path); })) << dtype;
  }
}
#endif

// A file that is saved here gives the same output in PyTorch, where there is one.
TEST(StateDict, SavedFileLoadsInPyTorch) {
  const TemporaryFolder folder;
  const Model<float> model(3);
  recur::Tensor3<float> x(2, 6, 3);
  x.rows().setRandom();
  const auto encoded = model.encoder.forward(x);
  const auto decoded = model.decoder.forward(encoded.output);

  recur::save_state_dict(model, folder / "model.safetensors");
  recur::save_state_dict(model, folder / "half.safetensors", {.dtype = "F16"});
  recur::save_state_dict(model, folder / "bfloat.safetensors", {.dtype = "BF16"});
  SafetensorsWriter io;
  const auto add = [&](const std::string& name, const recur::Tensor3<float>& tensor) {
    io.add(name, {tensor.size(0), tensor.size(1), tensor.size(2)}, tensor.data());
  };
  add("input", x);
  add("output", decoded.output);
  add("encoder.h_n", encoded.state.h);
  add("encoder.c_n", encoded.state.c);
  add("decoder.h_n", decoded.state.h);
  io.save(folder / "model_io.safetensors");

  constexpr int not_installed = 77;
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    const auto log = folder / "log";
    std::string command = std::string(python) + " -B '" + golden_path("check_roundtrip.py") + "'";
    for (const char* file : {"model", "model_io", "half", "bfloat"}) {
      command += " '" + (folder / (std::string(file) + ".safetensors")).string() + "'";
    }
    command += " > '" + log.string() + "' 2>&1";
    const int status = std::system(command.c_str());
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == not_installed || code == 127) {  // 127: no such program
      continue;
    }
    std::ifstream stream(log);
    EXPECT_EQ(code, 0) << std::string(std::istreambuf_iterator<char>(stream), {});
    return;
  }
  GTEST_SKIP() << "no python3 with PyTorch (Debian, Ubuntu: apt install python3-torch)";
}
#endif

}  // namespace
}  // namespace state_dict_test
