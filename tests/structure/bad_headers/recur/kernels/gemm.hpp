// SPDX-License-Identifier: MIT
#pragma once
#include "recur/core/good.hpp"
using Traits = Eigen::internal::traits<int>;  // fault: Eigen::internal may be used in kernels/packet.hpp only
