// SPDX-License-Identifier: MIT
#pragma once
#include "recur/io/sibling.hpp"
#include "recur/layers/layer.hpp"
