// SPDX-License-Identifier: MIT
//
// One case run by oneDNN: vanilla_lstm, lbr_gru (PyTorch's GRU), vanilla_rnn with tanh.
//
// All weights are brought into the format that the primitive asks for before the clock starts, for
// backward too (which a real training would have to repeat after every step of its optimizer);
// memory and lists of arguments are made once. A primitive covers as many layers as oneDNN lets it:
// those whose inputs are as many as their hidden units, in one direction. --variant split: one
// primitive for each layer, as PyTorch does.
#include <cstring>
#include <map>
#include <memory>

#include "measure.hpp"
#include "onednn_primitives.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

using dnnl::memory;
using tag = memory::format_tag;
using Arguments = std::map<int, memory>;

constexpr auto f32 = memory::data_type::f32;

float* floats(const memory& m) { return static_cast<float*>(m.get_data_handle()); }
std::size_t count(const memory& m) { return m.get_desc().get_size() / sizeof(float); }

std::size_t at(const bench::Case& c, bench::Size layer, bench::Size direction) {
  return static_cast<std::size_t>(layer * c.directions + direction);
}

// GRU: r z n in PyTorch, z r n in oneDNN. Exchanges the first two gates, there and back.
void exchange_gates(const bench::Case& c, float* rows, bench::Size columns) {
  if (c.cell == bench::Cell::gru) {
    std::swap_ranges(rows, rows + c.hidden * columns, rows + c.hidden * columns);
  }
}

// Layers that share a primitive.
class Stage {
 public:
  Stage(const bench::Case& c, const bench::Data& data, bench::Size first, bench::Size layers,
        const memory& x, const dnnl::engine& engine, dnnl::stream& stream)
      : case_(c), first_(first), layers_(layers), engine_(engine), stream_(stream) {
    const bool lstm = c.cell == bench::Cell::lstm;
    bench::RnnDescription r;
    r.cell = lstm                         ? dnnl::algorithm::vanilla_lstm
             : c.cell == bench::Cell::gru ? dnnl::algorithm::lbr_gru
                                          : dnnl::algorithm::vanilla_rnn;
    r.direction = c.directions == 2 ? dnnl::rnn_direction::bidirectional_concat
                                    : dnnl::rnn_direction::unidirectional_left2right;
    r.training = c.training;
    r.x = memory::desc({c.steps, c.batch, inputs()}, f32, tag::tnc);
    r.h = memory::desc({layers, c.directions, c.batch, c.hidden}, f32, tag::ldnc);
    r.c = lstm ? r.h : memory::desc();
    r.w_x = memory::desc(weight_sizes(inputs()), f32, tag::any);
    r.w_h = memory::desc(weight_sizes(c.hidden), f32, tag::any);
    r.bias = memory::desc({layers, c.directions, biases(), c.hidden}, f32, tag::ldgo);
    r.y = memory::desc({c.steps, c.batch, c.directions * c.hidden}, f32, tag::tnc);
    made_ = bench::make_primitives(engine, r);

    const std::size_t state = at(c, first, 0) * static_cast<std::size_t>(c.batch * c.hidden);
    const memory w_x = plain_weights(data, &bench::Weights::w_ih, inputs());
    const memory w_h = plain_weights(data, &bench::Weights::w_hh, c.hidden);
    forward_ = {{DNNL_ARG_SRC_LAYER, x},
                {DNNL_ARG_SRC_ITER, filled(r.h, &data.h0[state])},
                {DNNL_ARG_WEIGHTS_LAYER, wanted(w_x, made_.forward, DNNL_ARG_WEIGHTS_LAYER)},
                {DNNL_ARG_WEIGHTS_ITER, wanted(w_h, made_.forward, DNNL_ARG_WEIGHTS_ITER)},
                {DNNL_ARG_BIAS, plain_bias(data, r.bias)},
                {DNNL_ARG_DST_LAYER, zeros(r.y)},
                {DNNL_ARG_DST_ITER, zeros(r.h)}};
    if (lstm) {
      forward_[DNNL_ARG_SRC_ITER_C] = filled(r.c, &data.c0[state]);
      forward_[DNNL_ARG_DST_ITER_C] = zeros(r.c);
    }
    if (c.training) {
      const auto workspace = made_.forward.query_md(dnnl::query::workspace_md);
      forward_[DNNL_ARG_WORKSPACE] = memory(workspace, engine);
      backward_ = forward_;
      backward_[DNNL_ARG_WEIGHTS_LAYER] = wanted(w_x, made_.backward, DNNL_ARG_WEIGHTS_LAYER);
      backward_[DNNL_ARG_WEIGHTS_ITER] = wanted(w_h, made_.backward, DNNL_ARG_WEIGHTS_ITER);
      for (const int argument :
           {DNNL_ARG_DIFF_SRC_LAYER, DNNL_ARG_DIFF_SRC_ITER, DNNL_ARG_DIFF_WEIGHTS_LAYER,
            DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST_LAYER,
            DNNL_ARG_DIFF_DST_ITER}) {
        backward_[argument] = zeros(description(made_.backward, argument));
      }
      if (lstm) {
        backward_[DNNL_ARG_DIFF_SRC_ITER_C] = zeros(r.c);
        backward_[DNNL_ARG_DIFF_DST_ITER_C] = zeros(r.c);
      }
    }
  }

