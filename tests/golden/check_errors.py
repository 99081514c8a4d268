#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the rounding errors of recur's float32 with those of PyTorch's.

    check_errors.py <program recur_eval> [--seeds N] [--all]

Both are given the same parameters, inputs and gradients by the output; what PyTorch computes from them in
float64 is taken as exact. Prints for every cell and shape, and for the output and every gradient, the root
mean square of recur's errors divided by that of PyTorch's. Exit code: 0 if none is greater than LIMIT, else 1.

--all: more shapes, a thousand steps among them; takes a minute or two.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import safetensors_io

# Seen with PyTorch 2.14 (AVX-512): 1.02 (24 seeds: 1.01), the gradients by W_hh of the top of three GRUs of 100 units;
# how PyTorch adds up depends on its BLAS. Without AVX-512 recur's tanh is less exact
# (include/recur/kernels/activations.hpp): recur with AVX2 beside PyTorch with AVX-512 1.05, five of 210 above 1; with
# SSE2 1.10 in an earlier version.
LIMIT = 1.2
# T, B, input_size, hidden_size, num_layers
SHAPES = [(30, 4, 40, 64, 1), (28, 64, 28, 100, 2), (100, 16, 64, 64, 1)]
MORE_SHAPES = [(1000, 4, 40, 128, 2), (100, 32, 128, 256, 1), (28, 64, 28, 100, 3), (30, 16, 300, 300, 1),
               (20, 16, 512, 512, 1), (20, 16, 1024, 1024, 1)]
CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN}


def by_torch(module, x, d_output, dtype):
    """Output and gradients of a copy of the module that computes in dtype; float64 arrays."""
    copy = type(module)(module.input_size, module.hidden_size, module.num_layers).to(dtype)
    copy.load_state_dict(module.state_dict())
    x = x.to(dtype).clone().requires_grad_()
    output, _ = copy(x)
    output.backward(d_output.to(dtype))
    results = {"output": output.detach(), "d_input": x.grad}
    results.update({f"grad.{name}": p.grad for name, p in copy.named_parameters()})
    return {name: array.double().numpy() for name, array in results.items()}


def by_recur(program, folder, cell, module, x, d_output):
    config = {"cell": cell, "input_size": module.input_size, "hidden_size": module.hidden_size,
              "num_layers": module.num_layers, "bias": True, "batch_first": False, "bidirectional": False,
              "proj_size": 0, "dtype": "float32"}
    paths = [os.path.join(folder, name) for name in ("config.json", "in.safetensors", "out.safetensors")]
    with open(paths[0], "w") as file:
        json.dump(config, file)
    tensors = {name: p.detach().numpy() for name, p in module.state_dict().items()}
    safetensors_io.save(paths[1], {**tensors, "input": x.numpy(), "d_output": d_output.numpy()})
    subprocess.run([program, *paths], check=True)
    return safetensors_io.load(paths[2])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}; mean ratios of {arguments.seeds} seeds")
    greatest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for cell, module_class in CELLS.items():
            for T, B, input_size, hidden_size, layers in SHAPES + (MORE_SHAPES if arguments.all else []):
                ratios = {}
                for seed in range(arguments.seeds):
                    torch.manual_seed(seed)
                    module = module_class(input_size, hidden_size, layers)
                    x = torch.randn(T, B, input_size)
                    d_output = torch.randn(T, B, hidden_size)
                    exact = by_torch(module, x, d_output, torch.float64)
                    torchs = by_torch(module, x, d_output, torch.float32)
                    ours = by_recur(arguments.program, folder, cell, module, x, d_output)
                    for name, array in exact.items():
                        ratio = (np.linalg.norm(ours[name].astype(np.float64).reshape(array.shape) - array)
                                 / np.linalg.norm(torchs[name] - array))
                        ratios.setdefault(name, []).append(ratio)
                means = {name: np.mean(values) for name, values in ratios.items()}
                greatest = max(greatest, *means.values())
                print(cell, (T, B, input_size, hidden_size, layers), flush=True)
                print("   ", ", ".join(f"{name.replace('grad.', '')} {mean:.2f}" for name, mean in means.items()))
    print(f"the greatest: {greatest:.2f}")
    if not greatest <= LIMIT:  # or NaN
        print(f"check_errors.py: expected at most {LIMIT}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
