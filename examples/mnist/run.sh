#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Trains the MNIST classifier: installs what is missing, builds the program and starts it.
#
#   bash examples/mnist/run.sh [options of the program; --help lists them]
#
#   CXX         the compiler
#   BUILD_DIR   the folder to build in, default build/examples
set -euo pipefail
: "${HOME:=/tmp}"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/support/install.sh"

need_packages g++ cmake libeigen3-dev nlohmann-json3-dev libcli11-dev zlib1g-dev \
  --optional ninja-build curl

# ---- Build: quiet, unless it fails --------------------------------------------------------------
build=${BUILD_DIR:-$root/build/examples${CXX:+-$(basename "$CXX")}}
log=$build/build.log

configure() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DRECUR_BUILD_EXAMPLES=ON -DRECUR_BUILD_TESTS=OFF
    -DRECUR_BUILD_BENCH=OFF -DRECUR_REQUIRE_ALL=ON)
  if [[ ! -e $build/CMakeCache.txt ]] && command -v ninja >/dev/null; then
    options+=(-G Ninja)
  fi
  cmake -S "$root" -B "$build" "${options[@]}"
}

compile() {
  if [[ ! -e $build/build.ninja && ! -e $build/Makefile ]]; then
    configure || return
  fi
  cmake --build "$build" --target mnist --parallel "$(job_count)"
}

mkdir -p "$build"
if [[ ! -x $build/examples/mnist ]]; then
  echo "building (once, one to five minutes) ..."
fi
if ! compile >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  echo "the build failed; the whole output is in $log" >&2
  exit 1
fi

# ---- Data: the program finds it in these places, or draws digits itself -------------------------
wants_data=yes
for argument in "$@"; do
  case $argument in
    --data | --data=* | -h | --help | --version) wants_data=no ;;
  esac
done

# The folders that usual_folders() of idx.hpp lists.
has_mnist() {
  local folder
  for folder in "${MNIST_DIR:-}" data/mnist mnist data/MNIST/raw MNIST/raw data \
    "${XDG_CACHE_HOME:-$HOME/.cache}/recur/mnist" "$HOME/.cache/recur/mnist" "$HOME/data/mnist" \
    "$HOME/data/MNIST/raw" "$HOME/mnist"; do
    if [[ -n $folder ]] && has_files "$folder"; then
      return 0
    fi
  done
  return 1
}

has_files() {
  local name
  for name in train-images?idx3 train-labels?idx1 t10k-images?idx3 t10k-labels?idx1; do
    compgen -G "$1/$name-ubyte*" >/dev/null || return 1
  done
}

if [[ $wants_data == yes ]] && ! has_mnist && [[ -e $root/examples/mnist/download.sh ]]; then
  bash "$root/examples/mnist/download.sh" "$HOME/.cache/recur/mnist" ||
    echo "MNIST could not be downloaded; the program draws digits of its own"
fi

exec "$build/examples/mnist" "$@"
