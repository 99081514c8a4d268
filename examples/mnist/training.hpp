// SPDX-License-Identifier: MIT
//
// Training and testing of a classifier.
#pragma once

#include <chrono>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <numbers>
#include <numeric>
#include <string>
#include <variant>
#include <vector>

#include "classifier.hpp"
#include "common/progress.hpp"
#include "confusion.hpp"
#include "report.hpp"
#include "settings.hpp"

namespace mnist {

/// Row k's largest entry.
template <class Matrix>
Index reading(const Matrix& logits, Index k) {
  Index column = 0;
  logits.row(k).maxCoeff(&column);
  return column;
}

template <class Layer>
ConfusionMatrix test(const Classifier<Layer>& model, const Dataset& data, bool centred) {
  ConfusionMatrix confusion;
  typename Layer::Output out;
  typename Layer::Workspace work;
  typename Classifier<Layer>::Images images;
  std::vector<Index> labels;
  std::vector<Index> order(data.size());
  std::iota(order.begin(), order.end(), Index(0));
  constexpr std::size_t batch = 1000;
  for (std::size_t first = 0; first < order.size(); first += batch) {
    copy_images(data, std::span(order).subspan(first, std::min(batch, order.size() - first)),
                centred, images, labels);
    const auto logits = model.logits(images, out, work);
    for (std::size_t k = 0; k < labels.size(); ++k) {
      confusion.add(static_cast<std::size_t>(labels[k]),
                    static_cast<std::size_t>(reading(logits, static_cast<Index>(k))));
    }
  }
  return confusion;
}

template <class Scalar>
using Optimizer = std::variant<recur::SGD<Scalar>, recur::Adam<Scalar>, recur::AdamW<Scalar>>;

template <class Scalar>
Optimizer<Scalar> make_optimizer(const Settings& s) {
  if (s.optimizer == "sgd") {
    return recur::SGD<Scalar>({.lr = s.lr, .momentum = s.momentum});
  }
  if (s.optimizer == "adam") {
    return recur::Adam<Scalar>({.lr = s.lr});
  }
  return recur::AdamW<Scalar>({.lr = s.lr});
}

struct History {
  std::vector<examples::ChartPoint> loss;      ///< over iterations
  std::vector<examples::ChartPoint> accuracy;  ///< on the test images, 0 … 1
  double seconds = 0;                          ///< of training, without testing
};

/// Trains; tests at the end of every round (an epoch, or test_every iterations), and keeps all that
/// is needed to go on from there in OUT/checkpoint.safetensors.
template <class Layer>
History train(Classifier<Layer>& model, const Dataset& train_data, const Dataset& test_data,
              const Settings& s) {
  using Clock = std::chrono::steady_clock;
  const auto count = static_cast<Index>(train_data.size());
  const Index batch = std::min(s.batch, count);
  const Index per_epoch = count / batch;  // an incomplete last batch is left out
  const Index total = s.iterations > 0 ? s.iterations : s.epochs * per_epoch;
  const Index per_round = s.test_every > 0 ? s.test_every : per_epoch;

  auto optimizer = make_optimizer<typename Layer::Scalar>(s);
  typename Classifier<Layer>::Step step;
  step.tape.generator = recur::Generator(s.seed);
  typename Classifier<Layer>::Images images;
  std::vector<Index> labels;
  std::vector<Index> order;
  History history;
  Index done_before = 0;
  std::vector<double> losses;
  std::vector<double> tested_at;
  std::vector<double> accuracies;

  const auto with_parts = [&](const auto& save_or_load) {
    std::visit(
        [&](auto& o) {
          save_or_load("model", model, "optimizer", o, "dropout", step.tape.generator, "shuffling",
                       recur::default_generator(), "order", order, "iterations", done_before,
                       "losses", losses, "tested_at", tested_at, "accuracies", accuracies,
                       "seconds", history.seconds);
        },
        optimizer);
  };
  if (!s.resume.empty()) {
    with_parts([&](auto&... parts) { recur::load_checkpoint(s.resume, parts...); });
    recur::check(losses.size() == static_cast<std::size_t>(done_before) &&
                     tested_at.size() == accuracies.size() &&
                     (done_before == 0 || order.size() == train_data.size()),
                 s.resume.string(), ": expected a loss of each iteration, and an order of ", count,
                 " images, got ", losses.size(), " of ", done_before, " iterations, and ",
                 order.size(), " images");
    for (const Index image : order) {
      recur::check(image >= 0 && image < count, s.resume.string(),
                   ": order: expected images below ", count, ", got ", image);
    }
    for (const double loss : losses) {
      history.loss.push_back({static_cast<double>(history.loss.size() + 1), loss});
    }
    for (std::size_t k = 0; k < accuracies.size(); ++k) {
      history.accuracy.push_back({tested_at[k], accuracies[k]});
    }
    std::printf("goes on from %s, after %lld iterations\n", s.resume.c_str(),
                static_cast<long long>(done_before));
  }

  for (Index first = done_before; first < total; first += per_round) {
    const Index last = std::min(total, first + per_round);
    const std::string label =
        s.test_every > 0 || s.iterations > 0
            ? "iterations " + std::to_string(last) + "/" + std::to_string(total)
            : "epoch " + std::to_string(first / per_epoch + 1) + "/" + std::to_string(s.epochs);
    examples::Progress progress(std::cout, label, static_cast<std::size_t>((last - first) * batch));
    const auto start = Clock::now();
    Index right = 0;
    double loss_sum = 0;
    for (Index iteration = first; iteration < last; ++iteration) {
      if (iteration % per_epoch == 0) {
        order = recur::default_generator().permutation(count);
      }
      copy_images(train_data,
                  std::span(order).subspan(static_cast<std::size_t>(iteration % per_epoch * batch),
                                           static_cast<std::size_t>(batch)),
                  s.centred, images, labels);
      const auto result = model.gradients(images, labels, step);
      if (s.clip > 0) {
        recur::clip_grad_norm(s.clip, step.d_layer.parameters, step.d_head.parameters);
      }
      const double share = static_cast<double>(iteration) / static_cast<double>(total);
      std::visit(
          [&](auto& o) {
            o.options().lr =
                s.lr * (s.decay ? 0.5 + 0.5 * std::cos(std::numbers::pi * share) : 1.0);
            o.step(model, step.d_layer.parameters, step.d_head.parameters);
          },
          optimizer);

      history.loss.push_back(
          {static_cast<double>(iteration + 1), static_cast<double>(result.loss)});
      losses.push_back(static_cast<double>(result.loss));
      loss_sum += losses.back();
      for (Index k = 0; k < batch; ++k) {
        right += reading(result.logits, k) == labels[static_cast<std::size_t>(k)] ? 1 : 0;
      }
      const Index done = iteration + 1 - first;
      progress.update(static_cast<std::size_t>(done * batch), static_cast<double>(result.loss),
                      static_cast<double>(right) / static_cast<double>(done * batch));
    }
    progress.finish(loss_sum / static_cast<double>(last - first),
                    static_cast<double>(right) / static_cast<double>((last - first) * batch));
    history.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    const double accuracy = test(model, test_data, s.centred).accuracy();
    history.accuracy.push_back({static_cast<double>(last), accuracy});
    tested_at.push_back(static_cast<double>(last));
    accuracies.push_back(accuracy);
    done_before = last;
    with_parts([&](const auto&... parts) {
      recur::save_checkpoint(s.out / "checkpoint.safetensors", parts...);
    });
    std::printf("  after %lld iterations: test accuracy %.2f %%\n", static_cast<long long>(last),
                100 * accuracy);
    std::fflush(stdout);
  }
  return history;
}

/// The loss of every iteration, as a table.
inline void write_losses(const std::filesystem::path& path, const History& history) {
  std::ofstream file(path);
  file << std::setprecision(9) << "iteration,loss\n";
  for (const auto& point : history.loss) {
    file << static_cast<long long>(point.x) << ',' << point.y << '\n';
  }
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path.string());
  }
}

}  // namespace mnist
