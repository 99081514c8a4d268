// SPDX-License-Identifier: MIT
#include "recur/core/parameters.hpp"

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/allocations.hpp"
#include "support/compare.hpp"

namespace parameters_test {
namespace {

using recur::Index;
using recur::RowMatrix;
using recur::Vector;
using recur::test::error_of;
using Names = std::vector<std::string>;

// A module of the library's protocol that keeps a derived copy: the sum of its parameters.
class Toy {
 public:
  struct Parameters {
    RowMatrix<double> weight;
    Vector<double> bias;

    static void visit(auto&& f, auto&... p) {
      f(recur::ParameterName{"weight"}, p.weight...);
      if (((p.bias.size() > 0) || ...)) {
        f(recur::ParameterName{"bias", 3, true}, p.bias...);
      }
    }
  };

  explicit Toy(Index rows = 2, Index columns = 3, bool bias = true)
      : rows_(rows), columns_(columns), bias_(bias ? rows : 0) {
    parameters_.weight.setConstant(rows, columns, 1);
    if (bias) {
      parameters_.bias.setConstant(rows, 1);
    }
    sum_up();
  }

  const Parameters& parameters() const { return parameters_; }
  template <class F>
  void update_parameters(F&& f) {
    recur::change_parameters(parameters_, f, [this](recur::ShapeRepair& repair) {
      repair({"weight"}, parameters_.weight, rows_, columns_);
      repair({"bias", 3, true}, parameters_.bias, bias_, 1);
      sum_up();
    });
  }
  double sum() const { return sum_; }

 private:
  void sum_up() { sum_ = parameters_.weight.sum() + parameters_.bias.sum(); }

