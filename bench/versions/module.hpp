// SPDX-License-Identifier: MIT
//
// What a version of recur looks like that is loaded by by_turns.cpp: a library that makes a case
// and calls back with a pass of it. Everything of the case lives until that call returns.
#pragma once

#include "../case.hpp"

namespace bench {

/// A function and the object that it is called with.
struct Pass {
  void (*run)(void*) = nullptr;
  void* object = nullptr;

  void operator()() const { run(object); }
};

/// What a module is given: `use` is called once, with `user`.
using UsePass = void (*)(void* user, const Pass& pass);
using WithPass = void(const Options& options, UsePass use, void* user);

}  // namespace bench

extern "C" bench::WithPass recur_with_pass;
