#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the tests of what depends on the processor, equations, kernels, cells and layers, for other
# instruction sets than this machine's best, and runs them.
#
#   bash tests/processors.sh [scalar] [sse2] [avx2] [avx512] [arm64]
#
#   scalar   Eigen without vectors
#   sse2     any x86-64; avx2: x86-64-v3, with fused multiply-add; avx512: x86-64-v4
#   arm64    NEON; on other machines by a cross compiler and QEMU, which takes minutes
#
# Without arguments: all that this machine can run, and arm64.
#
#   GTEST_FILTER   which tests (arm64 in QEMU leaves out by default the longest)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tests/support/install.sh"

here=$(uname -m)
can_run() {
  case $1 in
    scalar | arm64) true ;;
    sse2) [[ $here == x86_64 ]] ;;
    avx2) grep -qw avx2 /proc/cpuinfo 2>/dev/null && grep -qw fma /proc/cpuinfo ;;
    avx512) grep -qw avx512vl /proc/cpuinfo 2>/dev/null ;;
    *)
      echo "processors.sh: expected scalar, sse2, avx2, avx512 or arm64, got \"$1\"" >&2
      exit 2
      ;;
  esac
}

wanted=("$@")
if ((${#wanted[@]} == 0)); then
  for name in scalar sse2 avx2 avx512 arm64; do
    if can_run "$name"; then
      wanted+=("$name")
    fi
  done
fi
for name in "${wanted[@]}"; do
  if ! can_run "$name"; then
    echo "processors.sh: this machine cannot run $name" >&2
    exit 2
  fi
done

need_packages g++ libeigen3-dev nlohmann-json3-dev libgtest-dev googletest
eigen=/usr/include/eigen3
[[ -e $eigen/Eigen/Core ]] || eigen=/usr/local/include/eigen3

files=("$root"/tests/{math,kernels,cells,support}/*.cpp
  "$root"/tests/layers/{golden,lengths,determinism,gradient_check}_test.cpp
  /usr/src/googletest/googletest/src/gtest-all.cc
  /usr/src/googletest/googletest/src/gtest_main.cc)

for name in "${wanted[@]}"; do
  compiler=${CXX:-g++}
  flags=()
  emulator=()
  filter=${GTEST_FILTER:-*}
  case $name in
    scalar) flags=(-DEIGEN_DONT_VECTORIZE) ;;
    sse2) flags=(-march=x86-64) ;;
    avx2) flags=(-march=x86-64-v3) ;;
    avx512) flags=(-march=x86-64-v4) ;;
    arm64)
      if [[ $here != aarch64 ]]; then
        need_packages g++-aarch64-linux-gnu qemu-user
        compiler=aarch64-linux-gnu-g++
        emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
        filter=${GTEST_FILTER:-*:-ActivationsOfFloat.*:ActivationsOfDouble.*:Determinism*}
      fi
      ;;
  esac
  command -v ccache >/dev/null && compiler="ccache $compiler"
  build=$root/build/processors/$name
  mkdir -p "$build"
  # shellcheck disable=SC2016,SC2086
  printf '%s\n' "${files[@]}" | xargs -P "$(job_count)" -I{} sh -c '
    file=$1 build=$2; shift 2
    "$@" -c "$file" -o "$build/$(basename "$(dirname "$file")")_$(basename "$file").o"' \
    sh {} "$build" $compiler -std=c++20 -O1 -fopenmp "${flags[@]}" -w \
    -I"$root/include" -I"$root/tests" -I/usr/src/googletest/googletest -isystem "$eigen" \
    -DRECUR_TESTS_DIR="\"$root/tests\""
  # shellcheck disable=SC2086
  $compiler -fopenmp -o "$build/tests" "$build"/*.o
  echo "$name:"
  OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive "${emulator[@]}" "$build/tests" \
    --gtest_brief=1 --gtest_filter="$filter"
done
