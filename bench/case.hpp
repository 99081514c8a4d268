// SPDX-License-Identifier: MIT
//
// What the programs <name>_case share: a case of the comparison, its command line, its numbers and
// the files into which results go. Needs nothing but the standard library, so that recur and every
// peer are given the same.
//
// Legend and layouts, PyTorch's: T steps, B batch, I input, H hidden, L layers, D directions, G
// gates (LSTM i f g o, GRU r z n); x (T, B, I), y (T, B, D·H), states (L·D, B, H),
// w_ih (G·H × inputs), w_hh (G·H × H), b_ih, b_hh (G·H).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

enum class Cell { rnn, gru, lstm };

using Size = std::int64_t;

/// One case: a cell, a shape, inference or a training step, on a number of threads.
struct Case {
  Cell cell = Cell::lstm;
  Size steps = 1, batch = 1, input = 1, hidden = 1, layers = 1, directions = 1;
  bool training = false;
  int threads = 1;
  bool zero_state = false;  ///< initial state zero, for programs that cannot be given one

  const char* cell_name() const {
    return cell == Cell::lstm ? "lstm" : cell == Cell::gru ? "gru" : "rnn";
  }
  Size gates() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  /// Features that the layer is fed with.
  Size inputs(Size layer) const { return layer == 0 ? input : hidden * directions; }
  /// "_l0", "_l1_reverse": the end of PyTorch's names of parameters.
  static std::string suffix(Size layer, Size direction) {
    return "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
  }

  /// Operations of the matrix products alone, a multiply-add counting 2. A training step counts
  /// three times the forward pass: forward, gradients by data, gradients by weights.
  double flops() const {
    double sum = 0;
    for (Size layer = 0; layer < layers; ++layer) {
      const Size products = directions * gates() * hidden * (inputs(layer) + hidden);
      sum += 2.0 * static_cast<double>(steps * batch) * static_cast<double>(products);
    }
    return training ? 3 * sum : sum;
  }
};

/// Thrown where a program cannot do the case at all; it then ends with status 3.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline constexpr char usage[] =
    "  --cell lstm|gru|rnn   (lstm)\n"
    "  --shape T,B,I,H,L,D   steps, batch, input, hidden, layers, directions (1,1,1,1,1,1)\n"
    "  --mode infer|train    (infer)\n"
    "  --threads N           (1)\n"
    "  --state given|zero    the initial state (given)\n"
    "  --min-time SECONDS    at least so much timed work (0.3) ...\n"
    "  --min-reps N          ... and at least so many samples (7)\n"
    "  --dump FOLDER         write outputs and gradients into it, as raw float32\n"
    "  --variant TEXT        a way of running the peer, where it has several\n";

/// The command line.
struct Options {
  Case shape;
  double min_time = 0.3;
  int min_reps = 7;
  std::string dump_folder;
  std::string variant;

  Options(int argc, char** argv) {
    for (int k = 1; k < argc; k += 2) {
      const std::string key = argv[k];
      if (key == "--help" || k + 1 == argc) {
        throw std::invalid_argument(key == "--help" ? "" : key + " has no value");
      }
      set(key, argv[k + 1]);
    }
  }

  bool has_variant(const char* word) const { return variant.find(word) != std::string::npos; }

  /// Writes FOLDER/name.f32; does nothing without --dump.
  void dump(const std::string& name, std::span<const float> values) const {
    if (dump_folder.empty()) {
      return;
    }
    std::filesystem::create_directories(dump_folder);
    std::ofstream file(std::filesystem::path(dump_folder) / (name + ".f32"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size_bytes()));
    if (!file) {
      throw std::runtime_error("cannot write " + name + ".f32 into " + dump_folder);
    }
  }

