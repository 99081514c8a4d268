// SPDX-License-Identifier: MIT
//
// recur_eval CONFIG.json IN.safetensors OUT.safetensors: runs one recurrent layer on numbers out of
// files, for whoever wants to compare it with another implementation, in any language. The formats
// are in README.md beside this file.
//
// Several triples on one command line, or in the file after --list, are worked off one by one. What
// is wrong with a triple stands on stderr, in one message; it gets no OUT, the others do. Exit
// code: 0, or 2 when any was wrong.

#include <cerrno>
#include <cstdint>
#include <cstring>  // std::strerror
#include <exception>
#include <fstream>
#include <initializer_list>
#include <iomanip>  // std::quoted
#include <iostream>
#include <limits>
#include <new>  // std::bad_alloc
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "recur/io/safetensors.hpp"
#include "recur/io/safetensors_writer.hpp"
#include "recur/io/state_dict.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/packed_sequence.hpp"
#include "recur/layers/rnn.hpp"

namespace {

using recur::check;
using recur::fail;
using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;
using recur::detail::in_quotes;
using recur::detail::shape_text;
using Shape = std::vector<Index>;

/// Returns f(); an Error out of it gets `context` before its text.
template <class F>
decltype(auto) with_context(const std::string& context, F&& f) {
  try {
    return f();
  } catch (const recur::Error& error) {
    fail(context, error.what());
  }
}

// ---- CONFIG -------------------------------------------------------------------------------------

struct Config {
  std::string path;
  std::string cell;
  std::string dtype;
  recur::RecurrentOptions options;
  std::optional<std::vector<Index>> lengths;
  bool packed = false;
  bool enforce_sorted = false;

  Index gates() const { return cell == "lstm" ? 4 : cell == "gru" ? 3 : 1; }
  Index directions() const { return options.bidirectional ? 2 : 1; }
  Index output_size() const {
    return options.proj_size > 0 ? options.proj_size : options.hidden_size;
  }
};

/// The JSON object in a file, key by key: a key that is missing, of another type, or left over at
/// the end is an Error.
class JsonFile {
 public:
  explicit JsonFile(const std::string& path) : path_(path) {
    errno = 0;
    std::ifstream stream(path);
    check(stream.is_open(), path, ": cannot be opened: ", std::strerror(errno));
    try {
      json_ = nlohmann::json::parse(stream);
    } catch (const nlohmann::json::exception& error) {
      fail(path, ": is not valid JSON: ", error.what());
    }
    check(json_.is_object(), path, ": expected a JSON object, got ", json_.type_name());
  }

  bool has(const std::string& key) const { return json_.contains(key); }

  std::string one_of(const std::string& key, std::initializer_list<const char*> allowed) {
    const nlohmann::json& value = get(key);
    std::string expected;
    for (const char* text : allowed) {
      if (value == text) {
        return text;
      }
      expected += (expected.empty() ? "" : ", ") + in_quotes(text);
    }
    fail(where(key), "expected one of ", expected, ", got ", text_of(value));
  }

  bool flag(const std::string& key) {
    const nlohmann::json& value = get(key);
    check(value.is_boolean(), where(key), "expected true or false, got ", text_of(value));
    return value.get<bool>();
  }

  Index number(const std::string& key) { return whole_number(key, get(key)); }

  std::vector<Index> numbers(const std::string& key) {
    const nlohmann::json& value = get(key);
    check(value.is_array(), where(key), "expected an array of whole numbers, got ", text_of(value));
    std::vector<Index> result;
    for (const nlohmann::json& element : value) {
      result.push_back(whole_number(key, element));
    }
    return result;
  }

  void check_no_other_keys() const {
    for (const auto& [key, value] : json_.items()) {
      if (read_.count(key) == 0) {
        std::string expected;
        for (const std::string& known : read_) {
          expected += (expected.empty() ? "" : ", ") + known;
        }
        fail(where(key), "unknown key, expected only ", expected,
             " and, optionally, lengths, packed, enforce_sorted");
      }
    }
  }

