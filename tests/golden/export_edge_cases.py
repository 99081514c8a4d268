#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs PyTorch's recurrent modules where they are at their limits and writes what they give.

    /usr/bin/python3 tests/golden/export_edge_cases.py     # Debian, Ubuntu: apt install python3-torch

Writes edge_cases.safetensors beside this script: two modules, one upon the other, that share their
parameters (tied_…), and one layer over a thousand steps (long_…). The arrays of a case are those of
export.py; the gradients of tied parameters are PyTorch's sums over both modules.
"""

import json
import os
import sys
import zlib

import numpy as np
import torch

import safetensors_io
from export import FOLDER, SEED, random

CASES = {
    "tied_lstm": {"module": "LSTM", "input_size": 4, "hidden_size": 4, "steps": 6, "batch": 3},
    "tied_gru": {"module": "GRU", "input_size": 5, "hidden_size": 5, "steps": 6, "batch": 3},
    "tied_rnn": {"module": "RNN", "input_size": 3, "hidden_size": 3, "steps": 6, "batch": 3,
                 "nonlinearity": "tanh"},
    "long_lstm": {"module": "LSTM", "input_size": 1, "hidden_size": 3, "steps": 1000, "batch": 1},
    "long_gru": {"module": "GRU", "input_size": 1, "hidden_size": 3, "steps": 1000, "batch": 1},
    "long_rnn": {"module": "RNN", "input_size": 1, "hidden_size": 3, "steps": 1000, "batch": 1,
                 "nonlinearity": "tanh"},
}


def run_case(name, config, tensors):
    """Runs one configuration and adds its arrays to `tensors`."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    arguments = {key: config[key] for key in ("nonlinearity",) if key in config}
    module = getattr(torch.nn, config["module"])(config["input_size"], config["hidden_size"],
                                                 dtype=torch.float64, **arguments)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(random(generator, *parameter.shape, scale=0.5, shift=0.05)))
    x = torch.from_numpy(random(generator, config["steps"], config["batch"], config["input_size"],
                                shift=0.1)).requires_grad_()
    output, _ = module(x)
    if name.startswith("tied_"):
        second = getattr(torch.nn, config["module"])(config["input_size"], config["hidden_size"],
                                                     dtype=torch.float64, **arguments)
        for key, _ in list(module.named_parameters()):
            setattr(second, key, getattr(module, key))
        output, _ = second(output)
    d_output = torch.from_numpy(random(generator, *output.shape, shift=0.05))
    output.backward(d_output)

    config.update({"dtype": "float64", "num_layers": 1, "bias": True, "batch_first": False,
                   "bidirectional": False, "proj_size": 0})
    arrays = {"input": x, "output": output, "d_output": d_output, "grad.input": x.grad}
    for key, parameter in module.named_parameters():
        arrays[f"parameter.{key}"] = parameter
        arrays[f"grad.{key}"] = parameter.grad
    tensors.update({f"{name}/{key}": tensor.detach().numpy() for key, tensor in arrays.items()})


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tensors = {}
    for name, config in CASES.items():
        run_case(name, config, tensors)
    path = os.path.join(FOLDER, "edge_cases.safetensors")
    safetensors_io.save(path, tensors, {
        "seed": str(SEED), "torch": torch.__version__,
        "cases": json.dumps(CASES, separators=(",", ":")),
    })
    print(f"edge_cases.safetensors: {len(CASES)} cases, {os.path.getsize(path)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
