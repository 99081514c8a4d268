// SPDX-License-Identifier: MIT
//
// One case run by LibTorch: torch::nn::LSTM, GRU, RNN. Inference in InferenceMode. Training:
// forward, then autograd::grad by input and parameters, which writes gradients instead of adding
// to them.
//
// --variant native: without oneDNN, which PyTorch takes for the LSTM's inference.
// --variant give-back: glibc gives large pieces of memory back to the system after every pass, as
// it does by itself, and gets them again page by page: on a virtual machine three fifths of the time
// of LSTM (100, 64, 256, 256). Else it is kept, as by the allocators that PyTorch's tuning guide
// advises.
#if __has_include(<malloc.h>)
#include <malloc.h>  // mallopt
#endif

#include <limits>
#include <torch/torch.h>

#include "measure.hpp"

namespace {

using Tensors = std::vector<torch::Tensor>;

torch::Tensor tensor(const std::vector<float>& values, torch::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape, torch::kFloat).clone();
}

void dump(const bench::Options& options, const std::string& name, const torch::Tensor& values) {
  const torch::Tensor plain = values.detach().contiguous();
  options.dump(name, {plain.data_ptr<float>(), static_cast<std::size_t>(plain.numel())});
}

void set_weights(torch::nn::Module& module, const bench::Case& c, const bench::Data& data) {
  const torch::NoGradGuard guard;
  auto parameters = module.named_parameters();
  for (bench::Size layer = 0; layer < c.layers; ++layer) {
    for (bench::Size d = 0; d < c.directions; ++d) {
      const auto& weights = data.weights[static_cast<std::size_t>(layer * c.directions + d)];
      const std::string suffix = bench::Case::suffix(layer, d);
      const auto set = [&](const char* name, const std::vector<float>& values) {
        torch::Tensor& parameter = parameters[name + suffix];
        parameter.copy_(tensor(values, parameter.sizes()));
      };
      set("weight_ih", weights.w_ih);
      set("weight_hh", weights.w_hh);
      set("bias_ih", weights.b_ih);
      set("bias_hh", weights.b_hh);
    }
  }
}

void dump_outputs(const bench::Options& options, const Tensors& outputs) {
  dump(options, "y", outputs[0]);
  dump(options, "hn", outputs[1]);
  if (outputs.size() > 2) {
    dump(options, "cn", outputs[2]);
  }
}

// forward(): y, h_n and, of an LSTM, c_n.
template <class Forward>
bench::Stats run_inference(const bench::Options& options, Forward forward) {
  const c10::InferenceMode guard;
  dump_outputs(options, forward());
  return bench::measure(forward, options);
}

template <class Forward>
bench::Stats run_training(const bench::Options& options, torch::nn::Module& module,
                          torch::Tensor& x, const torch::Tensor& d_y, Forward forward) {
  x.requires_grad_(true);
  Tensors inputs{x};
  std::vector<std::string> names{"dx"};
  for (const auto& parameter : module.named_parameters()) {
    inputs.push_back(parameter.value());
    names.push_back("d_" + parameter.key());
  }
  const auto pass = [&] { return torch::autograd::grad({forward()[0]}, inputs, {d_y}); };

  dump_outputs(options, forward());
  const Tensors gradients = pass();
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    dump(options, names[k], gradients[k]);
  }
  return bench::measure(pass, options);
}

void run(const bench::Options& options) {
  const bench::Case& c = options.shape;
  const bench::Data data(c);
  torch::Tensor x = tensor(data.x, {c.steps, c.batch, c.input});
  const torch::Tensor d_y = tensor(data.d_y, {c.steps, c.batch, c.directions * c.hidden});
  const torch::Tensor h0 = tensor(data.h0, {c.layers * c.directions, c.batch, c.hidden});
  const torch::Tensor c0 = tensor(data.c0, {c.layers * c.directions, c.batch, c.hidden});

  const auto with = [&](auto& module, auto forward) {
    set_weights(*module, c, data);
    module->train(c.training);
    const bench::Stats stats = c.training ? run_training(options, *module, x, d_y, forward)
                                          : run_inference(options, forward);
    bench::report("torch", TORCH_VERSION, "eager", options, stats);
  };
  const auto configured = [&](auto module_options) {
    return module_options.num_layers(c.layers).bidirectional(c.directions == 2);
  };
  if (c.cell == bench::Cell::lstm) {
    torch::nn::LSTM module(configured(torch::nn::LSTMOptions(c.input, c.hidden)));
    const auto state = std::make_tuple(h0, c0);
    with(module, [&] {
      const auto [y, last] = module->forward(x, state);
      return Tensors{y, std::get<0>(last), std::get<1>(last)};
    });
  } else if (c.cell == bench::Cell::gru) {
    torch::nn::GRU module(configured(torch::nn::GRUOptions(c.input, c.hidden)));
    with(module, [&] {
      const auto [y, last] = module->forward(x, h0);
      return Tensors{y, last};
    });
  } else {
    torch::nn::RNN module(configured(torch::nn::RNNOptions(c.input, c.hidden)));
    with(module, [&] {
      const auto [y, last] = module->forward(x, h0);
      return Tensors{y, last};
    });
  }
}

void keep_memory() {
#ifdef M_MMAP_MAX
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 256 * 1024 * 1024);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  return bench::main_of(argc, argv, [](const bench::Options& options) {
    if (!options.has_variant("give-back")) {
      keep_memory();
    }
    at::set_num_threads(options.shape.threads);
    at::set_num_interop_threads(1);
    if (options.has_variant("native")) {
      at::globalContext().setUserEnabledMkldnn(false);
    }
    run(options);
  });
}
