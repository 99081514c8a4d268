// SPDX-License-Identifier: MIT
//
// Starts a program of the build and takes what it prints.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#if __has_include(<sys/wait.h>)
#include <sys/wait.h>
#endif

#include "support/temporary_folder.hpp"

namespace recur::test {

struct Finished {
  int code;
  std::string output;  ///< of stdout and stderr
};

/// The output goes through the file `log` in the folder.
inline Finished run_program(const std::string& program, const TemporaryFolder& folder,
                            const std::vector<std::string>& arguments) {
  const std::string log = (folder / "log").string();
  std::string command = "\"" + program + "\"";
  for (const std::string& argument : arguments) {
    command += " \"" + argument + "\"";
  }
  int code = std::system((command + " > \"" + log + "\" 2>&1").c_str());
#if __has_include(<sys/wait.h>)
  code = WIFEXITED(code) ? WEXITSTATUS(code) : -1;
#endif
  std::ifstream stream(log);
  return {code, std::string(std::istreambuf_iterator<char>(stream), {})};
}

}  // namespace recur::test
