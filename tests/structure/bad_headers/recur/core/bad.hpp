#pragma once
// SPDX-License-Identifier: MIT

#include "recur/layers/layer.hpp"   // fault: core/ must not include recur/layers/layer.hpp: layers/ is not below it
#include "recur/recur.hpp"          // fault: no header may include the umbrella recur.hpp
#include "recur/core/nowhere.hpp"   // fault: recur/core/nowhere.hpp does not exist
#include "good.hpp"                 // fault: "good.hpp": write the whole path, recur/...
#include "recur/extra/extra.hpp"    // fault: recur/extra/extra.hpp stands in no folder known to include_graph.cmake
#include <Eigen/Dense>              // fault: <Eigen/Dense>: of Eigen only <Eigen/Core> may be included
#  include <iostream>               // fault: <iostream> is slow to compile and may be included in io/ only
#include <functional>               // fault: <functional> is slow to compile and may be included in io/ only
#include <regex>                    // fault: <regex> is slow to compile and may be included in io/ only
#include <nlohmann/json.hpp>        // fault: <nlohmann/json.hpp> may be included in io/ only
namespace recur::core {}            // fault: write namespace recur::inline RECUR_ABI: see config.hpp
