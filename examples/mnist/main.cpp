// SPDX-License-Identifier: MIT
//
// Reads handwritten digits row by row with an LSTM, a GRU or an RNN. See README.md in ../.
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "recur/io/safetensors.hpp"
#include "recur/kernels/threads.hpp"

#include "command_line.hpp"
#include "digits.hpp"
#include "runs.hpp"

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

// The form of the model, from the metadata of its weights: what describe() in run.hpp wrote.
void take_description(const recur::TensorFile& file, Settings& s) {
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads handwritten digits with a recurrent network: an image is 28 steps of 28 features.");
  try {
    Settings s = mnist::parse(app, argc, argv);
    if (!s.load.empty()) {
      take_description(recur::load_safetensors(s.load), s);
    }
    if (s.threads > 0) {
      recur::set_num_threads(s.threads);
    }
    const mnist::Mnist data = load_data(s);
    std::printf("data: %s, %zu training and %zu test images\n", data.source.c_str(),
                data.train.size(), data.test.size());

    if (s.cell == "lstm") {
      mnist::run_lstm(s, data);
    } else if (s.cell == "gru") {
      mnist::run_gru(s, data);
    } else if (s.cell == "rnn" || s.cell == "rnn_relu") {
      mnist::run_rnn(s, data);
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
