// SPDX-License-Identifier: MIT
// expect: another number of elements|constant expression
#include "recur/io/embedded.hpp"

constexpr std::array<float, 5> values{};
constexpr recur::EmbeddedTensor tensor("weight", values, 2, 3);
