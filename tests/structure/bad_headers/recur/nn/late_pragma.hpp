// SPDX-License-Identifier: MIT

#include <vector>  // fault: #pragma once must stand before all code
#pragma once
