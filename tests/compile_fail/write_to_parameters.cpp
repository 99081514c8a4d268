// SPDX-License-Identifier: MIT
// expect: const|discards qualifiers|read-only
#include "recur/layers/lstm.hpp"

// Parameters change through update_parameters(), which brings the packed copies up to date.
void f(recur::LSTM<float>& lstm) { lstm.parameters().cell(0).weight_ih(0, 0) = 1; }