 private:
  std::string where(const std::string& key) const { return path_ + ": " + in_quotes(key) + ": "; }

  static std::string text_of(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  const nlohmann::json& get(const std::string& key) {
    read_.insert(key);
    check(has(key), where(key), "expected this key, got none");
    return json_[key];
  }

  // Up to 2³¹ - 1: no product of two sizes overflows.
  Index whole_number(const std::string& key, const nlohmann::json& value) const {
    constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
    check(value.is_number_unsigned() && value.get<std::uint64_t>() <= std::uint64_t{largest},
          where(key), "expected a whole number from 0 to ", largest, ", got ", text_of(value));
    return value.get<Index>();
  }

  std::string path_;
  nlohmann::json json_;
  std::set<std::string> read_;
};

Config read_config(const std::string& path) {
  JsonFile file(path);
  Config config;
  config.path = path;
  config.cell = file.one_of("cell", {"rnn_tanh", "rnn_relu", "lstm", "gru"});
  config.dtype = file.one_of("dtype", {"float32", "float64"});
  config.options = {.input_size = file.number("input_size"),
                    .hidden_size = file.number("hidden_size"),
                    .num_layers = file.number("num_layers"),
                    .bias = file.flag("bias"),
                    .batch_first = file.flag("batch_first"),
                    .bidirectional = file.flag("bidirectional"),
                    .proj_size = file.number("proj_size")};
  if (file.has("lengths")) {
    config.lengths = file.numbers("lengths");
  }
  config.packed = file.has("packed") && file.flag("packed");
  config.enforce_sorted = file.has("enforce_sorted") && file.flag("enforce_sorted");
  file.check_no_other_keys();

  check(!config.packed || config.lengths, path, ": \"packed\": expected \"lengths\" beside it");
  check(!config.enforce_sorted || config.packed, path,
        ": \"enforce_sorted\": expected \"packed\": true beside it");
  with_context(path + ": ",
               [&] { recur::detail::check_options(config.options, config.cell == "lstm"); });
  return config;
}

// ---- IN -----------------------------------------------------------------------------------------

/// The tensors of IN. First each that may be there is named with its shape; nothing is allocated
/// for the layer before all have been found right.
class Inputs {
 public:
  Inputs(const std::string& path, const std::string& dtype)
      : file_(recur::load_safetensors(path)), dtype_(dtype == "float32" ? "F32" : "F64") {}

  const recur::TensorFile& file() const { return file_; }
  bool has(const std::string& name) const { return file_.contains(name); }
  std::string where(const std::string& name) const {
    return file_.name() + ": " + in_quotes(name) + ": ";
  }

  /// The shape of a tensor that must be there.
  const Shape& shape(const std::string& name) const {
    check(has(name), where(name), "expected this tensor, got none");
    return file_.tensor(name).shape;
  }

  void require(const std::string& name, const Shape& expected) {
    known_.insert(name);
    check(has(name), where(name), "expected this tensor of shape ", shape_text(expected),
          ", got none");
    const recur::StoredTensor& tensor = file_.tensor(name);
    check(tensor.dtype == dtype_, where(name), "expected ", dtype_, " as CONFIG says, got ",
          tensor.dtype);
    check(tensor.shape == expected, where(name), "expected shape ", shape_text(expected), ", got ",
          shape_text(tensor.shape));
  }

  void allow(const std::string& name, const Shape& expected) {
    if (has(name)) {
      require(name, expected);
    }
  }

  void check_no_other_tensors() const {
    for (const std::string& name : file_.names()) {
      check(known_.count(name) > 0, where(name),
            "unexpected tensor: the layer of CONFIG has no use for it");
    }
  }

