#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Downloads MNIST's four files from its public mirrors: sh download.sh DIR
#
# A file appears in DIR only when its contents are the published ones. The checksums are those of
# the unzipped files, because mirrors may compress anew. Without a network this ends within about
# ten seconds: one file that no mirror gives ends it. MNIST_MIRRORS may name other mirrors.
set -u

mirrors="https://ossci-datasets.s3.amazonaws.com/mnist
https://storage.googleapis.com/cvdf-datasets/mnist"
mirrors=${MNIST_MIRRORS:-$mirrors}

checksums="
train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"

# The largest file is 47 MB unzipped: whatever is larger is not MNIST.
most_bytes=50000000

fail() {
  echo "download.sh: $*" >&2
  exit 1
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
  fail "usage: download.sh DIR"
fi
dir=$1
mkdir -p -- "$dir" 2>/dev/null || fail "cannot create the folder $dir"

if command -v sha256sum >/dev/null 2>&1; then
  sha256() { sha256sum | cut -d ' ' -f 1; }
elif command -v shasum >/dev/null 2>&1; then
  sha256() { shasum -a 256 | cut -d ' ' -f 1; }
else
  fail "neither sha256sum nor shasum found"
fi
command -v gzip >/dev/null 2>&1 || fail "gzip not found"

# fetch URL FILE: at most 3 s to connect, a minute in all.
if command -v curl >/dev/null 2>&1; then
  fetch() {
    curl --fail --silent --location --connect-timeout 3 --max-time 60 \
      --speed-limit 1000 --speed-time 5 --max-filesize "$most_bytes" --output "$2" -- "$1"
  }
elif command -v wget >/dev/null 2>&1; then
  # wget waits anew for every address of a host and has no limit on the whole: where there is
  # timeout(1), it sets both limits, the first with a question for the headers only.
  within() { shift; "$@"; }
  if command -v timeout >/dev/null 2>&1; then
    within() { timeout "$@"; }
  fi
  fetch() {
    within 4 wget --quiet --tries=1 --timeout=3 --spider -- "$1" &&
      within 60 wget --quiet --tries=1 --timeout=5 --output-document="$2" -- "$1"
  }
else
  fail "neither curl nor wget found"
fi

# Nothing when it is not a sound gzip file to its last byte.
checksum_of() {
  gzip -tq <"$1" 2>/dev/null && gzip -dc <"$1" 2>/dev/null | head -c "$most_bytes" | sha256
}

part=""
trap 'if [ -n "$part" ]; then rm -f -- "$part"; fi' EXIT
trap 'exit 1' HUP INT TERM

get() { # get NAME CHECKSUM
  file="$dir/$1.gz"
  if [ -f "$file" ] && [ "$(checksum_of "$file")" = "$2" ]; then
    return 0
  fi
  part="$dir/.$1.gz.part.$$"
  why="no mirror could be reached"
  for mirror in $mirrors; do
    if fetch "$mirror/$1.gz" "$part"; then
      if [ "$(checksum_of "$part")" = "$2" ]; then
        mv -f -- "$part" "$file" || fail "cannot write $file"
        part=""
        return 0
      fi
      why="the file from $mirror has the wrong checksum"
    fi
    rm -f -- "$part"
  done
  fail "$1.gz: $why"
}

set -f
# shellcheck disable=SC2086
set -- $checksums
while [ $# -ge 2 ]; do
  get "$1" "$2"
  shift 2
done
