// SPDX-License-Identifier: MIT
//
// The golden files that tests/golden/export.py wrote with PyTorch, case by case.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "recur/io/state_dict.hpp"

#include "support/compare.hpp"

namespace recur::test {

/// Path of a file in tests/golden/.
inline std::string golden_path(const std::string& file) {
  return std::string(RECUR_TESTS_DIR) + "/golden/" + file;
}

/// One configuration of a module with everything that went in and came out.
class GoldenCase {
 public:
  GoldenCase(std::shared_ptr<const TensorFile> file, std::string name, nlohmann::json config)
      : file_(std::move(file)), name_(std::move(name)), config_(std::move(config)) {}

  const std::string& name() const { return name_; }
  const TensorFile& file() const { return *file_; }

  bool is(const char* key, const char* value) const { return config_.at(key) == value; }
  bool flag(const char* key) const { return config_.at(key).get<bool>(); }
  Index number(const char* key) const { return config_.at(key).get<Index>(); }
  /// A list; empty where the case has none (null).
  std::vector<Index> numbers(const char* key) const {
    const auto& list = config_.at(key);
    return list.is_null() ? std::vector<Index>() : list.get<std::vector<Index>>();
  }
  bool batched() const { return !config_.at("batch").is_null(); }

  std::string path(const std::string& key) const { return name_ + "/" + key; }
  bool has(const std::string& key) const { return file_->contains(path(key)); }

  /// An array of the case; empty (left out) where the case has none.
  template <class Scalar>
  Tensor3<Scalar> tensor3(const std::string& key) const {
    return has(key) ? file_->tensor3<Scalar>(path(key)) : Tensor3<Scalar>();
  }
  template <class Scalar>
  RowMatrix<Scalar> matrix(const std::string& key) const {
    return has(key) ? file_->matrix<Scalar>(path(key)) : RowMatrix<Scalar>();
  }
  template <class Scalar>
  Vector<Scalar> vector(const std::string& key) const {
    return has(key) ? file_->vector<Scalar>(path(key)) : Vector<Scalar>();
  }

  /// Fails unless `actual` has PyTorch's shape and values.
  template <class Array>
  void expect(const std::string& key, const Array& actual, double tolerance) const {
    const auto got = elements(actual);
    using Scalar = typename decltype(got.values)::value_type;
    ASSERT_TRUE(has(key)) << path(key);
    ASSERT_EQ(got.shape, file_->tensor(path(key)).shape) << path(key);
    expect_close(got.values, file_->values<Scalar>(path(key)), tolerance, path(key));
  }

  /// The same for the gradients by all parameters, in PyTorch's order.
  template <class Parameters>
  void expect_gradients(const Parameters& gradients, double tolerance) const {
    Parameters::visit(
        [&](const ParameterName& name, const auto& gradient) {
          expect("grad." + name.str(), gradient, tolerance);
        },
        gradients);
  }

 private:
  std::shared_ptr<const TensorFile> file_;
  std::string name_;
  nlohmann::json config_;
};

inline void PrintTo(const GoldenCase& golden, std::ostream* stream) { *stream << golden.name(); }

/// All cases of tests/golden/<file>.safetensors.
inline std::vector<GoldenCase> golden_cases(const std::string& file) {
  const auto contents =
      std::make_shared<const TensorFile>(load_safetensors(golden_path(file + ".safetensors")));
  const auto configs = nlohmann::json::parse(contents->metadata().at("cases"));
  std::vector<GoldenCase> cases;
  for (const auto& [name, config] : configs.items()) {
    cases.emplace_back(contents, name, config);
  }
  return cases;
}

/// Names the instances of a parameterised test by their case.
inline std::string golden_name(const testing::TestParamInfo<GoldenCase>& info) {
  return info.param.name();
}

}  // namespace recur::test
