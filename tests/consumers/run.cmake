# SPDX-License-Identifier: MIT
#
# Configures SOURCE afresh in BINARY with the options after --, builds it and runs its program.
# With EXPECT, the configuration must fail with a text that matches.
cmake_minimum_required(VERSION 3.21)

set(options "")
set(after FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(after)
    list(APPEND options "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(after TRUE)
  endif()
endforeach()

file(REMOVE_RECURSE "${BINARY}")
execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}" -G "${GENERATOR}"
          "-DCMAKE_MAKE_PROGRAM=${PROGRAM}" ${options}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output ECHO_OUTPUT_VARIABLE
  ECHO_ERROR_VARIABLE)
if(EXPECT)
  string(REGEX REPLACE "[ \n]+" " " output "${output}") # CMake breaks the lines of its messages
  if(result EQUAL 0 OR NOT output MATCHES "${EXPECT}")
    message(FATAL_ERROR "the configuration should have failed with: ${EXPECT}")
  endif()
  return()
endif()
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the configuration failed")
endif()
if("-DCONFIGURE_ONLY=ON" IN_LIST options)
  return()
endif()

execute_process(COMMAND "${CMAKE_COMMAND}" --build "${BINARY}" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${BINARY}/consumer" COMMAND_ERROR_IS_FATAL ANY)
