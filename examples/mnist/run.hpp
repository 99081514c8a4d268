// SPDX-License-Identifier: MIT
//
// A run of the program with one kind of cell: train, test, report, save. Instantiated in lstm.cpp,
// gru.cpp and rnn.cpp, which compile side by side.
#pragma once

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <type_traits>

#include "runs.hpp"
#include "training.hpp"

namespace mnist {

// What the file of weights says about the model, so that it can be read without the same options.
inline std::map<std::string, std::string> describe(const Settings& s) {
  return {{"cell", s.cell},
          {"hidden", std::to_string(s.hidden)},
          {"layers", std::to_string(s.layers)},
          {"bidirectional", s.bidirectional ? "1" : "0"},
          {"centred", s.centred ? "1" : "0"}};
}

template <template <class, int, int> class Cell, class Scalar>
using ClassifierOf = Classifier<Cell<Scalar, recur::Dynamic, recur::Dynamic>>;

// A new model. Its weights are drawn in float for both precisions: they are those of
// torch.manual_seed.
template <template <class, int, int> class Cell, class Scalar>
ClassifierOf<Cell, Scalar> make_model(const auto& options) {
  ClassifierOf<Cell, float> drawn(options);
  if constexpr (std::is_same_v<Scalar, float>) {
    return drawn;
  } else {
    std::map<std::string, recur::RowMatrix<Scalar>> weights;
    recur::for_each_parameter(drawn, [&](const std::string& name, const auto& array) {
      weights[name] = array.template cast<Scalar>();
    });
    const recur::Generator drawn_so_far = recur::default_generator();
    ClassifierOf<Cell, Scalar> model(options);
    recur::default_generator() = drawn_so_far;
    recur::update_parameters(
        model, [&](const std::string& name, auto& array) { array = weights.at(name); });
    return model;
  }
}

template <template <class, int, int> class Cell, class Scalar>
void run(const Settings& s, const Mnist& data, const auto& options) {
  recur::manual_seed(s.seed);
  auto model = make_model<Cell, Scalar>(options);
  if (!s.load.empty()) {
    recur::load_state_dict(model, s.load);
  }
  std::printf(
      "model: %s(28, %lld, %lld layer%s%s) + Linear(10), %lld parameters; %s, %d thread%s\n",
      s.cell.c_str(), static_cast<long long>(s.hidden), static_cast<long long>(s.layers),
      s.layers == 1 ? "" : "s", s.bidirectional ? ", bidirectional" : "",
      static_cast<long long>(recur::parameter_count(model)), s.use_double ? "double" : "float",
      recur::max_threads(), recur::max_threads() == 1 ? "" : "s");
  std::fflush(stdout);

  std::filesystem::create_directories(s.out);
  History history;
  if (!s.evaluate) {
    history = train(model, data.train, data.test, s);
  }
  const ConfusionMatrix confusion = test(model, data.test, s.centred);
  std::cout << '\n' << confusion.text() << '\n';
  if (!s.evaluate) {
    write_training_curve(s.out / "loss.svg", history.loss, history.accuracy,
                         "MNIST rows, preset " + s.preset + ", " + s.cell);
    write_losses(s.out / "losses.csv", history);
    recur::save_state_dict(model, s.save, {.metadata = describe(s)});
    std::printf("wrote %s, %s and %s\n", (s.out / "loss.svg").c_str(),
                (s.out / "losses.csv").c_str(), s.save.c_str());
    std::printf("training took %.1f s\n", history.seconds);
  }
  std::printf("test accuracy: %.2f %%\n", 100 * confusion.accuracy());
}

template <template <class, int, int> class Cell>
void run(const Settings& s, const Mnist& data, const auto& options) {
  s.use_double ? run<Cell, double>(s, data, options) : run<Cell, float>(s, data, options);
}

}  // namespace mnist
