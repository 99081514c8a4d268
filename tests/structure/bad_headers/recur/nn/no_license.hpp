// fault at 1: no line // SPDX-License-Identifier: MIT at the top
#pragma once
