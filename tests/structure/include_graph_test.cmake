# SPDX-License-Identifier: MIT
#
# Runs include_graph.cmake on bad_headers/: it must report each `// fault: <text>` of those headers at
# the line where it stands (or, written `// fault at N: <text>`, at line N), and nothing else.
cmake_minimum_required(VERSION 3.21)

set(root "${CMAKE_CURRENT_LIST_DIR}/bad_headers")
execute_process(COMMAND "${CMAKE_COMMAND}" "-DROOT=${root}" -P
                        "${CMAKE_CURRENT_LIST_DIR}/include_graph.cmake"
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "include_graph.cmake accepted bad_headers/:\n${output}")
endif()

set(expected 0)
file(GLOB_RECURSE headers RELATIVE "${root}" "${root}/*.hpp")
foreach(header IN LISTS headers)
  file(READ "${root}/${header}" text)
  string(REPLACE ";" " " text "${text}")
  string(REPLACE "\n" ";" lines "${text}")
  set(number 0)
  foreach(line IN LISTS lines)
    math(EXPR number "${number} + 1")
    if(line MATCHES "// fault( at ([0-9]+))?: (.+)$")
      set(at "${number}")
      set(reason "${CMAKE_MATCH_3}")
      if(CMAKE_MATCH_2)
        set(at "${CMAKE_MATCH_2}")
      endif()
      math(EXPR expected "${expected} + 1")
      string(FIND "${output}" "${root}/${header}:${at}: ${reason}\n" position)
      if(position EQUAL -1)
        message(FATAL_ERROR "not reported: ${header}:${at}: ${reason}\nThe output:\n${output}")
      endif()
    endif()
  endforeach()
endforeach()

string(FIND "${output}" "${expected} faults in" position)
if(position EQUAL -1)
  message(FATAL_ERROR "expected ${expected} faults, the output is:\n${output}")
endif()
