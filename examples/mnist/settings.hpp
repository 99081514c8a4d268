// SPDX-License-Identifier: MIT
//
// What the classifier is and how it is trained, and presets of it. command_line.hpp changes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "recur/config.hpp"

namespace mnist {

using recur::Index;

struct Settings {
  std::string preset = "best";
  std::filesystem::path data;

  std::string cell = "lstm";
  Index hidden = 100;
  Index layers = 1;
  bool bidirectional = false;
  double dropout = 0;
  bool centred = false;  // inputs (x - 0.5) / 0.5 instead of x in [0, 1]

  std::string optimizer = "sgd";
  double lr = 0.1;
  double momentum = 0;
  double clip = 0;     // largest norm of all gradients together; 0: no clipping
  bool decay = false;  // the rate follows half a cosine down to zero
  Index batch = 64;
  Index epochs = 0;
  Index iterations = 0;  // counts where it is positive, else epochs
  Index test_every = 0;  // iterations; 0: once an epoch

  bool use_double = false;
  int threads = 0;  // 0: what OpenMP chooses
  std::uint64_t seed = 0;
  std::filesystem::path save;
  std::filesystem::path load;
  std::filesystem::path resume;
  bool evaluate = false;
  std::filesystem::path out = "mnist-results";
};

/// The settings of a preset by name. `small` and `deep` are the programs that people learn this
/// with.
inline Settings preset(const std::string& name) {
  Settings s;
  s.preset = name;
  if (name == "small") {
    s.hidden = 10;
    s.layers = 2;
    s.centred = true;
    s.momentum = 0.9;
    s.batch = 128;
    s.epochs = 5;
  } else if (name == "deep") {
    s.hidden = 100;
    s.layers = 3;
    s.batch = 64;
    s.iterations = 3000;
    s.test_every = 500;
  } else if (name == "best") {
    s.cell = "gru";
    s.hidden = 128;
    s.layers = 1;
    s.optimizer = "adam";
    s.lr = 6e-3;
    s.clip = 1;
    s.decay = true;
    s.batch = 100;
    s.epochs = 5;
  } else {
    throw std::invalid_argument("--preset: expected small, deep or best, got " + name);
  }
  return s;
}

}  // namespace mnist
