#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says how much faster or slower this checkout is than another version of it.

    bench/versions/compare.py HEAD                    # what is not committed
    bench/versions/compare.py HEAD~5 --cells lstm --modes train --shapes "100,16,256,256,1,1"
    bench/versions/compare.py /src/other-checkout --threads 1,2
    bench/versions/compare.py . --shapes "1,1,64,64,1,1"    # itself: how exact this is here

Both versions are built as libraries, with the benchmark of this checkout, and run by turns of half
a millisecond or one pass in a single process. A ratio is the median of those of all rounds: this
version's time by the other's. On a machine shared with others it is good to half a per cent, where
separate runs are 10 % apart. See bench/README.md.
"""

import argparse
import io
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
from typing import Callable

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "peers"))
import compare as peers  # noqa: E402  (the cases)


def headers_of(version: str, build: pathlib.Path) -> pathlib.Path:
    """The folder include/ of a checkout, or of a revision, which is unpacked."""
    if os.path.isdir(os.path.join(version, "include", "recur")):
        return pathlib.Path(version).resolve() / "include"
    packed = subprocess.run(["git", "-C", str(SOURCE), "archive", version, "include"],
                            capture_output=True, check=False)
    if packed.returncode != 0:
        sys.exit(f"{version}: neither a checkout of recur nor a revision: "
                 f"{packed.stderr.decode().strip()}")
    folder = build / "base"
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder)
    return folder / "include"


def run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stdout}")


def build_versions(options: argparse.Namespace) -> list[str]:
    """The arguments of by_turns: the files of the base and those of this version."""
    build = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    run(["cmake", "-S", str(SOURCE), "-B", str(build), "-DRECUR_BUILD_TESTS=OFF",
         "-DRECUR_BUILD_EXAMPLES=OFF", "-DRECUR_BENCH_PEERS=OFF",
         f"-DRECUR_BENCH_BASE={headers_of(options.base, build)}", *options.cmake])
    run(["cmake", "--build", str(build), "--parallel", "--target", "by_turns", "version_base",
         "version_this"])
    folder = build / "bench" / "versions"
    files = []
    for version in ["base", "this"]:
        copies = [folder / f"version_{version}-{k}.so" for k in range(options.copies)]
        for copy in copies:
            shutil.copy(folder / f"version_{version}.so", copy)
        files.append(",".join(map(str, copies)))
    return [str(folder / "by_turns"), *files]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def parts(separator: str) -> Callable[[str], list[str]]:
        return lambda text: text.split(separator)

    parser.add_argument("base", help="the other version: a revision, or the folder of a checkout")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build-versions"),
                        metavar="FOLDER", help="CMake's build folder (build-versions)")
    parser.add_argument("--cmake", action="append", default=[], metavar="OPTION",
                        help="for both, such as -DCMAKE_CXX_COMPILER=clang++; repeatable")
    parser.add_argument("--shapes", type=parts(";"), default=peers.SHAPES,
                        metavar="T,B,I,H,L,D;...")
    parser.add_argument("--cells", type=parts(","), default=["lstm", "gru", "rnn"])
    parser.add_argument("--modes", type=parts(","), default=["infer", "train"])
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")],
                        default=[1])
    parser.add_argument("--copies", type=int, default=2,
                        help="libraries of each version, since places in memory matter (2)")
    parser.add_argument("--min-time", type=float, default=1, help="seconds of each case (1)")
    parser.add_argument("--min-reps", type=int, default=9, help="rounds of each case (9)")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    program = build_versions(options)
    print(f"{'':44}{'base µs':>11}{'this µs':>11}   ratio, quarter to three quarters")
    logarithms = []
    for case in peers.cases_of(options, options.threads):
        command = [*program, *case.arguments(), "--min-time", str(options.min_time), "--min-reps",
                   str(options.min_reps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              env=dict(os.environ, OMP_NUM_THREADS=str(case.threads)))
        if done.returncode != 0:
            sys.exit(f"{case}: exit status {done.returncode}: {done.stderr.strip()}")
        line = json.loads(done.stdout)
        logarithms.append(math.log(line["ratio"]))
        print(f"{str(case):44}{line['base_us']:11.2f}{line['other_us']:11.2f}   "
              f"{line['ratio']:.3f}, {line['ratio_quarter']:.3f} to "
              f"{line['ratio_three_quarters']:.3f}", flush=True)
    mean = math.exp(sum(logarithms) / len(logarithms))
    print(f"geometric mean of {len(logarithms)}: {mean:.4f}")


if __name__ == "__main__":
    main()
