#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Loads a state_dict saved by recur::save_state_dict into PyTorch and compares the outputs.

    check_roundtrip.py model.safetensors model_io.safetensors

The first file holds the parameters of export.Model, the second its input, output, encoder.h_n, encoder.c_n
and decoder.h_n as the library computed them. Exit code: 0 equal, 1 not, 77 PyTorch is not installed.
"""

import sys

try:
    import numpy as np
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

import export
import safetensors_io


def main(model_path, io_path):
    tensors, metadata = safetensors_io.load(model_path)
    assert metadata == {"format": "pt"}, metadata
    model = export.Model()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=True)
    assert list(model.state_dict()) == list(tensors), "the order of the names differs"

    arrays, _ = safetensors_io.load(io_path)
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
