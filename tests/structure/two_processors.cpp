// SPDX-License-Identifier: MIT
//
// Two units of one program, compiled for different processors (two_processors_b.cpp: the oldest):
// each has functions of its own, both compute the same, and one catches the other's errors.
#include "two_processors.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>  // std::strcmp

Outcome run_in_b(bool wrong_input);

int main() {
  const Outcome here = run_here(false);
  const Outcome there = run_in_b(false);
  std::printf("%s %.17g\n%s %.17g\n", here.type, here.output, there.type, there.output);
  if (std::strcmp(here.type, there.type) == 0) {
    std::puts("both units have the same functions");
    return 1;
  }
  if (here.output == 0 || std::abs(here.output - there.output) > 1e-14) {
    std::puts("the units compute different numbers");
    return 1;
  }
  try {
    run_in_b(true);
  } catch (const recur::Error&) {
    return 0;
  }
  std::puts("expected recur::Error");
  return 1;
}
