// SPDX-License-Identifier: MIT
//
// The version of the library, stated once: CMakeLists.txt reads it from here.
#pragma once

#define RECUR_VERSION_MAJOR 0
#define RECUR_VERSION_MINOR 1
#define RECUR_VERSION_PATCH 0

#define RECUR_TEXT_OF_NAME(x) #x
#define RECUR_TEXT_OF(x) RECUR_TEXT_OF_NAME(x)

namespace recur {

/// "major.minor.patch"
inline constexpr char version[] = RECUR_TEXT_OF(RECUR_VERSION_MAJOR) "." RECUR_TEXT_OF(
    RECUR_VERSION_MINOR) "." RECUR_TEXT_OF(RECUR_VERSION_PATCH);

}  // namespace recur

#undef RECUR_TEXT_OF
#undef RECUR_TEXT_OF_NAME
