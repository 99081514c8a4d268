// SPDX-License-Identifier: MIT
//
// Sequences of different lengths in one batch against the full batch: LSTM (float), T = 100,
// B = 32, I = H = 128, inference and training step. All rows but `full` have lengths whose mean is
// T/4; the work that counts is a quarter.
//
//   full       no lengths
//   equal      all 25
//   uniform    1 … 49, in random order
//   one_long   one of 100, the others 1 … 44: most steps run with few sequences
//
// Columns: time of a call; steps, the sum of the lengths; alloc_B, bytes allocated in a call.
#include <numeric>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "recur/layers/lstm.hpp"

#include "allocations.hpp"

namespace {

using recur::Index;
using recur::Tensor3;
using LSTM = recur::LSTM<float>;

constexpr Index steps = 100;
constexpr Index batch = 32;
constexpr Index size = 128;

// Evenly from 1 to `longest`, then shuffled.
std::vector<Index> spread(Index count, Index longest) {
  recur::Generator generator(3);
  std::vector<Index> lengths;
  for (const Index k : generator.permutation(count)) {
    lengths.push_back(1 + k * (longest - 1) / (count - 1));
  }
  return lengths;
}

std::vector<Index> one_long() {
  std::vector<Index> lengths = spread(batch - 1, 44);
  lengths.insert(lengths.begin() + batch / 2, steps);
  return lengths;
}

Tensor3<float> uniform(std::uint64_t seed) {
  recur::Generator generator(seed);
  Tensor3<float> x(steps, batch, size);
  for (Index k = 0; k < x.size(); ++k) {
    x.data()[k] = generator.uniform(-1.0F, 1.0F);
  }
  return x;
}

LSTM make() {
  recur::Generator generator(1);
  return LSTM({.input_size = size, .hidden_size = size}, generator);
}

// Runs `step` once before the clock starts, so that all memory is there.
template <class F>
void run(benchmark::State& state, const std::vector<Index>& lengths, F&& step) {
  step();
  const std::uint64_t before = bench::allocated_bytes();
  for (auto _ : state) {
    step();
  }
  const auto bytes = static_cast<double>(bench::allocated_bytes() - before);
  state.counters["alloc_B"] = bytes / static_cast<double>(state.iterations());
  state.counters["steps"] = static_cast<double>(
      lengths.empty() ? steps * batch : std::accumulate(lengths.begin(), lengths.end(), Index(0)));
}

void inference(benchmark::State& state, const std::vector<Index>& lengths) {
  const LSTM lstm = make();
  const auto x = uniform(2);
  LSTM::Output out;
  LSTM::Workspace work;
  run(state, lengths, [&] {
    lengths.empty() ? lstm.forward(x, {}, out, work) : lstm.forward(x, lengths, {}, out, work);
    benchmark::DoNotOptimize(out.output.data());
  });
}

void training(benchmark::State& state, const std::vector<Index>& lengths) {
  const LSTM lstm = make();
  const auto x = uniform(2);
  const auto d_output = uniform(3);
  LSTM::Output out;
  LSTM::Tape tape;
  LSTM::Gradients gradients;
  gradients.accumulate = false;
  gradients.state_requires_grad = false;
  run(state, lengths, [&] {
    lengths.empty() ? lstm.forward(x, {}, out, tape) : lstm.forward(x, lengths, {}, out, tape);
    lstm.backward(tape, d_output, {}, gradients);
    benchmark::DoNotOptimize(gradients.input.data());
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::pair<const char*, std::vector<Index>> rows[] = {
      {"full", {}},
      {"equal", std::vector<Index>(batch, steps / 4)},
      {"uniform", spread(batch, 49)},
      {"one_long", one_long()}};
  const auto add = [&](const char* name, const auto& function) {
    for (const auto& [distribution, lengths] : rows) {
      const std::string row = std::string("LSTM/") + name + "/" + distribution;
      benchmark::RegisterBenchmark(row.c_str(), function, lengths)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  };
  add("inference", inference);
  add("training", training);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
