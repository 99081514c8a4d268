#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds the tests and runs them.
#
#   bash tests/run.sh [--sanitize] [--with-torch] [--with-fuzz] [arguments of ctest]
#                                                           for example: -R LSTM, -L layers, -N
#
#   --sanitize       with AddressSanitizer and UndefinedBehaviorSanitizer, in a folder of its own
#   --with-torch     also the tests that run PyTorch itself (label torch); installs Debian's where
#                    neither /usr/bin/python3 nor python3 has one
#   --with-fuzz      afterwards libFuzzer, ten seconds for each reader of files: fuzz/run.sh
#   CXX              the compiler (each has a folder of its own)
#   BUILD_DIR        the folder to build in, default build/tests
#   RECUR_SANITIZE   other sanitizers than those of --sanitize
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tests/support/install.sh"

sanitize=${RECUR_SANITIZE:-}
torch=OFF
fuzz=OFF
arguments=()
for argument in "$@"; do
  case $argument in
    --sanitize) sanitize=${sanitize:-address,undefined} ;;
    --with-torch) torch=ON ;;
    --with-fuzz) fuzz=ON ;;
    -h | --help)
      sed -n '4,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) arguments+=("$argument") ;;
  esac
done

need_packages g++ cmake libeigen3-dev nlohmann-json3-dev libgtest-dev libcli11-dev zlib1g-dev \
  libprotobuf-dev --optional ninja-build ccache

has_torch() {
  "$1" -c 'import numpy, torch' >/dev/null 2>&1
}
if [[ $torch == ON ]] && ! has_torch /usr/bin/python3 && ! has_torch python3; then
  need_packages python3-torch
fi

folder=tests
# Not -O3: the build takes longer than the tests.
options=(-DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG")
if [[ -n $sanitize ]]; then
  folder=sanitize-${sanitize//,/-}
  # Optimised a little, for speed; without NDEBUG, so that Eigen's assertions are on. File by file:
  # the nine of cells/ as one, with sanitizers, had not compiled after eight minutes.
  options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1"
    "-DRECUR_SANITIZE=$sanitize" -DRECUR_UNITY_BUILD=OFF)
fi
if [[ -n ${CXX:-} ]]; then
  folder+=-$(basename "$CXX")
fi
build=${BUILD_DIR:-$root/build/$folder}

if [[ ! -e $build/CMakeCache.txt ]] && command -v ninja >/dev/null; then
  options+=(-G Ninja)
fi
cmake -S "$root" -B "$build" "${options[@]}" -DRECUR_BUILD_TESTS=ON \
  -DRECUR_BUILD_EXAMPLES=ON -DRECUR_BUILD_BENCH=OFF -DRECUR_REQUIRE_ALL=ON \
  -DRECUR_TEST_TORCH=$torch
cmake --build "$build" --parallel "$(job_count)"

cd "$build"
ctest --output-on-failure --no-tests=error -j "$(job_count)" ${arguments[@]+"${arguments[@]}"}
if [[ $fuzz == ON ]]; then
  env -u BUILD_DIR -u CXX bash "$root/tests/fuzz/run.sh" 10
fi
