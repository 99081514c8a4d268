// SPDX-License-Identifier: MIT
//
// Reads handwritten digits row by row with an LSTM, a GRU or an RNN. See README.md in ../.
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <type_traits>

#include "digits.hpp"
#include "idx.hpp"
#include "training.hpp"

namespace {

using mnist::Settings;

// MNIST where it is found; else digits of our own.
mnist::Mnist load_data(const Settings& s) {
  if (auto found = mnist::find_mnist(s.data)) {
    return *std::move(found);
  }
  mnist::Mnist drawn;
  drawn.train = mnist::generate_digits(60000, s.seed + 1);
  drawn.test = mnist::generate_digits(10000, s.seed + 2);
  drawn.source = "built-in generated digits (give --data FOLDER for MNIST)";
  return drawn;
}

// What the file of weights says about the model, so that it can be read without the same options.
std::map<std::string, std::string> describe(const Settings& s) {
  return {{"cell", s.cell},
          {"hidden", std::to_string(s.hidden)},
          {"layers", std::to_string(s.layers)},
          {"bidirectional", s.bidirectional ? "1" : "0"},
          {"centred", s.centred ? "1" : "0"}};
}

void take_description(const recur::SafetensorsFile& file, Settings& s) {
  const auto& m = file.metadata();
  const auto number = [&](const char* key, recur::Index& value) {
    if (m.count(key) > 0) {
      const std::string& text = m.at(key);
      if (text.empty() || text.size() > 5 ||
          text.find_first_not_of("0123456789") != std::string::npos) {
        throw recur::Error(file.name() + ": metadata " + key + ": expected a number, got " + text);
      }
      value = std::stol(text);
    }
  };
  recur::Index bidirectional = s.bidirectional;
  recur::Index centred = s.centred;
  number("hidden", s.hidden);
  number("layers", s.layers);
  number("bidirectional", bidirectional);
  number("centred", centred);
  s.bidirectional = bidirectional != 0;
  s.centred = centred != 0;
  if (m.count("cell") > 0) {
    s.cell = m.at("cell");
  }
}

template <template <class, int, int> class Cell, class Scalar>
using ClassifierOf = mnist::Classifier<Cell<Scalar, recur::Dynamic, recur::Dynamic>>;

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
void run(const Settings& s, const mnist::Mnist& data, const auto& options) {
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
  mnist::History history;
  if (!s.evaluate) {
    history = mnist::train(model, data.train, data.test, s);
  }
  const mnist::ConfusionMatrix confusion = mnist::test(model, data.test, s.centred);
  std::cout << '\n' << confusion.text() << '\n';
  if (!s.evaluate) {
    mnist::write_training_curve(s.out / "loss.svg", history.loss, history.accuracy,
                                "MNIST rows, preset " + s.preset + ", " + s.cell);
    mnist::write_losses(s.out / "losses.csv", history);
    recur::save_state_dict(model, s.save, "", describe(s));
    std::printf("wrote %s, %s and %s\n", (s.out / "loss.svg").c_str(),
                (s.out / "losses.csv").c_str(), s.save.c_str());
    std::printf("training took %.1f s\n", history.seconds);
  }
  std::printf("test accuracy: %.2f %%\n", 100 * confusion.accuracy());
}

template <template <class, int, int> class Cell>
void run(const Settings& s, const mnist::Mnist& data, const auto& options) {
  s.use_double ? run<Cell, double>(s, data, options) : run<Cell, float>(s, data, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads handwritten digits with a recurrent network: an image is 28 steps of 28 features.");
  try {
    Settings s = mnist::parse(app, argc, argv);
    if (!s.load.empty()) {
      take_description(recur::SafetensorsFile::load(s.load), s);
    }
    if (s.threads > 0) {
      recur::set_num_threads(s.threads);
    }
    const mnist::Mnist data = load_data(s);
    std::printf("data: %s, %zu training and %zu test images\n", data.source.c_str(),
                data.train.size(), data.test.size());

    const recur::RecurrentOptions options{.input_size = mnist::image_side,
                                          .hidden_size = s.hidden,
                                          .num_layers = s.layers,
                                          .batch_first = true,
                                          .dropout = s.dropout,
                                          .bidirectional = s.bidirectional};
    if (s.cell == "lstm") {
      run<recur::LSTM>(s, data, options);
    } else if (s.cell == "gru") {
      run<recur::GRU>(s, data, options);
    } else if (s.cell == "rnn" || s.cell == "rnn_relu") {
      run<recur::RNN>(s, data,
                      recur::RNNOptions{.input_size = mnist::image_side,
                                        .hidden_size = s.hidden,
                                        .num_layers = s.layers,
                                        .nonlinearity = s.cell == "rnn" ? recur::Nonlinearity::tanh
                                                                        : recur::Nonlinearity::relu,
                                        .batch_first = true,
                                        .dropout = s.dropout,
                                        .bidirectional = s.bidirectional});
    } else {
      throw recur::Error(s.load.string() +
                         ": metadata cell: expected lstm, gru, rnn or rnn_relu, got " + s.cell);
    }
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const mnist::DataError& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
