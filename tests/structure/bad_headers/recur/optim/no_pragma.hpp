// SPDX-License-Identifier: MIT
struct NoPragma {};  // fault: #pragma once must stand before all code
