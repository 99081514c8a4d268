#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares recur with other libraries, program by program, on the same cases.

    bench/peers/compare.py                     # the programs of build/bench, the whole grid
    bench/peers/compare.py --shapes "28,64,28,100,3,1;1,1,64,64,1,1" --cells lstm --rounds 1
    bench/peers/compare.py --programs new-torch="chroot /srv/sid /src/build/bench/peers/torch_case"
    bench/peers/compare.py --render results.json   # tables and charts of an earlier run

First every program writes its outputs and gradients on every case, which must be equal. Then all
take turns, round after round; the median of the rounds counts. A run before or behind which a
processor was slower than it can be is repeated, whosever it was. Results go to bench/peers/results:
results.json, results.md and one chart for each cell. See bench/README.md.
"""

import argparse
import array
import dataclasses
import json
import math
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Iterable, Iterator, Optional

import render

HERE = pathlib.Path(__file__).resolve().parent
SHAPES = [
    "1,1,64,64,1,1",
    "100,1,1,16,1,1",
    "100,1,40,64,1,1",
    "28,1,28,128,1,1",
    "28,64,28,100,3,1",
    "28,128,28,10,2,1",
    "30,5,1,64,5,1",
    "100,1,256,256,1,1",
    "100,16,256,256,1,1",
    "100,64,256,256,1,1",
    "50,32,512,512,2,1",
    "50,1,1024,1024,1,1",
    "50,64,1024,1024,1,1",
    "100,32,128,128,2,2",
    # sizes that fill no vector register
    "50,16,33,33,1,1",
    "50,16,50,50,1,1",
    "50,16,72,72,1,1",
    "50,16,100,100,1,1",
    "50,16,200,200,1,1",
    "50,16,300,300,1,1",
    "50,16,650,650,1,1",
]
NOT_SUPPORTED = 3  # the exit status that says so
# What a shell may have set for other programs, and peers obey.
NARROWING = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA",
             "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}


@dataclasses.dataclass(frozen=True)
class Case:
    cell: str
    shape: str
    mode: str
    threads: int

    def arguments(self) -> list[str]:
        return ["--cell", self.cell, "--shape", self.shape, "--mode", self.mode,
                "--threads", str(self.threads)]

    def __str__(self) -> str:
        return f"{self.cell} {self.shape} {self.mode}, threads: {self.threads}"


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    command: list[str]

    def root(self) -> str:
        """The folder that the program takes for /: the one after "chroot"."""
        words = iter(self.command)
        for word in words:
            if os.path.basename(word) == "chroot":
                return next(w for w in words if not w.startswith("-"))
        return "/"

    def run(self, arguments: list[str], threads: int,
            timeout: float) -> tuple[Optional[dict[str, Any]], str]:
        """Its JSON line; or None and why not ("" where it does not do the case)."""
        count = str(threads)
        environment = dict(os.environ, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count,
                           MKL_NUM_THREADS=count, MKL_THREADING_LAYER="GNU",
                           MKL_INTERFACE_LAYER="GNU,LP64")
        try:
            done = subprocess.run(self.command + arguments, env=environment, timeout=timeout,
                                  capture_output=True, text=True, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, str(error)
        if done.returncode == NOT_SUPPORTED:
            return None, ""
        for line in done.stdout.splitlines():
            if done.returncode == 0 and line.startswith("{"):
                return json.loads(line), ""
        return None, f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"


def cases_of(options: argparse.Namespace, threads: Iterable[int]) -> Iterator[Case]:
    """All of its shapes, cells and modes."""
    for shape in options.shapes:
        for cell in options.cells:
            for mode in options.modes:
                for count in threads:
                    yield Case(cell, shape, mode, count)


class Comparison:
    def __init__(self, options: argparse.Namespace, programs: list[Program]) -> None:
        self.options = options
        self.programs = programs
        self.zero_state: set[str] = set()  # those that cannot be given an initial state
        self.fastest = 0.0  # of the processors, so far

    # ---- (a) equal results ----------------------------------------------------------------------
    def dump(self, program: Program, case: Case,
             zero_state: bool) -> tuple[Optional[dict[str, array.array]], str]:
        """What the program computes, by name; or None and why not."""
        root = program.root()
        folder = tempfile.mkdtemp(prefix="compare-", dir=os.path.join(root, "tmp"))
        try:
            arguments = case.arguments() + ["--min-time", "0", "--min-reps", "1", "--dump",
                                            "/" + os.path.relpath(folder, root)]
            if zero_state:
                arguments += ["--state", "zero"]
            line, error = program.run(arguments, case.threads, self.options.timeout)
            if line is None:
                return None, error
            values = {}
            for file in pathlib.Path(folder).glob("*.f32"):
                values[file.stem] = array.array("f", file.read_bytes())
            return values, ""
        finally:
            shutil.rmtree(folder)

    def check(self) -> bool:
        """Whether all programs agree with the first, on as many threads as will be used."""
        good = True
        worst = 0.0
        for case in cases_of(self.options, [max(self.options.threads)]):
            reference: dict[bool, dict[str, array.array]] = {}
            for program in self.programs:
                for zero_state in (False, True):
                    found, error = self.dump(program, case, zero_state)
                    if found is not None or error:
                        break
                if found is None:
                    if error:
                        good = False
                        print(f"FAILED {case}: {program.name}: {error}", flush=True)
                    continue
                if zero_state:
                    self.zero_state.add(program.name)
                if program is self.programs[0]:
                    reference[zero_state] = found
                    continue
                if zero_state not in reference:
                    wanted, error = self.dump(self.programs[0], case, zero_state)
                    if wanted is None:
                        sys.exit(f"{self.programs[0].name} does not do {case}: {error}")
                    reference[zero_state] = wanted
                difference, where = largest_difference(found, reference[zero_state],
                                                       partial=zero_state)
                worst = max(worst, difference)
                if not difference <= self.options.tolerance:
                    good = False
                    print(f"DIFFERS {case}: {program.name}: {where} by {difference:.1e}",
                          flush=True)
                elif self.options.verbose:
                    print(f"equal {case}: {program.name}, {where} by {difference:.1e}", flush=True)
        print(f"largest difference {worst:.1e}, tolerance {self.options.tolerance:.1e}", flush=True)
        return good

    # ---- (b) times, by turns --------------------------------------------------------------------
    def undisturbed(self) -> bool:
        """Whether every processor is about as fast as it ever was (a virtual one is not while its
        neighbour on the same core works). True where it cannot be found out."""
        path = self.roofline()
        if not path or not self.options.tries:
            return True
        done = subprocess.run([path, "--now", str(max(self.options.threads))],
                              capture_output=True, text=True, check=True)
        value = json.loads(done.stdout)["value"]
        self.fastest = max(self.fastest, value)
        return value >= 0.9 * self.fastest

    def wait(self) -> bool:
        """Until no processor is disturbed; False if that takes too long."""
        for _ in range(20):
            if self.undisturbed():
                return True
            time.sleep(0.1)
        return False

    def time(self, program: Program, case: Case) -> Optional[dict[str, Any]]:
        """A run during which nothing else seems to have had a part of the processors, or after so
        many tries the last one."""
        for left in reversed(range(max(1, self.options.tries))):
            quiet = self.wait()
            line = self.run_once(program, case)
            if line is None:
                return None
            line["disturbed"] = not (quiet and self.undisturbed())
            if not line["disturbed"] or left == 0:
                return line
        return None

    def measure(self) -> Iterator[dict[str, Any]]:
        """The results so far, after each case: a run that is stopped loses one case at most."""
        lines: dict[Case, dict[str, list[dict[str, Any]]]] = {}
        roofline: list[dict[str, Any]] = []
        machine = describe_machine()
        every = list(cases_of(self.options, self.options.threads))
        start = time.monotonic()
        for turn in range(self.options.rounds):
            roofline += self.run_roofline()
            for number, case in enumerate(every):
                taken = lines.setdefault(case, {})
                first = (turn + number) % len(self.programs)  # each comes first as often
                for program in self.programs[first:] + self.programs[:first]:
                    line = self.time(program, case)
                    if line is not None:
                        taken.setdefault(program.name, []).append(line)
                if self.options.verbose:
                    times = [f"{name} {runs[-1]['median_us']:.1f} µs"
                             for name, runs in taken.items()]
                    print(f"round {turn + 1}: {case}: {', '.join(times)}", flush=True)
                yield {"ours": self.options.ours, "machine": machine, "rounds": turn + 1,
                       "cases": len(every), "cases_of_last_round": number + 1,
                       "min_time": self.options.min_time, "tries": self.options.tries,
                       "tolerance": self.options.tolerance,
                       "zero_state": sorted(self.zero_state), "roofline": best_roofline(roofline),
                       "programs": describe_programs(self.programs, lines),
                       "rows": [row(case, taken) for case, taken in lines.items() if taken]}
            print(f"round {turn + 1} of {self.options.rounds} after "
                  f"{time.monotonic() - start:.0f} s", flush=True)

    def run_once(self, program: Program, case: Case) -> Optional[dict[str, Any]]:
        arguments = case.arguments() + ["--min-time", str(self.options.min_time),
                                        "--min-reps", str(self.options.min_reps)]
        if program.name in self.zero_state:
            arguments += ["--state", "zero"]
        line, error = program.run(arguments, case.threads, self.options.timeout)
        if error:
            print(f"FAILED {case}: {program.name}: {error}", flush=True)
        return line

    def roofline(self) -> str:
        """The program; "" where there is none."""
        path = self.options.roofline or os.path.join(self.options.build, "bench", "roofline")
        return path if os.path.exists(path) else ""

    def run_roofline(self) -> list[dict[str, Any]]:
        path = self.roofline()
        if not path:
            print("roofline not found: no part of peak, and disturbed runs count", flush=True)
            return []
        self.wait()
        counts = [str(count) for count in self.options.threads]
        done = subprocess.run([path] + counts, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


def largest_difference(found: dict[str, array.array], wanted: dict[str, array.array],
                       partial: bool) -> tuple[float, str]:
    """The largest |found - wanted| / max(1, max |wanted|) of all arrays, and the array's name. An
    array that is missing differs by infinity; of a program that does not give final states
    (`partial`) those that are there are compared."""
    worst, where = 0.0, "y"
    for name, values in wanted.items():
        got = found.get(name)
        if got is None and partial and name != "y":
            continue
        if got is None or len(got) != len(values):
            return math.inf, name
        scale = max(1.0, max(max(values), -min(values)))
        difference = max(map(abs, map(float.__sub__, got, values))) / scale
        if not difference <= worst:  # NaN, too
            worst, where = difference, name
    return worst, where


def row(case: Case, taken: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The medians of the rounds, by program."""
    programs = {}
    for name, lines in taken.items():
        median = statistics.median(line["median_us"] for line in lines)
        programs[name] = {
            "median_us": round(median, 3),
            "gflops": round(lines[0]["gflops"] * lines[0]["median_us"] / median, 3),
            "cpu": round(statistics.median(line["cpu"] for line in lines), 2),
            "steal": round(max(line["steal"] for line in lines), 3),
            "rounds_us": [line["median_us"] for line in lines],
            "disturbed": sum(line["disturbed"] for line in lines),
        }
    return {**dataclasses.asdict(case), "programs": programs}