  /// A tensor into an array of its number of dimensions; one that is not there stays empty.
  template <class Scalar>
  void read(const std::string& name, Tensor3<Scalar>& array) const {
    if (has(name)) {
      array = file_.tensor3<Scalar>(name);
    }
  }
  template <class Scalar>
  void read(const std::string& name, RowMatrix<Scalar>& array) const {
    if (has(name)) {
      array = file_.matrix<Scalar>(name);
    }
  }

 private:
  recur::TensorFile file_;
  std::string dtype_;
  std::set<std::string> known_;
};

/// The names, shapes and types of everything in IN. Returns true for input without a batch.
bool check_inputs(const Config& config, Inputs& inputs) {
  const recur::RecurrentOptions& o = config.options;
  const Shape& x = inputs.shape("input");
  check(x.size() == 2 || x.size() == 3, inputs.where("input"),
        "expected 2 or 3 dimensions, got shape ", shape_text(x));
  const bool unbatched = x.size() == 2;
  check(!unbatched || !config.lengths, config.path,
        ": \"lengths\": expected input of 3 dimensions beside it, got shape ", shape_text(x));
  const Index batch = unbatched ? 1 : x[o.batch_first ? 0 : 1];
  const Index steps = unbatched ? x[0] : x[o.batch_first ? 1 : 0];
  check(steps > 0, inputs.where("input"), "Expected sequence length to be larger than 0 in RNN");
  if (config.lengths) {
    with_context(config.path + ": \"lengths\": ",
                 [&] { recur::check_lengths(*config.lengths, batch, steps); });
  }

  const auto sequences = [&](Index features) {
    return unbatched ? Shape{steps, features} : Shape{x[0], x[1], features};
  };
  const auto state = [&](Index features) {
    const Index rows = o.num_layers * config.directions();
    return unbatched ? Shape{rows, features} : Shape{rows, batch, features};
  };
  inputs.require("input", sequences(o.input_size));
  inputs.allow("d_output", sequences(config.directions() * config.output_size()));
  for (const char* name : {"h_0", "d_h_n"}) {
    inputs.allow(name, state(config.output_size()));
  }
  if (config.cell == "lstm") {
    for (const char* name : {"c_0", "d_c_n"}) {
      inputs.allow(name, state(o.hidden_size));
    }
  }

  const Index rows = config.gates() * o.hidden_size;
  for (Index layer = 0; layer < o.num_layers; ++layer) {
    const Index features = layer == 0 ? o.input_size : config.directions() * config.output_size();
    for (const char* direction : {"", "_reverse"}) {
      if (*direction != '\0' && !o.bidirectional) {
        continue;
      }
      const std::string suffix = "_l" + std::to_string(layer) + direction;
      inputs.require("weight_ih" + suffix, {rows, features});
      inputs.require("weight_hh" + suffix, {rows, config.output_size()});
      if (o.bias) {
        inputs.require("bias_ih" + suffix, {rows});
        inputs.require("bias_hh" + suffix, {rows});
      }
      if (o.proj_size > 0) {
        inputs.require("weight_hr" + suffix, {o.proj_size, o.hidden_size});
      }
    }
  }
  inputs.check_no_other_tensors();
  return unbatched;
}

// ---- The layer ----------------------------------------------------------------------------------

template <class Layer>
typename Layer::Options layer_options(const Config& config) {
  const recur::RecurrentOptions& o = config.options;
  if constexpr (std::is_same_v<typename Layer::Options, recur::RNNOptions>) {
    return {.input_size = o.input_size,
            .hidden_size = o.hidden_size,
            .num_layers = o.num_layers,
            .nonlinearity =
                config.cell == "rnn_relu" ? recur::Nonlinearity::relu : recur::Nonlinearity::tanh,
            .bias = o.bias,
            .batch_first = o.batch_first,
            .bidirectional = o.bidirectional};
  } else {
    return o;
  }
}

/// What a layer gives for IN, by the calls that a user would make: those of inference, or with
/// upstream gradients those of training.
template <class Layer>
class Evaluation {
 public:
  using Scalar = typename Layer::Scalar;

