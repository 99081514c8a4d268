// SPDX-License-Identifier: MIT
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include "recur/core/good.hpp"
#include "recur/nn/late_pragma.hpp"  // fault: io/ must not include recur/nn/late_pragma.hpp: nn/ is not below it