def best_roofline(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    best: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line in lines:
        key = (line["what"], line["level"], line["threads"])
        if key not in best or line["value"] > best[key]["value"]:
            best[key] = line
    return list(best.values())


def describe_programs(programs: list[Program],
                      lines: dict[Case, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for program in programs:
        own = [taken[program.name][0] for taken in lines.values() if program.name in taken]
        if own:
            described[program.name] = {"peer": own[0]["peer"], "version": own[0]["version"],
                                       "variant": own[0]["variant"]}
    return described


def describe_machine() -> dict[str, Any]:
    processor = "unknown"
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {"processor": processor, "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d")}


def find_programs(options: argparse.Namespace) -> list[Program]:
    """Those of the build folder, recur first, and those of --programs."""
    bench = pathlib.Path(options.build) / "bench"
    paths = sorted(bench.glob("*_case")) + sorted((bench / "peers").glob("*_case"))
    found = {path.name.removesuffix("_case"): [str(path)] for path in paths}
    for text in options.programs:
        name, equals, command = text.partition("=")
        if not equals:
            sys.exit(f"--programs {text}: expected NAME=COMMAND")
        found[name] = shlex.split(command)
    if options.only:
        found = {name: command for name, command in found.items() if name in options.only}
    if options.ours not in found:
        sys.exit(f"no program {options.ours}: build it (cmake -S . -B build && cmake --build "
                 f"build), or say where it is (--build, --programs); found: {', '.join(found)}")
    ours = Program(options.ours, found.pop(options.ours))
    return [ours] + [Program(name, command) for name, command in found.items()]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def parts(separator: str) -> Callable[[str], list[str]]:
        return lambda text: text.split(separator)

    parser.add_argument("--build", default="build", help="CMake's build folder (build)")
    parser.add_argument("--programs", action="append", default=[], metavar="NAME=COMMAND",
                        help="a further program, or another command for one; repeatable")
    parser.add_argument("--only", type=parts(","), metavar="NAMES", help="leave out all others")
    parser.add_argument("--ours", default="recur", metavar="NAME",
                        help="the program that ratios are about (recur)")
    parser.add_argument("--shapes", type=parts(";"), default=SHAPES, metavar="T,B,I,H,L,D;...")
    parser.add_argument("--cells", type=parts(","), default=["lstm", "gru", "rnn"])
    parser.add_argument("--modes", type=parts(","), default=["infer", "train"])
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")],
                        default=sorted({1, os.cpu_count() or 1}), help="1 and all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--min-time", type=float, default=0.3, help="seconds of each run (0.3)")
    parser.add_argument("--min-reps", type=int, default=7)
    parser.add_argument("--tries", type=int, default=5,
                        help="runs for one that nothing disturbed; 0: do not look (5)")
    parser.add_argument("--tolerance", type=float, default=2e-5,
                        help="of differences, relative to the largest number of an array, or "
                             "absolute where that is below 1 (2e-5)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds of a run (600)")
    parser.add_argument("--roofline", help="the program (BUILD/bench/roofline)")
    parser.add_argument("--check-only", action="store_true", help="measure nothing")
    parser.add_argument("--no-check", action="store_true", help="measure at once")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--render", type=pathlib.Path, metavar="results.json",
                        help="only draw these results again")
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.render:
        render.write(json.loads(options.render.read_text()), options.out)
        return
    comparison = Comparison(options, find_programs(options))
    print("programs: " + ", ".join(program.name for program in comparison.programs), flush=True)
    for name in sorted(NARROWING & os.environ.keys()):
        print(f"{name}={os.environ[name]} is set: it can keep a peer from its fastest kernels "
              f"(env -u {name} in its command, or here)", file=sys.stderr, flush=True)
    if not options.no_check and not comparison.check():
        sys.exit("the programs do not agree")
    if not options.check_only:
        for results in comparison.measure():
            render.write(results, options.out)
        print(f"written: {options.out}/results.md")


if __name__ == "__main__":
    main()
