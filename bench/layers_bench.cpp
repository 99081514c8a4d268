// SPDX-License-Identifier: MIT
//
// RNN, LSTM and GRU over shapes, inference and training step (forward, backward, gradients by input
// and all parameters). Memory is used again from call to call.
//
// Columns: time of a call; GFLOP/s of the matrix products alone (multiply-add = 2; a training step
// counts three times the forward pass); alloc_B, bytes allocated in a call.
#include <array>
#include <string>

#include <benchmark/benchmark.h>

#include "recur/layers/gru.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/rnn.hpp"

#include "allocations.hpp"

namespace {

using recur::Index;
using recur::Tensor3;

struct Shape {
  Index steps, batch, input, hidden, layers, directions;

  std::string name() const {
    std::string text = "T" + std::to_string(steps) + "_B" + std::to_string(batch) + "_I" +
                       std::to_string(input) + "_H" + std::to_string(hidden) + "_L" +
                       std::to_string(layers) + "_D" + std::to_string(directions);
    return text;
  }
  double flops(int gates) const {
    double sum = 0;
    for (Index k = 0; k < layers; ++k) {
      const Index in = k == 0 ? input : hidden * directions;
      sum += 2.0 * static_cast<double>(steps * batch * directions * gates * hidden * (in + hidden));
    }
    return sum;
  }
};

constexpr std::array<Shape, 14> shapes{{
    {1, 1, 64, 64, 1, 1},
    {100, 1, 1, 16, 1, 1},
    {100, 1, 40, 64, 1, 1},
    {28, 1, 28, 128, 1, 1},
    {28, 64, 28, 100, 3, 1},
    {28, 128, 28, 10, 2, 1},
    {30, 5, 1, 64, 5, 1},
    {100, 1, 256, 256, 1, 1},
    {100, 16, 256, 256, 1, 1},
    {100, 64, 256, 256, 1, 1},
    {50, 32, 512, 512, 2, 1},
    {50, 1, 1024, 1024, 1, 1},
    {50, 64, 1024, 1024, 1, 1},
    {100, 32, 128, 128, 2, 2},
}};

template <class Layer>
Layer make(const Shape& s) {
  typename Layer::Options options;
  options.input_size = s.input;
  options.hidden_size = s.hidden;
  options.num_layers = s.layers;
  options.bidirectional = s.directions == 2;
  recur::Generator generator(1);
  return Layer(options, generator);
}

Tensor3<float> uniform(Index a, Index b, Index c) {
  recur::Generator generator(2);
  Tensor3<float> x(a, b, c);
  for (Index k = 0; k < x.size(); ++k) {
    x.data()[k] = generator.uniform(-1.0F, 1.0F);
  }
  return x;
}

// Runs `step` once before the clock starts, so that all memory is there.
template <class F>
void run(benchmark::State& state, double flops, F&& step) {
  step();
  const std::uint64_t before = bench::allocated_bytes();
  for (auto _ : state) {
    step();
  }
  const double bytes = static_cast<double>(bench::allocated_bytes() - before);
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["alloc_B"] = bytes / static_cast<double>(state.iterations());
}

template <class Layer>
void inference(benchmark::State& state, Shape s, int gates) {
  const auto layer = make<Layer>(s);
  const auto x = uniform(s.steps, s.batch, s.input);
  typename Layer::Output out;
  typename Layer::Workspace work;
  run(state, s.flops(gates), [&] {
    layer.forward(x, {}, out, work);
    benchmark::DoNotOptimize(out.output.data());
  });
}

template <class Layer, class Tape = typename Layer::Tape>
void training(benchmark::State& state, Shape s, int gates) {
  const auto layer = make<Layer>(s);
  const auto x = uniform(s.steps, s.batch, s.input);
  const auto d_output = uniform(s.steps, s.batch, s.hidden * s.directions);
  typename Layer::Output out;
  Tape tape;
  typename Layer::Gradients gradients;
  gradients.accumulate = false;
  gradients.state_requires_grad = false;
  run(state, 3 * s.flops(gates), [&] {
    layer.forward(x, {}, out, tape);
    layer.backward(tape, d_output, {}, gradients);
    benchmark::DoNotOptimize(gradients.input.data());
  });
}

// Steps as samples come; shape.steps of them.
template <class Layer>
void stream(benchmark::State& state, Shape s, int gates) {
  const auto layer = make<Layer>(s);
  const auto x = uniform(s.steps, s.batch, s.input);
  auto stream = layer.stream(s.batch);
  run(state, s.flops(gates), [&] {
    for (Index t = 0; t < s.steps; ++t) {
      const auto h = stream.step({x.view().row(t, 0), static_cast<std::size_t>(s.batch * s.input)});
      benchmark::DoNotOptimize(h.data());
    }
  });
}

template <class Layer>
void add(const std::string& cell, int gates) {
  for (const Shape& s : {Shape{1, 1, 1, 16, 1, 1}, Shape{1, 1, 64, 64, 1, 1}}) {
    benchmark::RegisterBenchmark((cell + "/stream/" + s.name()).c_str(), stream<Layer>, s, gates)
        ->UseRealTime();
  }
  for (const Shape& s : shapes) {
    benchmark::RegisterBenchmark((cell + "/inference/" + s.name()).c_str(), inference<Layer>, s,
                                 gates)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
    benchmark::RegisterBenchmark((cell + "/training/" + s.name()).c_str(), training<Layer>, s,
                                 gates)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
  const Shape many_steps{1000, 32, 128, 128, 1, 1};
  const auto add_long = [&](const char* mode, auto* benchmark_of) {
    benchmark::RegisterBenchmark((cell + mode + many_steps.name()).c_str(), benchmark_of,
                                 many_steps, gates)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  };
  add_long("/training/", training<Layer>);
  add_long("/segments/", training<Layer, typename Layer::SegmentedTape>);
}

}  // namespace

int main(int argc, char** argv) {
  add<recur::LSTM<float>>("LSTM", 4);
  add<recur::GRU<float>>("GRU", 3);
  add<recur::RNN<float>>("RNN", 1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
