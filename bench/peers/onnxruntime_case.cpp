// SPDX-License-Identifier: MIT
//
// One case run by ONNX Runtime on its CPU provider; inference only. The model, a node LSTM, GRU or
// RNN for each layer, is made in memory; its weights are constants, which the runtime packs when
// the session starts. Inputs and outputs are bound to memory once.
#include <functional>  // std::multiplies
#include <iterator>    // std::ssize
#include <numeric>     // std::accumulate
#include <onnxruntime_cxx_api.h>

#include "measure.hpp"

namespace {

using Shape = std::vector<std::int64_t>;

std::size_t elements(const Shape& shape) {
  return static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

// A tensor of the runtime's own, for constants.
template <class T>
Ort::Value constant(const Shape& shape, const std::vector<T>& values) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value tensor = Ort::Value::CreateTensor<T>(allocator, shape.data(), shape.size());
  std::copy(values.begin(), values.end(), tensor.template GetTensorMutableData<T>());
  return tensor;
}

// A tensor over memory of ours.
Ort::Value view(std::vector<float>& values, std::size_t offset, const Shape& shape) {
  static const Ort::MemoryInfo memory =
      Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<float>(memory, values.data() + offset, elements(shape),
                                         shape.data(), shape.size());
}

Ort::ValueInfo value_info(const std::string& name, const Shape& shape) {
  const Ort::TensorTypeAndShapeInfo tensor(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, shape);
  const Ort::TypeInfo type = Ort::TypeInfo::CreateTensorInfo(tensor.GetConst());
  return Ort::ValueInfo(name, type.GetConst());
}

Ort::OpAttr attribute(const char* name, std::int64_t value) {
  return {name, &value, 1, ORT_OP_ATTR_INT};
}
Ort::OpAttr attribute(const char* name, const std::string& value) {
  return {name, value.data(), static_cast<int>(value.size()), ORT_OP_ATTR_STRING};
}
Ort::OpAttr attribute(const char* name, const Shape& values) {
  return {name, values.data(), static_cast<int>(values.size()), ORT_OP_ATTR_INTS};
}

// Appends `values`, gate by gate in ONNX's order: i o f g (LSTM), z r n (GRU).
void append_gates(const bench::Case& c, const std::vector<float>& values, std::vector<float>& to) {
  const std::vector<std::ptrdiff_t> order =
      c.cell == bench::Cell::lstm  ? std::vector<std::ptrdiff_t>{0, 3, 1, 2}
      : c.cell == bench::Cell::gru ? std::vector<std::ptrdiff_t>{1, 0, 2}
                                   : std::vector<std::ptrdiff_t>{0};
  const std::ptrdiff_t gate = std::ssize(values) / c.gates();
  for (const std::ptrdiff_t k : order) {
    to.insert(to.end(), values.begin() + k * gate, values.begin() + (k + 1) * gate);
  }
}

// Constants W<layer> (D, G·H, inputs), R<layer> (D, G·H, H), B<layer> (D, 2·G·H).
void add_weights(Ort::Graph& graph, const bench::Case& c, const bench::Data& data,
                 bench::Size layer) {
  std::vector<float> w;
  std::vector<float> r;
  std::vector<float> b;
  for (bench::Size d = 0; d < c.directions; ++d) {
    const auto& weights = data.weights[static_cast<std::size_t>(layer * c.directions + d)];
    append_gates(c, weights.w_ih, w);
    append_gates(c, weights.w_hh, r);
    append_gates(c, weights.b_ih, b);
    append_gates(c, weights.b_hh, b);
  }
  const bench::Size rows = c.gates() * c.hidden;
  const std::string number = std::to_string(layer);
  const auto add = [&](const char* name, const Shape& shape, const std::vector<float>& values) {
    Ort::Value tensor = constant(shape, values);
    graph.AddInitializer(name + number, tensor, false);
  };
  add("W", {c.directions, rows, c.inputs(layer)}, w);
  add("R", {c.directions, rows, c.hidden}, r);
  add("B", {c.directions, 2 * rows}, b);
}

void add_recurrent_node(Ort::Graph& graph, const bench::Case& c, const std::string& number,
                        const std::string& input, const std::string& output) {
  const std::string type = c.cell == bench::Cell::lstm  ? "LSTM"
                           : c.cell == bench::Cell::gru ? "GRU"
                                                        : "RNN";
  std::vector<Ort::OpAttr> attributes;
  attributes.push_back(attribute("hidden_size", c.hidden));
  attributes.push_back(attribute("direction", c.directions == 2 ? "bidirectional" : "forward"));
  if (c.cell == bench::Cell::gru) {
    attributes.push_back(attribute("linear_before_reset", bench::Size{1}));  // as PyTorch does
  }
  std::vector<std::string> inputs{input,         "W" + number, "R" + number,
                                  "B" + number,  "",  // no lengths of sequences
                                  "h0_" + number};
  std::vector<std::string> outputs{output, "hn_" + number};
  if (c.cell == bench::Cell::lstm) {
    inputs.push_back("c0_" + number);
    outputs.push_back("cn_" + number);
  }
  Ort::Node node(type, "", type + number, inputs, outputs, attributes);
  graph.AddNode(node);
}

// Y (T, D, B, H) of a layer becomes the input (T, B, D·H) of the next, or y.
void add_join(Ort::Graph& graph, const bench::Case& c, const std::string& number,
              const std::string& from, const std::string& to) {
  std::string joined = from;
  if (c.directions == 2) {
    joined = "swapped" + number;
    std::vector<Ort::OpAttr> attributes;
    attributes.push_back(attribute("perm", Shape{0, 2, 1, 3}));
    Ort::Node node("Transpose", "", "transpose" + number, {from}, {joined}, attributes);
    graph.AddNode(node);
  }
  Ort::Node node("Reshape", "", "reshape" + number, {joined, "joined_shape"}, {to});
  graph.AddNode(node);
}

// y is what the last node gives: (T, 1, B, H), which needs no joining, or (T, B, 2·H).
Shape shape_of_y(const bench::Case& c) {
  return c.directions == 2 ? Shape{c.steps, c.batch, 2 * c.hidden}
                           : Shape{c.steps, 1, c.batch, c.hidden};
}

Ort::Model make_model(const bench::Case& c, const bench::Data& data) {
  const Shape state{c.directions, c.batch, c.hidden};
  std::vector<Ort::ValueInfo> inputs;
  std::vector<Ort::ValueInfo> outputs;
  inputs.push_back(value_info("x", {c.steps, c.batch, c.input}));
  outputs.push_back(value_info("y", shape_of_y(c)));
  Ort::Graph graph;
  std::string input = "x";
  for (bench::Size layer = 0; layer < c.layers; ++layer) {
    const std::string number = std::to_string(layer);
    inputs.push_back(value_info("h0_" + number, state));
    outputs.push_back(value_info("hn_" + number, state));
    if (c.cell == bench::Cell::lstm) {
      inputs.push_back(value_info("c0_" + number, state));
      outputs.push_back(value_info("cn_" + number, state));
    }
    const bool last = layer + 1 == c.layers;
    const bool join = c.directions == 2 || !last;
    const std::string next = last ? "y" : "x" + std::to_string(layer + 1);
    const std::string output = join ? "Y" + number : "y";
    add_weights(graph, c, data, layer);
    add_recurrent_node(graph, c, number, input, output);
    if (join) {
      add_join(graph, c, number, output, next);
    }
    input = next;
  }
  if (c.directions == 2 || c.layers > 1) {
    const Shape joined{c.steps, c.batch, c.directions * c.hidden};
    Ort::Value tensor = constant<std::int64_t>({3}, joined);
    graph.AddInitializer("joined_shape", tensor, false);
  }
  graph.SetInputs(inputs);
  graph.SetOutputs(outputs);
  Ort::Model model({{"", 14}});
  model.AddGraph(graph);
  return model;
}

void run(const bench::Options& options) {
  const bench::Case& c = options.shape;
  if (c.training) {
    throw bench::Unsupported("training");
  }
  bench::Data data(c);
  const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "bench");
  Ort::SessionOptions settings;
  settings.SetIntraOpNumThreads(c.threads);
  settings.SetInterOpNumThreads(1);
  settings.SetExecutionMode(ORT_SEQUENTIAL);
  settings.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
  const Ort::Model model = make_model(c, data);
  Ort::Session session(env, model, settings);

