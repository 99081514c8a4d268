// SPDX-License-Identifier: MIT
// expect: a member must be a module
#include "recur/core/parameters.hpp"

struct Model {
  int count = 0;
  static auto members(auto& self) { return recur::members("count", self.count); }
};
void f(Model& model) { recur::parameter_count(model); }