  Evaluation(const Config& config, const Inputs& inputs)
      : config_(config), inputs_(inputs), layer_(layer_options<Layer>(config)) {
    recur::update_parameters(layer_, [&](const std::string& name, auto& array) {
      recur::detail::read_elements(inputs.file().tensor(name), array.data());
    });
    for (const char* name : {"d_output", "d_h_n", "d_c_n"}) {
      training_ = training_ || inputs.has(name);
    }
  }

  recur::SafetensorsWriter run(bool unbatched) {
    if (unbatched) {
      using Matrix = RowMatrix<Scalar>;
      run_padded<Matrix, typename Layer::template MatrixState<Matrix>>();
    } else if (config_.packed) {
      run_packed();
    } else if (config_.lengths) {
      run_padded<Tensor3<Scalar>, typename Layer::State>(*config_.lengths);
    } else {
      run_padded<Tensor3<Scalar>, typename Layer::State>();
    }
    return std::move(writer_);
  }

 private:
  template <class Array>
  Array read(const char* name) const {
    Array array;
    inputs_.read(name, array);
    return array;
  }

  template <class State>
  State read_state(const char* h, const char* c) const {
    State state;
    inputs_.read(h, state.h);
    if constexpr (requires { state.c; }) {
      inputs_.read(c, state.c);
    }
    return state;
  }

  template <class Array, class State>
  void run_padded(const auto&... lengths) {
    const auto x = read<Array>("input");
    run<State>([&](auto&... more) { return layer_.forward(x, lengths..., more...); },
               [&](const Array&) { return read<Array>("d_output"); },
               [](const Array& sequences) -> const Array& { return sequences; },
               [](const Array& d_input) -> const Array& { return d_input; });
  }

  void run_packed() {
    using Packed = typename Layer::Packed;
    const bool batch_first = config_.options.batch_first;
    const auto padded = read<Tensor3<Scalar>>("input");
    const Index steps = padded.size(batch_first ? 1 : 0);
    const auto x = with_context(config_.path + ": \"lengths\": ", [&] {
      return recur::pack_padded_sequence(
          padded, *config_.lengths,
          {.batch_first = batch_first, .enforce_sorted = config_.enforce_sorted});
    });
    run<typename Layer::State>(
        [&](auto&... more) { return layer_.forward(x, more...); },
        [&](const Packed& output) {
          const auto d_padded = read<Tensor3<Scalar>>("d_output");
          return d_padded.size() == 0
                     ? Packed()
                     : recur::pad_packed_sequence_backward(d_padded, output, batch_first);
        },
        [&](const Packed& output) {
          return recur::pad_packed_sequence(output,
                                            {.batch_first = batch_first, .total_length = steps})
              .data;
        },
        [&](const Packed& d_input) {
          return recur::pack_padded_sequence_backward(d_input, steps, batch_first);
        });
  }

  /// forward(state[, tape]) and backward(…, d_output_for(output), …); output and d_input are what
  /// pad_output and pad_input make of the results.
  template <class State>
  void run(const auto& forward, const auto& d_output_for, const auto& pad_output,
           const auto& pad_input) {
    const auto initial = read_state<State>("h_0", "c_0");
    if (!training_) {
      const auto result = forward(initial);
      add_results(pad_output(result.output), result.state);
      return;
    }
    typename Layer::Tape tape;
    const auto result = forward(initial, tape);
    const auto gradients =
        layer_.backward(tape, d_output_for(result.output), read_state<State>("d_h_n", "d_c_n"));
    add_results(pad_output(result.output), result.state);
    add_gradients(pad_input(gradients.input), gradients.state, gradients.parameters);
  }

