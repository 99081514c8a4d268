// SPDX-License-Identifier: MIT
#pragma once
// fault at 1: the folder extra/ is not known to include_graph.cmake: give it a rank