  std::vector<float> y(data.d_y.size());
  std::vector<float> h(data.h0.size());
  std::vector<float> cells(data.c0.size());
  Ort::IoBinding binding(session);
  const auto bind = [&](const char* in, std::vector<float>& initial, const char* out,
                        std::vector<float>& final, bench::Size layer) {
    const Shape shape{c.directions, c.batch, c.hidden};
    const std::size_t offset = static_cast<std::size_t>(layer) * elements(shape);
    binding.BindInput((in + std::to_string(layer)).c_str(), view(initial, offset, shape));
    binding.BindOutput((out + std::to_string(layer)).c_str(), view(final, offset, shape));
  };
  binding.BindInput("x", view(data.x, 0, {c.steps, c.batch, c.input}));
  binding.BindOutput("y", view(y, 0, shape_of_y(c)));
  for (bench::Size layer = 0; layer < c.layers; ++layer) {
    bind("h0_", data.h0, "hn_", h, layer);
    if (c.cell == bench::Cell::lstm) {
      bind("c0_", data.c0, "cn_", cells, layer);
    }
  }
  const Ort::RunOptions run_options;
  const auto pass = [&] { session.Run(run_options, binding); };

  pass();
  options.dump("y", y);
  options.dump("hn", h);
  if (c.cell == bench::Cell::lstm) {
    options.dump("cn", cells);
  }
  const bench::Stats stats = bench::measure(pass, options);
  bench::report("onnxruntime", Ort::GetVersionString(), "CPU", options, stats);
}

}  // namespace

int main(int argc, char** argv) { return bench::main_of(argc, argv, run); }
