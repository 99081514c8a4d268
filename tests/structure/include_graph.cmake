# SPDX-License-Identifier: MIT
#
# Checks what the headers in ROOT/recur include, and prints every fault as file:line: reason.
#
#   cmake -DROOT=<include directory> -P include_graph.cmake
#
# Everything stands in namespace recur::inline RECUR_ABI (config.hpp).
#
# A header in recur/<folder>/ may include headers of its own folder and of lower ones:
#   recur.hpp → io, optim, nn → layers → cells → kernels → math → core → Eigen/Core
# config.hpp, version.hpp and fwd.hpp may be included by all and include none of the folders.
cmake_minimum_required(VERSION 3.21)

get_filename_component(ROOT "${ROOT}" ABSOLUTE)

set(rank_core 0)
set(rank_math 1)
set(rank_kernels 2)
set(rank_cells 3)
set(rank_layers 4)
set(rank_nn 5)
set(rank_optim 5)
set(rank_io 5)
set(common config.hpp version.hpp fwd.hpp)
set(plain_namespace config.hpp version.hpp fwd.hpp core/check.hpp) # recur::Error and constants

set(faults 0)
macro(fault line reason)
  math(EXPR faults "${faults} + 1")
  message("${ROOT}/recur/${header}:${line}: ${reason}")
endmacro()

# One #include of `header`: target is what stands in quotes or angle brackets.
macro(check_include line target)
  if("${target}" MATCHES "^recur/(.+)$")
    set(other "${CMAKE_MATCH_1}")
    cmake_path(GET other PARENT_PATH other_folder)
    if(NOT EXISTS "${ROOT}/${target}")
      fault(${line} "${target} does not exist")
    elseif(header STREQUAL "recur.hpp" OR other IN_LIST common)
      # the umbrella may include all, and all may include these
    elseif(other STREQUAL "recur.hpp")
      fault(${line} "no header may include the umbrella recur.hpp")
    elseif(header IN_LIST common)
      fault(${line} "${header} must not include headers of the folders, but includes ${target}")
    elseif(NOT DEFINED rank_${other_folder})
      fault(${line} "${target} stands in no folder known to include_graph.cmake")
    elseif(DEFINED rank_${folder} AND NOT other_folder STREQUAL folder
           AND NOT rank_${other_folder} LESS rank_${folder})
      fault(${line} "${folder}/ must not include ${target}: ${other_folder}/ is not below it")
    endif()
  elseif("${target}" MATCHES "^Eigen/" AND NOT "${target}" STREQUAL "Eigen/Core"
         AND NOT folder STREQUAL "io")
    fault(${line} "<${target}>: of Eigen only <Eigen/Core> may be included")
  elseif("${target}" MATCHES "^(iostream|functional|regex)$" AND NOT folder STREQUAL "io")
    fault(${line} "<${target}> is slow to compile and may be included in io/ only")
  elseif("${target}" MATCHES "^nlohmann/" AND NOT folder STREQUAL "io")
    fault(${line} "<${target}> may be included in io/ only")
  elseif("${target}" MATCHES "\\.hpp$" AND EXISTS "${ROOT}/recur/${folder}/${target}")
    fault(${line} "\"${target}\": write the whole path, recur/...")
  endif()
endmacro()

file(GLOB_RECURSE headers RELATIVE "${ROOT}/recur" "${ROOT}/recur/*")
if(NOT headers)
  message(FATAL_ERROR "no headers in ${ROOT}/recur")
endif()

foreach(header IN LISTS headers)
  cmake_path(GET header PARENT_PATH folder)
  if(NOT header MATCHES "\\.hpp$")
    fault(1 "only .hpp files belong here")
    continue()
  endif()
  if(NOT folder STREQUAL "" AND NOT DEFINED rank_${folder})
    fault(1 "the folder ${folder}/ is not known to include_graph.cmake: give it a rank")
  endif()

  # Lines as a list: the characters that have a meaning in CMake's lists are taken out.
  file(READ "${ROOT}/recur/${header}" text)
  string(REGEX REPLACE "[][;\\\\]" " " text "${text}")
  string(REPLACE "\n" ";" lines "${text}")

  set(number 0)
  set(has_spdx FALSE)
  set(has_pragma FALSE)
  set(reported FALSE)
  foreach(line IN LISTS lines)
    math(EXPR number "${number} + 1")
    if(number LESS_EQUAL 2 AND line MATCHES "^// SPDX-License-Identifier: [A-Za-z]")
      set(has_spdx TRUE)
    endif()
    if(NOT line MATCHES "[^ ]" OR line MATCHES "^ *//")
      continue()
    endif()
    if(line MATCHES "^#pragma once *$")
      set(has_pragma TRUE)
    elseif(NOT has_pragma AND NOT reported)
      fault(${number} "#pragma once must stand before all code")
      set(reported TRUE)
    endif()
    if(line MATCHES "^ *# *include *[<\"]([^>\"]+)[>\"]")
      check_include(${number} "${CMAKE_MATCH_1}")
    elseif(line MATCHES "^namespace recur(::[a-z]+)? {" AND NOT header IN_LIST plain_namespace)
      fault(${number} "write namespace recur::inline RECUR_ABI: see config.hpp")
    elseif(line MATCHES "Eigen::internal" AND NOT header STREQUAL "kernels/packet.hpp")
      string(REGEX REPLACE "//.*" "" code "${line}")
      if(code MATCHES "Eigen::internal")
        fault(${number} "Eigen::internal may be used in kernels/packet.hpp only")
      endif()
    endif()
  endforeach()
  if(NOT has_spdx)
    fault(1 "no line // SPDX-License-Identifier: MIT at the top")
  endif()
endforeach()

list(LENGTH headers count)
if(faults GREATER 0)
  message(FATAL_ERROR "${faults} faults in ${count} headers")
endif()
message(STATUS "${count} headers, no fault")
