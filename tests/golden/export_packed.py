#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs PyTorch's recurrent modules on packed sequences and writes what they give.

    /usr/bin/python3 tests/golden/export_packed.py     # Debian, Ubuntu: apt install python3-torch

Writes packed.safetensors beside this script; the same PyTorch on the same processor writes the same
bytes again. A case holds, under `<case>/`:
  padded                     (T, B, I) or, with batch_first, (B, T, I); not zero at the padding
  data                       of the PackedSequence that pack_padded_sequence makes of it
  h_0, c_0                   initial states, in the order of the batch (only where there are some)
  parameter.<name>           every parameter
  output                     data of the packed output
  padded_output              what pad_packed_sequence makes of it, two steps longer than needed
  h_n, c_n                   final states
  d_padded_output, d_h_n, d_c_n     the upstream gradients
  grad.output                the gradient by `output`
  grad.data, grad.padded, grad.h_0, grad.c_0, grad.<name>      the gradients of everything
`__metadata__` holds the seed, the version of PyTorch and, as JSON, the configuration of each case,
batch_sizes, sorted_indices and unsorted_indices (null: none) among it.
"""

import json
import os
import sys
import zlib

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_io
from export import FOLDER, SEED, random

TOTAL = 2  # steps of padded_output behind the longest sequence


def run_case(name, config, tensors):
    """Runs one configuration, adds its arrays to `tensors` and its indices to `config`."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    dtype = getattr(torch, config["dtype"])
    is_lstm = config["module"] == "LSTM"
    inputs, hidden, lengths = config["input_size"], config["hidden_size"], config["lengths"]
    batch, steps = len(lengths), max(lengths)

    arguments = {key: config[key] for key in ("bias", "num_layers", "batch_first", "bidirectional")}
    if "nonlinearity" in config:
        arguments["nonlinearity"] = config["nonlinearity"]
    if config["proj_size"] > 0:
        arguments["proj_size"] = config["proj_size"]
    module = getattr(torch.nn, config["module"])(inputs, hidden, dtype=dtype, **arguments)
    with torch.no_grad():
        for parameter in module.parameters():
            values = random(generator, *parameter.shape, scale=1.0 / np.sqrt(hidden), shift=0.05)
            parameter.copy_(torch.from_numpy(values))

    def leaf(values):
        return torch.from_numpy(values).to(dtype).requires_grad_()

    rows = config["num_layers"] * (2 if config["bidirectional"] else 1)
    widths = [config["proj_size"] or hidden] + ([hidden] if is_lstm else [])
    shape = [batch, steps, inputs] if config["batch_first"] else [steps, batch, inputs]
    padded = leaf(random(generator, *shape, shift=0.1))
    if config["states"]:
        state = [leaf(random(generator, rows, batch, width, scale=0.7, shift=-0.1)) for width in widths]
    else:
        state = [leaf(np.zeros((rows, batch, width))) for width in widths]

    packed = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=config["batch_first"],
                                  enforce_sorted=config["enforce_sorted"])
    packed.data.retain_grad()
    output, last = module(packed, tuple(state) if is_lstm else state[0])
    last = list(last) if is_lstm else [last]
    if not config["states"]:  # left out is the same as zeros, whose gradients can be had
        assert torch.equal(module(packed)[0].data, output.data)
    output.data.retain_grad()
    padded_output, same = pad_packed_sequence(output, batch_first=config["batch_first"],
                                              total_length=steps + TOTAL)
    assert same.tolist() == lengths

    results = {"padded_output": padded_output, **dict(zip(["h_n", "c_n"], last))}
    upstream = {key: torch.from_numpy(random(generator, *tensor.shape, shift=0.05)).to(dtype)
                for key, tensor in results.items()}
    torch.autograd.backward(list(results.values()), list(upstream.values()))

    def keep(key, tensor):
        tensors[f"{name}/{key}"] = tensor.detach().numpy()

    keep("padded", padded)
    keep("data", packed.data)
    if config["states"]:
        for key, tensor in zip(["h_0", "c_0"], state):
            keep(key, tensor)
    for key, tensor in module.named_parameters():
        keep(f"parameter.{key}", tensor)
    keep("output", output.data)
    for key, tensor in results.items():
        keep(key, tensor)
    for key, tensor in upstream.items():
        keep(f"d_{key}", tensor)
    leaves = {"output": output.data, "data": packed.data, "padded": padded,
              **dict(zip(["h_0", "c_0"], state)), **dict(module.named_parameters())}
    for key, tensor in leaves.items():
        keep(f"grad.{key}", tensor.grad)

    for key in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        indices = getattr(packed, key)
        config[key] = None if indices is None else indices.tolist()


def make_cases():
    """Name → configuration."""
    cases = {}

    def add(module, label, lengths, suffix, dtype="float64", layers=1, bi=False, bias=True,
            batch_first=False, states=False, **fixed):
        order = "sorted" if lengths == sorted(lengths, reverse=True) else "unsorted"
        name = f"{label}_{order}_{suffix}_{'f64' if dtype == 'float64' else 'f32'}"
        assert name not in cases, name
        generator = np.random.default_rng([SEED + 3, zlib.crc32(name.encode())])
        cases[name] = {
            "module": module, "dtype": dtype,
            "input_size": int(generator.integers(2, 5)), "hidden_size": int(generator.integers(4, 7)),
            "num_layers": layers, "bias": bias, "batch_first": batch_first, "bidirectional": bi,
            "proj_size": 0, "lengths": lengths, "enforce_sorted": order == "sorted",
            "states": states, **fixed,
        }

    for module, label, fixed in (("LSTM", "lstm", {}), ("LSTM", "lstm_proj", {"proj_size": 2}),
                                 ("GRU", "gru", {}), ("RNN", "rnn_tanh", {"nonlinearity": "tanh"}),
                                 ("RNN", "rnn_relu", {"nonlinearity": "relu"})):
        for lengths in ([7, 5, 5, 2, 1, 1], [2, 1, 3, 2, 10, 5, 3]):
            add(module, label, lengths, "l1", **fixed)
            add(module, label, lengths, "l2_bi_states", layers=2, bi=True, states=True, **fixed)
            add(module, label, lengths, "l2_bi_states", "float32", layers=2, bi=True, states=True, **fixed)
        add(module, label, [2, 1, 3, 2, 10, 5, 3], "l2_bf_nobias_states", layers=2, bias=False,
            batch_first=True, states=True, **fixed)
        add(module, label, [7, 5, 5, 2, 1, 1], "l1_bi_bf", bi=True, batch_first=True, **fixed)
    add("LSTM", "lstm", [5], "one_bi", bi=True)
    add("GRU", "gru", [4, 4, 4], "equal_bi_states", bi=True, states=True)
    return cases


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cases = make_cases()
    tensors = {}
    for name, config in cases.items():
        run_case(name, config, tensors)
    path = os.path.join(FOLDER, "packed.safetensors")
    safetensors_io.save(path, tensors, {
        "seed": str(SEED), "torch": torch.__version__,
        "cases": json.dumps(cases, separators=(",", ":")),
    })
    print(f"packed.safetensors: {len(cases)} cases, {os.path.getsize(path)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
