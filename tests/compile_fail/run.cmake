# SPDX-License-Identifier: MIT
#
# Compiles SNIPPET with COMPILER and the flags in the file FLAGS. A snippet says in comments
#
#   // expect: <regular expression>   the compiler must refuse it, and its output must match
#                                     (CMake's expressions; several lines: all must match)
#   // expect: success                it must compile: the control that the flags are right
#   // flags: <options>               further options, for example -Werror=unused-result
cmake_minimum_required(VERSION 3.21)

file(STRINGS "${FLAGS}" flags)
# Only errors count; a snippet that expects a warning makes an error of it by its own flags.
list(FILTER flags EXCLUDE REGEX "^-W")
file(STRINGS "${SNIPPET}" comments REGEX "^// (expect|flags): ")
set(expected "")
foreach(comment IN LISTS comments)
  if(comment MATCHES "^// flags: (.+)$")
    separate_arguments(more UNIX_COMMAND "${CMAKE_MATCH_1}")
    list(APPEND flags ${more})
  elseif(comment MATCHES "^// expect: (.+)$")
    list(APPEND expected "${CMAKE_MATCH_1}")
  endif()
endforeach()
if(NOT expected)
  message(FATAL_ERROR "${SNIPPET}: no line // expect: <regular expression>")
endif()

set(ENV{LC_ALL} C)
execute_process(COMMAND "${COMPILER}" ${flags} "${SNIPPET}" RESULT_VARIABLE result
                OUTPUT_VARIABLE output ERROR_VARIABLE output)
string(SUBSTRING "${output}" 0 5000 shown)
if(expected STREQUAL "success")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${SNIPPET} should compile:\n${shown}")
  endif()
  return()
endif()
if(result EQUAL 0)
  message(FATAL_ERROR "${SNIPPET} compiles, but must not")
endif()
foreach(expression IN LISTS expected)
  if(NOT output MATCHES "${expression}")
    message(FATAL_ERROR "${SNIPPET} does not compile, as it should, but the compiler's output does "
                        "not match: ${expression}\n${shown}")
  endif()
endforeach()
