#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Lets libFuzzer look for files that a reader cannot stand: that make it crash, read out of bounds,
# leak, hang, overflow, or take more memory than the file justifies.
#
#   bash tests/fuzz/run.sh [seconds for each reader, default 10] [reader...]
#
# The readers are safetensors, torch, npy, onnx and idx; all by default. Installs clang where it is missing.
# Begins with the files of tests/golden/files/ and tests/fuzz/corpus/; what it finds on the way is kept
# in build/fuzz/, a file that fails as build/fuzz/<reader>-crash-... (then the exit code is 1). To see
# it once more: RECUR_FUZZ=<reader> build/fuzz/tests/fuzz/fuzz_readers FILE
#
#   BUILD_DIR        the folder to build in, default build/fuzz
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/support/install.sh"

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '4,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 0
fi
seconds=${1:-10}
readers=("${@:2}")
if ((${#readers[@]} == 0)); then
  readers=(safetensors torch npy onnx idx)
fi

need_packages clang cmake libeigen3-dev nlohmann-json3-dev zlib1g-dev libprotobuf-dev \
  --optional ninja-build ccache

build=${BUILD_DIR:-$root/build/fuzz}
mkdir -p "$build"
has_fuzzer() {
  printf '%s\n' '#include <cstddef>' '#include <cstdint>' \
    'extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t) { return 0; }' |
    clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o "$build/has_fuzzer" >/dev/null 2>&1
}
if ! has_fuzzer; then # Debian keeps the run-time libraries in a package of their own
  version=$(clang++ -dumpversion)
  need_packages "libclang-rt-${version%%.*}-dev"
fi

generator=()
if [[ ! -e $build/CMakeCache.txt ]] && command -v ninja >/dev/null; then
  generator=(-G Ninja)
fi
cmake -S "$root" -B "$build" ${generator[@]+"${generator[@]}"} -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRECUR_BUILD_TESTS=ON -DRECUR_BUILD_EXAMPLES=OFF \
  -DRECUR_BUILD_BENCH=OFF -DRECUR_BUILD_FUZZ=ON -DRECUR_OPENMP=OFF >"$build/configure.log" ||
  { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --target fuzz_readers

# idx's reader takes files by name.
temporary=$(mktemp -d /dev/shm/recur_fuzz.XXXXXX 2>/dev/null || mktemp -d)
trap 'rm -rf "$temporary"' EXIT
export TMPDIR=$temporary

files=$root/tests/golden/files
failed=()
for reader in "${readers[@]}"; do
  seeds=$build/seeds/$reader
  found=$build/corpus/$reader
  rm -rf "$seeds"
  mkdir -p "$seeds" "$found"
  case $reader in
    safetensors) cp "$files"/*.safetensors "$seeds" ;;
    torch) cp "$files"/*.pt "$seeds" ;;
    npy) cp "$files"/*.npy "$files"/*.npz "$seeds" ;;
    onnx) cp "$root"/tests/golden/onnx_*.onnx "$seeds" ;;
    idx) ;;
    *)
      echo "no reader $reader" >&2
      exit 2
      ;;
  esac
  corpus=()
  if [[ -d $root/tests/fuzz/corpus/$reader ]]; then
    corpus=("$root/tests/fuzz/corpus/$reader")
  fi
  echo "== $reader, $seconds seconds"
  log=$build/$reader.log
  if ! RECUR_FUZZ=$reader "$build/tests/fuzz/fuzz_readers" "$found" "$seeds" \
    ${corpus[@]+"${corpus[@]}"} -max_total_time="$seconds" -max_len=8192 -timeout=100 \
    -malloc_limit_mb=64 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/$reader-" \
    >"$log" 2>&1; then
    failed+=("$reader")
    tail -n 60 "$log"
  fi
  grep -a 'cov: ' "$log" | tail -n 1 | cut -c 1-120 || true
  grep -aE 'number_of_executed_units|peak_rss_mb' "$log" || true
done
if ((${#failed[@]} > 0)); then
  echo "FAILED: ${failed[*]}"
  exit 1
fi
echo "no reader failed"
