// SPDX-License-Identifier: MIT
//
// The command line, which changes the settings of a preset.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "settings.hpp"

namespace mnist {

/// Adds all options to `app`; they change `s`.
inline void add_options(CLI::App& app, Settings& s) {
  app.add_option("--preset", s.preset,
                 "small: LSTM(28, 10, 2 layers), SGD 0.1 momentum 0.9, batch 128, 5 epochs\n"
                 "deep: LSTM(28, 100, 3 layers), SGD 0.1, batch 64, 3000 iterations\n"
                 "best: GRU(28, 128), Adam 6e-3 falling to 0, batch 100, 5 epochs: 99 %")
      ->check(CLI::IsMember({"small", "deep", "best"}));
  app.add_option("--data", s.data, "folder of the four IDX files, plain or .gz");
  app.add_option("--cell", s.cell, "lstm, gru, rnn (tanh) or rnn_relu")
      ->check(CLI::IsMember({"lstm", "gru", "rnn", "rnn_relu"}));
  app.add_option("--hidden", s.hidden, "units of a layer")->check(CLI::Range(1, 65536));
  app.add_option("--layers", s.layers, "layers")->check(CLI::Range(1, 1000));
  app.add_flag("--bidirectional,!--unidirectional", s.bidirectional, "read the rows upwards, too");
  app.add_option("--dropout", s.dropout, "probability, between layers")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--optimizer", s.optimizer, "sgd, adam or adamw")
      ->check(CLI::IsMember({"sgd", "adam", "adamw"}));
  app.add_option("--lr", s.lr, "learning rate")->check(CLI::NonNegativeNumber);
  app.add_option("--momentum", s.momentum, "of sgd")->check(CLI::NonNegativeNumber);
  app.add_option("--clip", s.clip, "largest norm of the gradient, 0: any")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--decay,!--no-decay", s.decay,
               "let the learning rate fall to zero (half a cosine)");
  app.add_option("--batch", s.batch, "images of a training step")->check(CLI::Range(1, 60000));
  auto* epochs = app.add_option("--epochs", s.epochs, "passes over the training images")
                     ->check(CLI::PositiveNumber);
  app.add_option("--iterations", s.iterations, "training steps, instead of --epochs")
      ->check(CLI::PositiveNumber)
      ->excludes(epochs);
  app.add_flag("--double", s.use_double, "compute in double precision");
  app.add_option("--threads", s.threads, "0: one a core")->check(CLI::NonNegativeNumber);
  app.add_option("--seed", s.seed, "of initial weights and order, as torch.manual_seed");
  app.add_option("--save", s.save, "file for the weights, default OUT/model.safetensors");
  app.add_option("--load", s.load, "start from the weights of this file")->check(CLI::ExistingFile);
  app.add_option(
         "--resume", s.resume,
         "go on from this file, OUT/checkpoint.safetensors of a training that was stopped,\n"
         "with the same options: to the same result as without the stop")
      ->check(CLI::ExistingFile);
  app.add_flag("--evaluate", s.evaluate, "test only, no training")->needs("--load");
  app.add_option("--out", s.out,
                 "folder for loss.svg, losses.csv, model.safetensors and\n"
                 "checkpoint.safetensors")
      ->capture_default_str();
}

/// Reads the command line: first the preset, then everything else on top of it.
/// Throws CLI::ParseError (also for --help), to be given to app.exit().
inline Settings parse(CLI::App& app, int argc, char** argv) {
  Settings s = preset("best");
  for (int k = 1; k < argc; ++k) {
    const std::string argument = argv[k];
    if (argument == "--preset" && k + 1 < argc) {
      s.preset = argv[k + 1];
    } else if (argument.rfind("--preset=", 0) == 0) {
      s.preset = argument.substr(9);
    }
  }
  if (s.preset == "small" || s.preset == "deep") {  // a wrong name is refused by the option's check
    s = preset(s.preset);
  }
  add_options(app, s);
  app.parse(argc, argv);
  if (app.count("--epochs") > 0) {
    s.iterations = 0;
    s.test_every = 0;
  }
  if (s.save.empty()) {
    s.save = s.out / "model.safetensors";
  }
  return s;
}

}  // namespace mnist
