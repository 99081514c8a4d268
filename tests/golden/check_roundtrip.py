#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loads a state_dict saved by recur::save_state_dict into PyTorch and compares the outputs.

    check_roundtrip.py model.safetensors model_io.safetensors [half.safetensors bfloat.safetensors]

The first file holds the parameters of export.Model, the second its input, output, encoder.h_n, encoder.c_n
and decoder.h_n as the library computed them; the others the parameters as F16 and BF16, which must be
PyTorch's own conversions. Where there is the package `safetensors`, it must read the same out of each.
Exit code: 0 equal, 1 not, 77 PyTorch is not installed.
"""

import sys

try:
    import numpy as np
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

try:
    import safetensors.torch
except ImportError:
    safetensors = None

import export
import safetensors_io


def load(path):
    """The tensors of a file, by the reader of this folder and by the reference implementation."""
    arrays, metadata = safetensors_io.load(path)
    if safetensors is not None:
        tensors = safetensors.torch.load_file(path)
        assert sorted(tensors) == sorted(arrays), path
        for name, tensor in tensors.items():
            widened = tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor
            assert np.array_equal(widened.numpy(), arrays[name]), (path, name)
        with safetensors.safe_open(path, framework="pt") as file:
            assert (file.metadata() or {}) == metadata, path
        print(f"{path}: safetensors {safetensors.__version__} reads the same")
    return arrays, metadata


def check_converted(path, tensors, dtype):
    """Every tensor must be PyTorch's conversion of that in `tensors`."""
    arrays, _ = load(path)
    assert list(arrays) == list(tensors), path
    for name, array in arrays.items():
        expected = torch.from_numpy(tensors[name]).to(dtype)
        got = torch.from_numpy(array).to(dtype)
        assert torch.equal(got, expected), (path, name)


def main(model_path, io_path, half_path=None, bfloat_path=None):
    tensors, metadata = load(model_path)
    assert metadata == {"format": "pt"}, metadata
    model = export.Model()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=True)
    assert list(model.state_dict()) == list(tensors), "the order of the names differs"

    if half_path:
        check_converted(half_path, tensors, torch.float16)
        check_converted(bfloat_path, tensors, torch.bfloat16)

    arrays, _ = load(io_path)
    with torch.no_grad():
        results = model(torch.from_numpy(arrays["input"]))
    worst = 0.0
    for name, result in zip(["output", "encoder.h_n", "encoder.c_n", "decoder.h_n"], results):
        expected = result.numpy()
        assert arrays[name].shape == expected.shape, (name, arrays[name].shape, expected.shape)
        difference = np.abs(arrays[name] - expected).max() / np.abs(expected).max()
        print(f"{name}: largest difference {difference:.2e}")
        worst = max(worst, difference)
    return 0 if worst <= 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