  const memory& y() const { return forward_.at(DNNL_ARG_DST_LAYER); }
  const memory& d_x() const { return backward_.at(DNNL_ARG_DIFF_SRC_LAYER); }
  const memory& d_y() const { return backward_.at(DNNL_ARG_DIFF_DST_LAYER); }
  void set_d_y(const memory& d_y) { backward_[DNNL_ARG_DIFF_DST_LAYER] = d_y; }

  std::string name() const {
    return std::to_string(layers_) + (layers_ == 1 ? " layer " : " layers ") +
           made_.forward.impl_info_str();
  }

  /// After the last change of the arguments.
  void finish() {
    run_forward_ = Call(made_.forward, forward_);
    if (case_.training) {
      run_backward_ = Call(made_.backward, backward_);
    }
  }

  void forward() const { run_forward_(stream_); }
  void backward() const {
    if (!bench::overwrites_gradients) {
      for (const int argument :
           {DNNL_ARG_DIFF_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_ITER, DNNL_ARG_DIFF_BIAS}) {
        const memory& gradient = backward_.at(argument);
        std::memset(gradient.get_data_handle(), 0, gradient.get_desc().get_size());
      }
    }
    run_backward_(stream_);
  }

  void append_states(int argument, std::vector<float>& states) const {
    const memory& state = forward_.at(argument);
    states.insert(states.end(), floats(state), floats(state) + count(state));
  }

  void dump_gradients(const bench::Options& options) const {
    dump_gradient(options, "d_weight_ih", DNNL_ARG_DIFF_WEIGHTS_LAYER, inputs());
    dump_gradient(options, "d_weight_hh", DNNL_ARG_DIFF_WEIGHTS_ITER, case_.hidden);
    const bench::Size size = case_.gates() * case_.hidden;
    const float* from = floats(backward_.at(DNNL_ARG_DIFF_BIAS));
    for_each_cell([&](bench::Size layer, bench::Size d, std::size_t) {
      std::vector<float> bias(from, from + size);
      from += size;
      exchange_gates(case_, bias.data(), 1);
      options.dump("d_bias_ih" + bench::Case::suffix(layer, d), bias);
      if (case_.cell == bench::Cell::gru) {  // the part of b_hn stands behind the others
        std::copy_n(from, case_.hidden, bias.end() - case_.hidden);
        from += case_.hidden;
      }
      options.dump("d_bias_hh" + bench::Case::suffix(layer, d), bias);
    });
  }

