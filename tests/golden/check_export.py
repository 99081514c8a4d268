#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exports modules with examples/load_pytorch/export.py and has the C++ program load_pytorch prove that it
computes the same; then changes one weight in each file, which it must refuse.

    check_export.py <program load_pytorch>

LSTM, GRU and RNN over layers, directions, batch_first, bias, projection, nonlinearity, float64, and
parameters stored as float16 and bfloat16; and a module of several members. Where there is the package
`safetensors`, it must read what export.py wrote. Exit code: 0 all as expected, 1 not.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "..", "examples", "load_pytorch"))

import torch

import export
import safetensors_io

try:
    import safetensors.torch
except ImportError:
    safetensors = None


def cases():
    """(name, module, example, dtype) of everything that is exported."""
    forecaster = export.Forecaster()
    yield "Forecaster", forecaster, torch.randn(5, 4, 3), None
    yield "Forecaster as float16", forecaster, torch.randn(5, 4, 3), torch.float16
    for name, layers, bidirectional, batch_first in itertools.product(
            ["LSTM", "GRU", "RNN"], [1, 3], [False, True], [False, True]):
        module = getattr(torch.nn, name)(3, 5, layers, batch_first=batch_first, bidirectional=bidirectional)
        yield f"{name}, {layers} layers, {bidirectional=}, {batch_first=}", module, torch.randn(4, 2, 3), None
    yield "LSTM, unbatched", torch.nn.LSTM(3, 5), torch.randn(7, 3), None
    yield "LSTM, projected", torch.nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True), torch.randn(4, 2, 3), None
    yield "GRU, no bias, double", torch.nn.GRU(3, 5, 2, bias=False).double(), torch.randn(4, 2, 3).double(), None
    yield "LSTM, double", torch.nn.LSTM(3, 5, 2).double(), torch.randn(4, 2, 3).double(), None
    yield "RNN, relu", torch.nn.RNN(3, 5, 2, nonlinearity="relu"), torch.randn(4, 2, 3), None
    yield "LSTM as float16", torch.nn.LSTM(3, 5, 2), torch.randn(4, 2, 3), torch.float16
    yield "GRU as bfloat16", torch.nn.GRU(3, 5, 2), torch.randn(4, 2, 3), torch.bfloat16


def run(program, path):
    finished = subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return finished.returncode, finished.stdout.decode()


def tamper(path):
    """Changes the first weight by a fifth of the usual range."""
    tensors, _ = safetensors_io.load(path)
    name = next(name for name in tensors if "weight_ih_l0" in name)
    with open(path, "rb") as file:
        contents = bytearray(file.read())
    raw = tensors[name].reshape(-1)
    changed = torch.from_numpy(raw).clone()
    changed[0] += 0.2
    dtype, (begin, end) = header_entry(contents, name)
    torch_dtype = next(t for t, text in export.DTYPES.items() if text == dtype)
    start = 8 + int.from_bytes(contents[:8], "little")
    contents[start + begin:start + end] = export.tensor_bytes(changed.to(torch_dtype))
    with open(path, "wb") as file:
        file.write(contents)


def header_entry(contents, name):
    length = int.from_bytes(contents[:8], "little")
    entry = json.loads(contents[8:8 + length].decode())[name]
    return entry["dtype"], entry["data_offsets"]


def main(program):
    torch.manual_seed(0)
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        for name, module, example, dtype in cases():
            count += 1
            before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
            export.save_with_check(module, example, path, dtype=dtype)
            assert all(torch.equal(before[key], t) for key, t in module.state_dict().items()), name
            if safetensors is not None:
                read = safetensors.torch.load_file(path)
                for key, tensor in before.items():
                    assert torch.equal(read[key], tensor if dtype is None else tensor.to(dtype)), (name, key)
            code, text = run(program, path)
            print(f"{name}: {text.splitlines()[0] if text else 'no output'}")
            if code != 0 or "as in PyTorch" not in text:
                failed += 1
            tamper(path)
            code, text = run(program, path)
            if code != 1 or "the model computes something else: largest difference at" not in text:
                print(f"{name}: a changed weight was not refused: {text}")
                failed += 1
    package = f"safetensors {safetensors.__version__}" if safetensors else "no package safetensors"
    print(f"{count} modules, {failed} failed (PyTorch {torch.__version__}, {package})")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
