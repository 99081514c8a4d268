// SPDX-License-Identifier: MIT
#pragma once
using Traits = Eigen::internal::traits<int>;
