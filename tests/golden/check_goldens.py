#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exports the golden files anew into a temporary folder and compares them with the committed ones.

    /usr/bin/python3 tests/golden/check_goldens.py            # Debian, Ubuntu: apt install python3-torch

Every export*.py of this folder is run. The same PyTorch on the same processor writes the same bytes. Another version, or
another processor (PyTorch's libraries choose their kernels by it), rounds some sums in another order: therefore names,
types, shapes, configurations and whole numbers must be equal, floating-point numbers to 1e-13 (float32: 1e-5) of the
largest one in their tensor. Exit code: 0 all equal, 1 not, 77 PyTorch is not installed.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

import safetensors_io

FOLDER = pathlib.Path(__file__).resolve().parent
TOLERANCES = {"float64": 1e-13, "float32": 1e-5}
CPP_TYPES = {"double": np.float64, "float": np.float32}  # whole numbers: everything else

ARRAY = re.compile(r"^inline constexpr (\S+) (\w+)((?:\[\d*\])*) = ([^;]*);", re.MULTILINE)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan)")


def read_safetensors(path):
    """(name → array, everything else that must be equal)."""
    tensors, metadata = safetensors_io.load(path)
    metadata.pop("torch", None)
    return tensors, metadata


def read_header(path):
    """The same of a header of constexpr arrays."""
    text = path.read_text(encoding="utf-8")
    arrays = {}
    for kind, name, brackets, numbers in ARRAY.findall(text):
        arrays[f"{kind} {name}{brackets}"] = np.array(NUMBER.findall(numbers)).astype(CPP_TYPES.get(kind, np.int64))
    rest = re.sub(r"PyTorch [^,\s]+", "PyTorch", ARRAY.sub("", text))
    return arrays, rest


def read_onnx(_path):
    """Nothing: another version of PyTorch writes another graph. What it computes is in onnx.safetensors."""
    return {}, None


def differences(path, committed):
    """What differs between two files, and the largest difference that may be: (texts, number)."""
    reader = {".safetensors": read_safetensors, ".hpp": read_header, ".onnx": read_onnx}.get(path.suffix)
    if reader is None:
        return ["expected the same bytes"], 0.0
    new, new_rest = reader(path)
    old, old_rest = reader(committed)
    faults = []
    if list(new) != list(old):
        faults.append(f"names differ: {sorted(set(new) ^ set(old)) or 'their order'}")
    if new_rest != old_rest:
        faults.append("what stands around the numbers differs")
    largest = 0.0
    for name in [name for name in new if name in old]:
        a, b = new[name], old[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            faults.append(f"{name}: expected {b.dtype} {b.shape}, got {a.dtype} {a.shape}")
        elif not np.array_equal(a, b):
            difference = np.abs(a.astype(float) - b).max() / np.abs(b).max()
            largest = max(largest, difference)
            tolerance = TOLERANCES.get(a.dtype.name, 0.0)
            if not difference <= tolerance:
                faults.append(f"{name}: largest difference {difference:.1e}, allowed {tolerance:.0e}")
    return faults, largest


def main():
    print(f"PyTorch {torch.__version__}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="recur_goldens_") as name:
        folder = pathlib.Path(name)
        for script in FOLDER.glob("*.py"):  # they write beside themselves
            shutil.copy(script, folder)
        before = set(folder.iterdir())
        for script in sorted(FOLDER.glob("export*.py")):
            subprocess.run([sys.executable, "-B", str(folder / script.name)], check=True)
        # files/ is for the readers: check_files.py lets them read new ones.
        written = sorted(path for path in set(folder.iterdir()) - before if path.is_file())
        for path in written:
            committed = FOLDER / path.name
            if not committed.exists():
                faults, text = ["is written, but not committed"], ""
            elif path.read_bytes() == committed.read_bytes():
                faults, text = [], "the same bytes"
            else:
                faults, largest = differences(path, committed)
                text = f"equal, largest difference {largest:.1e}"
            print(f"{path.name}: {'DIFFERS' if faults else text}")
            for fault in faults:
                print(f"  {fault}")
            failed = failed or bool(faults)
        stale = {path.name for path in FOLDER.glob("*.safetensors")} - {path.name for path in written}
        if stale or not written:
            print(f"no export*.py writes {sorted(stale) or 'anything'}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