 private:
  // A primitive and its arguments as the C interface takes them: nothing is left to do in a call.
  class Call {
   public:
    Call() = default;
    Call(const dnnl::primitive_desc& description, const Arguments& arguments)
        : primitive_(description) {
      for (const auto& [argument, value] : arguments) {
        arguments_.push_back({argument, value.get()});
      }
    }
    void operator()(const dnnl::stream& stream) const {
      dnnl::error::wrap_c_api(
          dnnl_primitive_execute(primitive_.get(), stream.get(),
                                 static_cast<int>(arguments_.size()), arguments_.data()),
          "a primitive failed");
    }

   private:
    dnnl::primitive primitive_;
    std::vector<dnnl_exec_arg_t> arguments_;
  };

  bench::Size inputs() const { return case_.inputs(first_); }
  // lbr_gru keeps W_hn's bias apart.
  bench::Size biases() const { return case_.gates() + (case_.cell == bench::Cell::gru ? 1 : 0); }
  memory::dims weight_sizes(bench::Size columns) const {
    return {layers_, case_.directions, columns, case_.gates(), case_.hidden};
  }

  // f(layer, direction, index into the parameters)
  template <class F>
  void for_each_cell(F f) const {
    for (bench::Size layer = first_; layer < first_ + layers_; ++layer) {
      for (bench::Size d = 0; d < case_.directions; ++d) {
        f(layer, d, at(case_, layer, d));
      }
    }
  }

  static memory::desc description(const dnnl::rnn_primitive_desc_base& primitive, int argument) {
    return primitive.query_md(dnnl::query::exec_arg_md, argument);
  }
  memory zeros(const memory::desc& description) const {
    memory m(description, engine_);
    std::memset(m.get_data_handle(), 0, description.get_size());
    return m;
  }
  memory filled(const memory::desc& description, const float* values) const {
    memory m(description, engine_);
    std::memcpy(m.get_data_handle(), values, description.get_size());
    return m;
  }
  void reorder(memory from, memory to) const {
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
  }

  // Weights as PyTorch has them, but for the order of the gates.
  memory plain_weights(const bench::Data& data, std::vector<float> bench::Weights::*member,
                       bench::Size columns) const {
    memory plain(memory::desc(weight_sizes(columns), f32, tag::ldgoi), engine_);
    float* to = floats(plain);
    for_each_cell([&](bench::Size, bench::Size, std::size_t k) {
      const std::vector<float>& values = data.weights[k].*member;
      std::copy(values.begin(), values.end(), to);
      exchange_gates(case_, to, columns);
      to += values.size();
    });
    return plain;
  }

  // The same in the format which the primitive asks for. There is not a way from each plain format
  // to each of the packed ones.
  memory wanted(const memory& plain, const dnnl::rnn_primitive_desc_base& primitive,
                int argument) const {
    memory result(description(primitive, argument), engine_);
    try {
      reorder(plain, result);
    } catch (const dnnl::error&) {
      const memory::dims sizes =
          weight_sizes(argument == DNNL_ARG_WEIGHTS_LAYER ? inputs() : case_.hidden);
      memory transposed(memory::desc(sizes, f32, tag::ldigo), engine_);
      reorder(plain, transposed);
      reorder(transposed, result);
    }
    return result;
  }

  memory plain_bias(const bench::Data& data, const memory::desc& description) const {
    std::vector<float> all;
    for_each_cell([&](bench::Size, bench::Size, std::size_t k) {
      const bench::Weights& weights = data.weights[k];
      std::vector<float> bias = weights.b_ih;
      for (std::size_t j = 0; j < bias.size(); ++j) {
        bias[j] += weights.b_hh[j];
      }
      exchange_gates(case_, bias.data(), 1);
      all.insert(all.end(), bias.begin(), bias.end());
      if (case_.cell == bench::Cell::gru) {  // z r n and, apart, W_hn's
        std::copy(weights.b_ih.end() - case_.hidden, weights.b_ih.end(), all.end() - case_.hidden);
        all.insert(all.end(), weights.b_hh.end() - case_.hidden, weights.b_hh.end());
      }
    });
    return filled(description, all.data());
  }

