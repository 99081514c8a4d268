// SPDX-License-Identifier: MIT
//
// Not a fault in sight: Eigen::internal stands in a comment.
#pragma once

#include <vector>

#include <Eigen/Core>

#include "recur/config.hpp"
const char* list = "a;b[c]";  // Eigen::internal