 private:
  void set(const std::string& key, const std::string& value) {
    const auto one_of = [&](const char* first, const char* second) {
      if (value != first && value != second) {
        throw std::invalid_argument(key + " " + value + ": expected " + first + " or " + second);
      }
      return value == second;
    };
    if (key == "--cell") {
      shape.cell = value == "lstm" ? Cell::lstm : one_of("gru", "rnn") ? Cell::rnn : Cell::gru;
    } else if (key == "--shape") {
      set_shape(value);
    } else if (key == "--mode") {
      shape.training = one_of("infer", "train");
    } else if (key == "--threads") {
      shape.threads = std::stoi(value);
    } else if (key == "--state") {
      shape.zero_state = one_of("given", "zero");
    } else if (key == "--min-time") {
      min_time = std::stod(value);
    } else if (key == "--min-reps") {
      min_reps = std::stoi(value);
    } else if (key == "--dump") {
      dump_folder = value;
    } else if (key == "--variant") {
      variant = value;
    } else {
      throw std::invalid_argument("unknown option " + key);
    }
  }

  void set_shape(const std::string& text) {
    Size* const sizes[] = {&shape.steps,  &shape.batch,  &shape.input,
                           &shape.hidden, &shape.layers, &shape.directions};
    const char* rest = text.c_str();
    for (Size* size : sizes) {
      char* end = nullptr;
      *size = std::strtoll(rest, &end, 10);
      const char expected = size == &shape.directions ? '\0' : ',';
      if (end == rest || *end != expected || *size < 1 || shape.directions > 2) {
        throw std::invalid_argument("--shape " + text + ": expected T,B,I,H,L,D");
      }
      rest = end + 1;
    }
  }
};

/// Number `index` of the series `seed`: in [-1, 1), exact in float, the same everywhere.
inline float number(std::uint32_t seed, std::uint32_t index) {
  std::uint32_t bits = index * 2654435761U ^ (seed * 0x9E3779B9U + 0x7F4A7C15U);
  bits ^= bits >> 16;
  bits *= 0x85EBCA6BU;
  bits ^= bits >> 13;
  bits *= 0xC2B2AE35U;
  bits ^= bits >> 16;
  return static_cast<float>(bits >> 8) * (1.0F / 8388608.0F) - 1.0F;
}

inline std::vector<float> numbers(Size count, std::uint32_t seed, float scale) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < values.size(); ++k) {
    values[k] = number(seed, static_cast<std::uint32_t>(k)) * scale;
  }
  return values;
}

/// Parameters of one layer and direction.
struct Weights {
  std::vector<float> w_ih, w_hh, b_ih, b_hh;
};

/// The numbers of a case.
struct Data {
  std::vector<float> x, h0, c0, d_y;
  std::vector<Weights> weights;  ///< at layer·D + direction

  explicit Data(const Case& c)
      : x(numbers(c.steps * c.batch * c.input, 1, 1.0F)),
        h0(numbers(c.layers * c.directions * c.batch * c.hidden, 2, c.zero_state ? 0.0F : 0.5F)),
        c0(numbers(c.layers * c.directions * c.batch * c.hidden, 3, c.zero_state ? 0.0F : 0.5F)),
        d_y(numbers(c.steps * c.batch * c.directions * c.hidden, 4, 1.0F)) {
    const auto bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.hidden)));
    const Size rows = c.gates() * c.hidden;
    for (Size layer = 0; layer < c.layers; ++layer) {
      for (Size d = 0; d < c.directions; ++d) {
        const auto seed = static_cast<std::uint32_t>(1000 + (layer * 2 + d) * 8);
        weights.push_back({numbers(rows * c.inputs(layer), seed, bound),
                           numbers(rows * c.hidden, seed + 1, bound),
                           numbers(rows, seed + 2, bound), numbers(rows, seed + 3, bound)});
      }
    }
  }
};

/// What main does: run(options), with errors as text and as exit status: 2 for the command line, 3
/// for a case that the program does not do, 1 for all else.
template <class Run>
int main_of(int argc, char** argv, Run&& run) {
  try {
    run(Options(argc, argv));
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n%s", error.what(), usage);
    return 2;
  } catch (const Unsupported& error) {
    std::fprintf(stderr, "not supported: %s\n", error.what());
    return 3;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace bench