  void dump_gradient(const bench::Options& options, const std::string& name, int argument,
                     bench::Size columns) const {
    memory plain(memory::desc(weight_sizes(columns), f32, tag::ldgoi), engine_);
    reorder(backward_.at(argument), plain);
    const bench::Size size = case_.gates() * case_.hidden * columns;
    float* from = floats(plain);
    for_each_cell([&](bench::Size layer, bench::Size d, std::size_t) {
      exchange_gates(case_, from, columns);
      options.dump(name + bench::Case::suffix(layer, d), {from, static_cast<std::size_t>(size)});
      from += size;
    });
  }

  bench::Case case_;
  bench::Size first_, layers_;
  dnnl::engine engine_;
  dnnl::stream& stream_;
  bench::RnnPrimitives made_;
  Arguments forward_, backward_;
  Call run_forward_, run_backward_;
};

std::vector<Stage> make_stages(const bench::Options& options, const bench::Data& data,
                               const dnnl::engine& engine, dnnl::stream& stream) {
  const bench::Case& c = options.shape;
  memory x(memory::desc({c.steps, c.batch, c.input}, f32, tag::tnc), engine);
  std::copy(data.x.begin(), data.x.end(), floats(x));
  std::vector<Stage> stages;
  for (bench::Size layer = 0; layer < c.layers;) {
    const bool all_others =
        c.directions == 1 && c.inputs(layer) == c.hidden && !options.has_variant("split");
    const bench::Size layers = all_others ? c.layers - layer : 1;
    stages.emplace_back(c, data, layer, layers, x, engine, stream);
    x = stages.back().y();
    layer += layers;
  }
  if (c.training) {
    std::copy(data.d_y.begin(), data.d_y.end(), floats(stages.back().d_y()));
    for (std::size_t k = stages.size() - 1; k > 0; --k) {
      stages[k - 1].set_d_y(stages[k].d_x());
    }
  }
  for (Stage& stage : stages) {
    stage.finish();
  }
  return stages;
}

void run(const bench::Options& options) {
  const bench::Case& c = options.shape;
  const bench::Data data(c);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const std::vector<Stage> stages = make_stages(options, data, engine, stream);
  const auto pass = [&] {
    for (const Stage& stage : stages) {
      stage.forward();
    }
    for (std::size_t k = stages.size(); c.training && k > 0; --k) {
      stages[k - 1].backward();
    }
    stream.wait();
  };

  pass();
  std::string impl;
  std::vector<float> h;
  std::vector<float> cells;
  for (const Stage& stage : stages) {
    impl += (impl.empty() ? "" : ", ") + stage.name();
    stage.append_states(DNNL_ARG_DST_ITER, h);
    if (c.cell == bench::Cell::lstm) {
      stage.append_states(DNNL_ARG_DST_ITER_C, cells);
    }
    if (c.training) {
      stage.dump_gradients(options);
    }
  }
  options.dump("y", {floats(stages.back().y()), data.d_y.size()});
  options.dump("hn", h);
  if (c.cell == bench::Cell::lstm) {
    options.dump("cn", cells);
  }
  if (c.training) {
    options.dump("dx", {floats(stages.front().d_x()), data.x.size()});
  }

  const bench::Stats stats = bench::measure(pass, options);
  const dnnl_version_t& v = *dnnl_version();
  const std::string version =
      std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
  bench::report("onednn", version, impl, options, stats);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::main_of(argc, argv, [](const bench::Options& options) {
#ifdef _OPENMP
    omp_set_num_threads(options.shape.threads);
#endif
    run(options);
  });
}
