// SPDX-License-Identifier: MIT
//
// Forecasts a noisy seasonal series: from windows of 30 values, LSTM(1, 64, 5 layers) -> Linear(64,
// 1) predicts the next one. Initial states are random numbers, as they are in many a tutorial; the
// network learns not to mind. Writes forecast.svg: the truth and the forecast on the part never
// trained on.
//
//   forecast [folder to write to]        default: forecast-results
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <numbers>
#include <vector>

#include "recur/recur.hpp"

#include "common/svg_chart.hpp"

namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Tensor3;

constexpr Index window = 30;
constexpr Index batch = 5;
constexpr Index hidden = 64;
constexpr Index layers = 5;
constexpr Index epochs = 12;

// Two seasons, and noise of standard deviation 0.1.
std::vector<float> make_series(Index count, recur::Generator& generator) {
  recur::Vector<float> noise(count);
  generator.fill_normal(noise);
  std::vector<float> series;
  for (Index t = 0; t < count; ++t) {
    const double time = 2 * std::numbers::pi * static_cast<double>(t);
    series.push_back(static_cast<float>(std::sin(time / 25) + 0.5 * std::sin(time / 90)) +
                     0.1F * noise[t]);
  }
  return series;
}

struct Forecaster {
  recur::LSTM<float> lstm{
      {.input_size = 1, .hidden_size = hidden, .num_layers = layers, .batch_first = true}};
  recur::Linear<float> linear{{.in_features = hidden, .out_features = 1}};

  static auto members(auto& self) {
    return recur::members("lstm", self.lstm, "linear", self.linear);
  }
};

// Random h_0 and c_0 of `count` sequences.
recur::LSTM<float>::State random_state(Index count, recur::Generator& generator) {
  recur::LSTM<float>::State state{Tensor3<float>(layers, count, hidden),
                                  Tensor3<float>(layers, count, hidden)};
  for (Tensor3<float>* tensor : {&state.h, &state.c}) {
    recur::Vector<float> numbers(tensor->size());
    generator.fill_normal(numbers);
    std::copy_n(numbers.data(), numbers.size(), tensor->data());
  }
  return state;
}

// Windows that start at `starts`, (B, 30, 1), and the values that follow them, (B × 1).
void copy_windows(const std::vector<float>& series, const std::vector<Index>& starts,
                  Tensor3<float>& x, RowMatrix<float>& next) {
  const auto count = static_cast<Index>(starts.size());
  x.resize(count, window, 1);
  next.resize(count, 1);
  for (Index b = 0; b < count; ++b) {
    const float* from = series.data() + starts[static_cast<std::size_t>(b)];
    std::copy_n(from, window, x.data() + b * window);
    next(b, 0) = from[window];
  }
}

void run(const std::filesystem::path& folder) {
  recur::manual_seed(0);
  recur::Generator generator(1);
  const std::vector<float> series = make_series(1200, generator);
  const Index train_count = 900 - window;  // windows in the first 900 values
  Forecaster model;
  recur::Adam<float> adam({.lr = 1e-3});
  std::printf("LSTM(1, 64, 5 layers) + Linear(64, 1): %lld parameters; %lld training windows\n",
              static_cast<long long>(recur::parameter_count(model)),
              static_cast<long long>(train_count));

  const auto start = std::chrono::steady_clock::now();
  recur::LSTM<float>::Tape tape;
  Tensor3<float> x;
  RowMatrix<float> next;
  for (Index epoch = 1; epoch <= epochs; ++epoch) {
    const std::vector<Index> order = generator.permutation(train_count);
    double sum = 0;
    for (Index first = 0; first + batch <= train_count; first += batch) {
      copy_windows(series, {order.begin() + first, order.begin() + first + batch}, x, next);
      const auto [output, state] = model.lstm.forward(x, random_state(batch, generator), tape);
      const RowMatrix<float> last = state.h[layers - 1];  // (B × 64): the last step's output
      const RowMatrix<float> prediction = model.linear.forward(last);
      const auto loss = recur::mse_loss(prediction, next);
      sum += static_cast<double>(loss.value);

      const auto d_linear = model.linear.backward(last, loss.d_input);
      recur::LSTM<float>::State d_state{Tensor3<float>(layers, batch, hidden), {}};
      d_state.h[layers - 1] = d_linear.input;
      const auto d_lstm = model.lstm.backward(tape, {}, d_state);
      adam.step(model, d_lstm.parameters, d_linear.parameters);
    }
    std::printf("epoch %2lld/%lld  mean squared error %.4f\n", static_cast<long long>(epoch),
                static_cast<long long>(epochs), sum / static_cast<double>(train_count / batch));
    std::fflush(stdout);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  // The part never trained on, one step ahead, all windows as one batch.
  std::vector<Index> starts;
  for (Index t = 900; t < static_cast<Index>(series.size()); ++t) {
    starts.push_back(t - window);
  }
  copy_windows(series, starts, x, next);
  const auto [output, state] = model.lstm.forward(x, random_state(x.size(0), generator));
  const RowMatrix<float> last = state.h[layers - 1];
  const RowMatrix<float> prediction = model.linear.forward(last);
  double squares = 0, naive = 0;
  std::vector<examples::ChartPoint> truth, forecast;
  for (Index k = 0; k < prediction.rows(); ++k) {
    const auto time = static_cast<double>(900 + k);
    truth.push_back({time, static_cast<double>(next(k, 0))});
    forecast.push_back({time, static_cast<double>(prediction(k, 0))});
    squares += std::pow(static_cast<double>(next(k, 0) - prediction(k, 0)), 2);
    naive += std::pow(static_cast<double>(next(k, 0) - x(k, window - 1, 0)), 2);
  }
  const auto count = static_cast<double>(prediction.rows());
  std::printf("trained in %.1f s\n", seconds);
  std::printf(
      "test, one step ahead: root mean squared error %.3f (noise alone 0.100, last value repeated "
      "%.3f)\n",
      std::sqrt(squares / count), std::sqrt(naive / count));

  std::filesystem::create_directories(folder);
  examples::Chart chart({.title = "One step ahead, on the part never trained on",
                         .x_label = "time",
                         .y_label = "value"});
  chart.add(truth, {.name = "truth", .color = "#2563eb"});
  chart.add(forecast, {.name = "forecast", .color = "#dc2626"});
  chart.write(folder / "forecast.svg");
  std::printf("wrote %s\n", (folder / "forecast.svg").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc > 1 ? argv[1] : "forecast-results");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