  Index rows_;
  Index columns_;
  Index bias_;
  Parameters parameters_;
  double sum_ = 0;
};

struct Inner {
  Toy first{1, 2};
  Toy second{2, 2, false};
  static auto members(auto& self) {
    return recur::members("first", self.first, "second", self.second);
  }
};
struct Outer {
  Inner inner;
  Toy head{3, 1};
  static auto members(auto& self) { return recur::members("inner", self.inner, "head", self.head); }
};

Names names_of(const auto& model, const std::string& prefix = "") {
  Names names;
  recur::for_each_parameter(
      model, [&](const std::string& name, const auto&) { names.push_back(name); }, prefix);
  return names;
}

TEST(ParameterName, IsTorchs) {
  EXPECT_EQ((recur::ParameterName{"weight_ih"}.str()), "weight_ih");
  EXPECT_EQ((recur::ParameterName{"weight_ih", 0}.str()), "weight_ih_l0");
  EXPECT_EQ((recur::ParameterName{"bias_hh", 12, true}.str()), "bias_hh_l12_reverse");
}

TEST(Parameters, NamesAreJoinedByPoints) {
  EXPECT_EQ(recur::join_names("lstm", "bias"), "lstm.bias");
  EXPECT_EQ(recur::join_names("lstm.", "bias"), "lstm.bias");
  EXPECT_EQ(recur::join_names("", "bias"), "bias");
  EXPECT_EQ(recur::join_names("lstm", ""), "lstm");
}

TEST(Parameters, OfModulesAndNestedComposites) {
  static_assert(recur::Module<Toy> && !recur::Composite<Toy>);
  static_assert(recur::Composite<Outer> && !recur::Module<Outer>);
  EXPECT_EQ(names_of(Toy()), (Names{"weight", "bias_l3_reverse"}));
  const Names outer = {"inner.first.weight", "inner.first.bias_l3_reverse", "inner.second.weight",
                       "head.weight", "head.bias_l3_reverse"};
  EXPECT_EQ(names_of(Outer()), outer);
  EXPECT_EQ(names_of(Toy(), "model."), (Names{"model.weight", "model.bias_l3_reverse"}));
  EXPECT_EQ(recur::parameter_count(Outer()), 3 + 4 + 6);
  Names modules;
  Outer model;
  recur::for_each_module(model,
                         [&](const std::string& name, const auto&) { modules.push_back(name); });
  EXPECT_EQ(modules, (Names{"inner.first", "inner.second", "head"}));
}

TEST(Parameters, UpdatesReachTheDerivedCopies) {
  Outer model;
  Names names;
  recur::update_parameters(model, [&](const std::string& name, auto& array) {
    names.push_back(name);
    array.setConstant(2);
  });
  EXPECT_EQ(names, names_of(model));
  EXPECT_EQ(model.inner.first.sum(), 6);
  EXPECT_EQ(model.inner.second.sum(), 8);
  EXPECT_EQ(model.head.sum(), 12);
}

TEST(Parameters, ResizedByAnUpdateAreAnErrorAndRestored) {
  Outer model;
  EXPECT_EQ(error_of([&] {
              recur::update_parameters(model, [](const std::string& name, auto& array) {
                if (name.starts_with("head.")) {
                  array.setOnes(5, 1);
                }
              });
            }),
            "parameter weight: update_parameters() must not resize: expected (3, 1), got (5, 1) "
            "(it is now zero)");
  EXPECT_EQ(model.head.parameters().weight, RowMatrix<double>::Zero(3, 1));
  EXPECT_EQ(model.head.parameters().bias, Vector<double>::Zero(3));
  EXPECT_EQ(model.head.sum(), 0);
  // Also when the callback throws, whose exception is passed on.
  EXPECT_THROW(model.inner.first.update_parameters([](auto& p) {
    p.bias.resize(0);
    p.weight.setConstant(2);
    throw 1;
  }),
               int);
  EXPECT_EQ(model.inner.first.sum(), 4);
}

TEST(Gradients, HaveTheStructureOfTheModel) {
  using Expected = std::tuple<std::tuple<Toy::Parameters, Toy::Parameters>, Toy::Parameters>;
  static_assert(std::is_same_v<recur::GradientsOf<Outer>, Expected>);
  static_assert(std::is_same_v<recur::GradientsOf<const Toy>, Toy::Parameters>);
  auto gradients = recur::zero_gradients(Outer());
  const auto& [d_inner, d_head] = gradients;
  EXPECT_EQ(d_head.weight, RowMatrix<double>::Zero(3, 1));
  EXPECT_EQ(std::get<1>(d_inner).bias.size(), 0);
  Index count = 0;
  recur::for_each_gradient(
      [&](auto& array) {
        count += array.size();
        array.setOnes();
      },
      gradients);
  EXPECT_EQ(count, 13);
  EXPECT_EQ(d_head.bias.sum(), 3);
  recur::set_zero(std::get<0>(gradients), std::get<1>(gradients));
  EXPECT_EQ(d_head.bias.sum(), 0);
}

TEST(Gradients, UpdateParametersWholeOrByMember) {
  Outer model;
  auto gradients = recur::zero_gradients(model);
  recur::for_each_gradient([](auto& array) { array.setConstant(0.25); }, gradients);
  const auto subtract = [](auto& array, const auto& gradient) { array -= gradient; };
  recur::update_parameters_with(model, subtract, gradients);
  EXPECT_EQ(model.head.sum(), 6 * 0.75);
  recur::update_parameters_with(model, subtract, std::get<0>(gradients), std::get<1>(gradients));
  EXPECT_EQ(model.head.sum(), 6 * 0.5);
  EXPECT_EQ(model.inner.second.sum(), 4 * 0.5);
  recur::update_parameters_with(model.inner, subtract, std::get<0>(gradients));
  EXPECT_EQ(model.inner.second.sum(), 4 * 0.25);
  recur::update_parameters_with(model.head, subtract, std::get<1>(gradients));
  EXPECT_EQ(model.head.sum(), 6 * 0.25);
}

TEST(Gradients, AreReadBesideTheParametersOfAConstModel) {
  const Outer model;
  auto gradients = recur::zero_gradients(model);
  recur::for_each_gradient([](auto& array) { array.setConstant(2); }, gradients);
  double sum = 0;
  const auto add = [&](const auto& array, const auto& gradient) {
    sum += array.cwiseProduct(gradient).sum();
  };
  recur::for_each_parameter_with(model, add, gradients);
  EXPECT_EQ(sum, 26);
  EXPECT_EQ(
      recur::test::allocations_of([&] { recur::for_each_parameter_with(model, add, gradients); }),
      0U);
}

TEST(Gradients, WrongShapesAreErrorsBeforeAnythingIsWritten) {
  Outer model;
  auto gradients = recur::zero_gradients(model);
  std::get<1>(gradients).bias.setZero(2);
  int calls = 0;
  EXPECT_EQ(error_of([&] {
              recur::update_parameters_with(
                  model, [&](auto&, const auto&) { ++calls; }, gradients);
            }),
            "gradient of bias_l3_reverse: expected (3, 1), got (2, 1)");
  EXPECT_EQ(calls, 0);
  EXPECT_THROW(recur::for_each_parameter_with(
                   model, [&](const auto&, const auto&) { ++calls; }, gradients),
               recur::Error);
  EXPECT_EQ(calls, 0);
  // A bias where the module has none.
  EXPECT_EQ(error_of([&] {
              recur::check_gradients(Toy(2, 2, false).parameters(), Toy(2, 2).parameters());
            }),
            "gradient of bias_l3_reverse: expected (0, 1), got (2, 1)");
}

}  // namespace
}  // namespace parameters_test
