// SPDX-License-Identifier: MIT
#pragma once
#include "recur/kernels/packet.hpp"
#include "recur/core/good.hpp"
