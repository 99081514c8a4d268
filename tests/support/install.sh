# SPDX-License-Identifier: MIT
#
# For the run.sh scripts, which source it: `need_packages <package>...` makes sure that these Debian
# packages are there; what follows `--optional` is only nice to have. On Debian and Ubuntu it
# installs what is missing (as root or through sudo, without questions); elsewhere it accepts what
# was installed in another way, and otherwise says by name what is missing and exits with 1.
# shellcheck shell=bash

# The file that shows that a library is installed, below any include directory.
_package_header() {
  case $1 in
    libeigen3-dev) echo Eigen/Core eigen3/Eigen/Core ;;
    libgtest-dev) echo gtest/gtest.h ;;
    libbenchmark-dev) echo benchmark/benchmark.h ;;
    nlohmann-json3-dev) echo nlohmann/json.hpp ;;
    libcli11-dev) echo CLI/CLI.hpp ;;
    zlib1g-dev) echo zlib.h ;;
  esac
}

# Its name for a reader, and a page that says how to get it.
_package_name() {
  case $1 in
    g++) echo "a C++20 compiler, g++ 12 or clang 14 or newer (https://gcc.gnu.org)" ;;
    clang) echo "clang 14 or newer, with libFuzzer (https://clang.llvm.org)" ;;
    cmake) echo "CMake 3.21 or newer (https://cmake.org/download)" ;;
    ninja-build) echo "Ninja (https://ninja-build.org)" ;;
    libeigen3-dev) echo "Eigen 3.4 or newer (https://eigen.tuxfamily.org)" ;;
    libgtest-dev) echo "GoogleTest (https://github.com/google/googletest)" ;;
    libbenchmark-dev) echo "Google Benchmark (https://github.com/google/benchmark)" ;;
    nlohmann-json3-dev) echo "nlohmann_json (https://github.com/nlohmann/json)" ;;
    libcli11-dev) echo "CLI11 (https://github.com/CLIUtils/CLI11)" ;;
    zlib1g-dev) echo "zlib (https://zlib.net)" ;;
    *) echo "$1" ;;
  esac
}

_has_package() {
  case $1 in # programs may come from anywhere
    g++) command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null; return ;;
    clang) command -v clang++ >/dev/null; return ;;
    cmake | ccache | curl) command -v "$1" >/dev/null; return ;;
    ninja-build) command -v ninja >/dev/null; return ;;
  esac
  if command -v dpkg-query >/dev/null &&
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; then
    return 0
  fi
  local directories=(/usr/include /usr/local/include /opt/homebrew/include /opt/local/include)
  local prefix directory header
  local prefixes
  IFS=':;' read -r -a prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]}"; do
    directories+=("$prefix/include")
  done
  for directory in "${directories[@]}"; do
    for header in $(_package_header "$1"); do
      [[ -e $directory/$header ]] && return 0
    done
  done
  return 1
}

need_packages() {
  local required=() optional=() missing=() package into=required
  for package in "$@"; do
    if [[ $package == --optional ]]; then
      into=optional
    elif ! _has_package "$package"; then
      # CMake needs one of Ninja and make.
      if [[ $into == required || ($package == ninja-build && -z $(command -v make)) ]]; then
        required+=("$package")
      else
        optional+=("$package")
      fi
    fi
  done
  missing=(${required[@]+"${required[@]}"} ${optional[@]+"${optional[@]}"})
  if ((${#missing[@]} == 0)); then
    return 0
  fi

  local as_root=() can_install=no
  if command -v apt-get >/dev/null; then
    if ((EUID == 0)); then
      can_install=yes
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
      can_install=yes
      as_root=(sudo)
    fi
  fi

  if [[ $can_install == yes ]] && { ((${#required[@]} > 0)) || ((EUID == 0)); }; then
    echo "installing with apt: ${missing[*]}"
    local log
    log=$(mktemp)
    # An update that fails in part (one broken mirror) need not keep the packages away.
    ${as_root[@]+"${as_root[@]}"} apt-get -o DPkg::Lock::Timeout=300 -qq update >"$log" 2>&1 || true
    if ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get \
      -o DPkg::Lock::Timeout=300 -y -qq --no-install-recommends install \
      "${missing[@]}" >>"$log" 2>&1 </dev/null; then
      rm -f "$log"
      hash -r
      return 0
    fi
    if ((${#required[@]} == 0)); then
      rm -f "$log"
      echo "(could not, but they are not necessary)"
      return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "apt could not install the packages" >&2
  fi

  if ((${#required[@]} == 0)); then
    return 0
  fi
  {
    echo "missing:"
    for package in "${required[@]}"; do
      echo "  $(_package_name "$package")"
    done
    if command -v apt-get >/dev/null; then
      echo "install with: sudo apt-get install ${required[*]}"
    else
      echo "install these with your system's package manager, or into a directory that you name in"
      echo "CMAKE_PREFIX_PATH, and start this script again"
    fi
  } >&2
  exit 1
}

# One job for each processor.
job_count() {
  nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2
}
