// SPDX-License-Identifier: MIT
//
// tanh and σ of 4096 numbers: ours, Eigen's, and a loop over the standard library. `ns` is the time
// of one number.
#include <cmath>

#include <Eigen/Core>
#include <benchmark/benchmark.h>

#include "recur/kernels/activations.hpp"

namespace {

constexpr Eigen::Index size = 4096;

template <class Scalar>
using Numbers = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

template <class Scalar, class F>
void run(benchmark::State& state, F f) {
  const Numbers<Scalar> x = Numbers<Scalar>::LinSpaced(size, Scalar(-6), Scalar(6));
  Numbers<Scalar> y(size);
  for (auto _ : state) {
    f(x, y);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  state.counters["ns"] = benchmark::Counter(
      static_cast<double>(size) * 1e-9,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class Scalar, class F>
void run_recur(benchmark::State& state, F f) {
  using V = recur::kernels::Vec<Scalar>;
  run<Scalar>(state, [f](const Numbers<Scalar>& x, Numbers<Scalar>& y) {
    for (Eigen::Index k = 0; k < size; k += V::width) {
      f(V::load(x.data() + k)).store(y.data() + k);
    }
  });
}

template <class Scalar>
void tanh_recur(benchmark::State& state) {
  run_recur<Scalar>(state, [](const auto& x) { return tanh(x); });
}
template <class Scalar>
void tanh_eigen(benchmark::State& state) {
  run<Scalar>(state, [](const auto& x, auto& y) { y = x.tanh(); });
}
template <class Scalar>
void tanh_std(benchmark::State& state) {
  run<Scalar>(state, [](const auto& x, auto& y) {
    for (Eigen::Index k = 0; k < size; ++k) {
      y[k] = std::tanh(x[k]);
    }
  });
}

template <class Scalar>
void sigmoid_recur(benchmark::State& state) {
  run_recur<Scalar>(state, [](const auto& x) { return sigmoid(x); });
}
template <class Scalar>
void sigmoid_eigen(benchmark::State& state) {
  run<Scalar>(state, [](const auto& x, auto& y) { y = x.logistic(); });
}
template <class Scalar>
void sigmoid_std(benchmark::State& state) {
  run<Scalar>(state, [](const auto& x, auto& y) {
    for (Eigen::Index k = 0; k < size; ++k) {
      y[k] = Scalar(1) / (Scalar(1) + std::exp(-x[k]));
    }
  });
}

BENCHMARK(tanh_recur<float>);
BENCHMARK(tanh_eigen<float>);
BENCHMARK(tanh_std<float>);
BENCHMARK(sigmoid_recur<float>);
BENCHMARK(sigmoid_eigen<float>);
BENCHMARK(sigmoid_std<float>);
BENCHMARK(tanh_recur<double>);
BENCHMARK(tanh_eigen<double>);
BENCHMARK(tanh_std<double>);
BENCHMARK(sigmoid_recur<double>);
BENCHMARK(sigmoid_eigen<double>);
BENCHMARK(sigmoid_std<double>);

}  // namespace

BENCHMARK_MAIN();
