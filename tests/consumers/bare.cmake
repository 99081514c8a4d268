# SPDX-License-Identifier: MIT
#
# Included by a consumer that has none of the optional packages.
if(TARGET recur::io OR TARGET OpenMP::OpenMP_CXX)
  message(FATAL_ERROR "an optional package was found although it is disabled")
endif()
# The header may still lie in /usr/include: one that stops the compiler is put before it.
set(dir "${CMAKE_CURRENT_BINARY_DIR}/not_installed")
file(WRITE "${dir}/nlohmann/json.hpp" "#error nlohmann_json must not be needed here\n")
target_include_directories(consumer BEFORE PRIVATE "${dir}")
target_compile_definitions(consumer PRIVATE BARE)
