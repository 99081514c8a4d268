#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the files of export_files.py anew with the PyTorch and NumPy at hand, and runs the readers' tests on them.

    check_files.py IO_TESTS

IO_TESTS is the program io_tests. Exit code: 0 all passed, 1 not, 77 PyTorch is not installed.
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

import export_files


def main(program):
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}")
    with tempfile.TemporaryDirectory(prefix="recur_files_") as folder:
        export_files.main(folder)
        return subprocess.run([program, "--gtest_filter=TorchFile.*:Npy.*:LoadTensors.*"],
                              env={**os.environ, "RECUR_FILES_FOLDER": folder}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
