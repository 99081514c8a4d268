// SPDX-License-Identifier: MIT
#pragma once
#include "recur/core/good.hpp"  // fault: config.hpp must not include headers of the folders, but includes recur/core/good.hpp
