// SPDX-License-Identifier: MIT
//
// Learns to turn "hello" into "ohlol": Embedding(4, 10) -> RNN, LSTM or GRU (10 -> 4), whose hidden
// state is read as the scores of the four letters. Trained with Adam until it is right.
//
//   hello [rnn|lstm|gru]        default: all three, one after the other
#include <cstdio>
#include <string>
#include <vector>

#include "recur/recur.hpp"

namespace {

using recur::Index;

const std::string letters = "ehlo";

std::vector<Index> encode(const std::string& word) {
  std::vector<Index> indices;
  for (char letter : word) {
    indices.push_back(static_cast<Index>(letters.find(letter)));
  }
  return indices;
}

template <class Layer>
struct Model {
  recur::Embedding<float> embedding{{.num_embeddings = 4, .embedding_dim = 10}};
  Layer layer{{.input_size = 10, .hidden_size = 4}};

  static auto members(auto& self) {
    return recur::members("embedding", self.embedding, "layer", self.layer);
  }
};

template <class Layer>
bool learn(const char* name) {
  recur::manual_seed(0);
  Model<Layer> model;
  recur::Adam<float> adam({.lr = 1e-3});
  const std::vector<Index> input = encode("hello");
  const std::vector<Index> target = encode("ohlol");

  std::printf("%s, %d parameters\n", name, static_cast<int>(recur::parameter_count(model)));
  typename Layer::Tape tape;
  for (int epoch = 1; epoch <= 20000; ++epoch) {
    const recur::RowMatrix<float> x = model.embedding.forward(input);  // (T × 10): one sequence
    const auto [scores, state] = model.layer.forward(x, {}, tape);     // (T × 4)
    const auto loss = recur::cross_entropy(scores, target);
    const auto d_layer = model.layer.backward(tape, loss.d_input);
    const auto d_embedding = model.embedding.backward(input, d_layer.input);
    adam.step(model, d_embedding.parameters, d_layer.parameters);

    std::string word;
    for (Index t = 0; t < scores.rows(); ++t) {
      Index best = 0;
      scores.row(t).maxCoeff(&best);
      word += letters[static_cast<std::size_t>(best)];
    }
    const bool learnt = word == "ohlol";
    if (learnt || epoch == 1 || epoch % 250 == 0) {
      std::printf("  epoch %5d  loss %.4f  hello -> %s\n", epoch, static_cast<double>(loss.value),
                  word.c_str());
    }
    if (learnt) {
      std::printf("  learnt at epoch %d\n", epoch);
      return true;
    }
  }
  std::printf("  not learnt in 20000 epochs\n");
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string cell = argc > 1 ? argv[1] : "all";
  bool learnt = cell == "all" || cell == "rnn" || cell == "lstm" || cell == "gru";
  if (!learnt) {
    std::fprintf(stderr, "usage: hello [rnn|lstm|gru], got %s\n", cell.c_str());
    return 2;
  }
  if (cell == "rnn" || cell == "all") {
    learnt = learn<recur::RNN<float>>("RNN") && learnt;
  }
  if (cell == "lstm" || cell == "all") {
    learnt = learn<recur::LSTM<float>>("LSTM") && learnt;
  }
  if (cell == "gru" || cell == "all") {
    learnt = learn<recur::GRU<float>>("GRU") && learnt;
  }
  return learnt ? 0 : 1;
}
