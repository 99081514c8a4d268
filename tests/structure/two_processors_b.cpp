// SPDX-License-Identifier: MIT
//
// The unit of two_processors.cpp that is compiled for the oldest processors.
#include "two_processors.hpp"

Outcome run_in_b(bool wrong_input) { return run_here(wrong_input); }