  void add(const std::string& name, const Tensor3<Scalar>& tensor) {
    writer_.add(name, {tensor.size(0), tensor.size(1), tensor.size(2)}, tensor.data());
  }
  template <class Derived>
  void add(const std::string& name, const Eigen::PlainObjectBase<Derived>& array) {
    writer_.add(name, recur::detail::parameter_shape(array), array.data());
  }
  void add_state(const char* h, const char* c, const auto& state) {
    add(h, state.h);
    if constexpr (requires { state.c; }) {
      add(c, state.c);
    }
  }
  void add_results(const auto& output, const auto& state) {
    add("output", output);
    add_state("h_n", "c_n", state);
  }
  void add_gradients(const auto& d_input, const auto& d_state,
                     const typename Layer::Parameters& d_parameters) {
    add("d_input", d_input);
    add_state("d_h_0", "d_c_0", d_state);
    Layer::Parameters::visit(
        [&](const recur::ParameterName& name, const auto& d) { add("grad." + name.str(), d); },
        d_parameters);
  }

  const Config& config_;
  const Inputs& inputs_;
  Layer layer_;
  bool training_ = false;
  recur::SafetensorsWriter writer_;
};

template <template <class> class Layer>
recur::SafetensorsWriter evaluate(const Config& config, const Inputs& inputs, bool unbatched) {
  return config.dtype == "float32" ? Evaluation<Layer<float>>(config, inputs).run(unbatched)
                                   : Evaluation<Layer<double>>(config, inputs).run(unbatched);
}

template <class Scalar>
using LSTM = recur::LSTM<Scalar>;
template <class Scalar>
using GRU = recur::GRU<Scalar>;
template <class Scalar>
using RNN = recur::RNN<Scalar>;

void evaluate(const std::string& config_path, const std::string& in, const std::string& out) {
  const Config config = read_config(config_path);
  Inputs inputs(in, config.dtype);
  const bool unbatched = check_inputs(config, inputs);
  const auto writer = config.cell == "lstm"  ? evaluate<LSTM>(config, inputs, unbatched)
                      : config.cell == "gru" ? evaluate<GRU>(config, inputs, unbatched)
                                             : evaluate<RNN>(config, inputs, unbatched);
  writer.save(out);
}

// ---- The command line ---------------------------------------------------------------------------

constexpr const char* usage =
    "usage: recur_eval CONFIG.json IN.safetensors OUT.safetensors [CONFIG IN OUT]...\n"
    "       recur_eval --list FILE     (FILE: such triples, separated by white space;\n"
    "                                   paths that hold any in double quotes)\n"
    "The formats: tests/golden/README.md\n";

std::vector<std::string> read_list(const std::string& path) {
  errno = 0;
  std::ifstream stream(path);
  check(stream.is_open(), path, ": cannot be opened: ", std::strerror(errno));
  std::vector<std::string> paths;
  for (std::string word; stream >> std::quoted(word);) {
    paths.push_back(word);
  }
  return paths;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int wrong_input = 2;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::cout << usage;
    return 0;
  }

  int code = 0;
  const auto report = [&](const std::string& message) {
    std::cerr << "recur_eval: " << message << '\n';
    code = wrong_input;
  };
  try {
    const bool list = arguments.size() == 2 && arguments[0] == "--list";
    const std::vector<std::string> paths = list ? read_list(arguments[1]) : arguments;
    check(!paths.empty() && paths.size() % 3 == 0,
          "expected CONFIG IN OUT, once or several times, "
          "got ",
          paths.size(), " paths\n", usage);
    for (std::size_t k = 0; k < paths.size(); k += 3) {
      try {
        evaluate(paths[k], paths[k + 1], paths[k + 2]);
      } catch (const std::bad_alloc&) {
        report(paths[k] + ": out of memory");
      } catch (const std::exception& error) {
        report(error.what());
      }
    }
  } catch (const std::exception& error) {
    report(error.what());
  }
  return code;
}
