#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs PyTorch's recurrent modules and writes what they give: the golden files of the tests.

    /usr/bin/python3 tests/golden/export.py            # Debian, Ubuntu: apt install python3-torch

Writes lstm, gru, rnn and cells.safetensors (many small cases each) and model.safetensors with
model_io.safetensors (a state_dict and an input and output of its model) beside this script. The same
PyTorch on the same processor writes the same bytes again.

A case holds, under `<case>/`:
  input, h_0, c_0            what went in (states: only where the caller gave them)
  parameter.<name>           every parameter
  output, h_n, c_n           what came out (cells: h_n and c_n, the state after the step)
  d_output, d_h_n, d_c_n     the upstream gradients, those that the case has
  grad.input, grad.h_0, grad.c_0, grad.<name>   the gradients of everything
`__metadata__` holds the seed, the version of PyTorch and, as JSON, the configuration of each case.
"""

import json
import os
import sys
import zlib

import numpy as np
import torch

import safetensors_io

SEED = 20240229
FOLDER = os.path.dirname(os.path.abspath(__file__))


def random(generator, *shape, scale=1.0, shift=0.0):
    """Normal numbers off zero: no two entries alike, and no symmetry that would hide a wrong order."""
    return generator.standard_normal(shape) * scale + shift


def run_case(name, config, tensors):
    """Runs one configuration and adds its arrays to `tensors`."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    dtype = getattr(torch, config["dtype"])
    is_cell = config["module"].endswith("Cell")
    is_lstm = config["module"].startswith("LSTM")
    inputs, hidden = config["input_size"], config["hidden_size"]
    batch, steps = config["batch"], config["steps"]

    arguments = {"bias": config["bias"], "dtype": dtype}
    if "nonlinearity" in config:
        arguments["nonlinearity"] = config["nonlinearity"]
    if not is_cell:
        arguments.update({key: config[key] for key in ("num_layers", "batch_first", "bidirectional")})
        if config["proj_size"] > 0:
            arguments["proj_size"] = config["proj_size"]
    module = getattr(torch.nn, config["module"])(inputs, hidden, **arguments)
    with torch.no_grad():
        for parameter in module.parameters():
            values = random(generator, *parameter.shape, scale=1.0 / np.sqrt(hidden), shift=0.05)
            parameter.copy_(torch.from_numpy(values))

    # Shapes of the input and of the states.
    batch_shape = [] if batch is None else [batch]
    if is_cell:
        input_shape = batch_shape + [inputs]
        rows = []
    else:
        input_shape = [steps] + batch_shape + [inputs]
        if config["batch_first"] and batch is not None:
            input_shape = [batch, steps, inputs]
        rows = [config["num_layers"] * (2 if config["bidirectional"] else 1)]
    out_size = config.get("proj_size", 0) or hidden
    state_shapes = [rows + batch_shape + [out_size]]
    if is_lstm:
        state_shapes.append(rows + batch_shape + [hidden])

    def leaf(values):
        return torch.from_numpy(values).to(dtype).requires_grad_()

    x = leaf(random(generator, *input_shape, shift=0.1))
    if config["states"]:
        state = [leaf(random(generator, *shape, scale=0.7, shift=-0.1)) for shape in state_shapes]
    else:
        state = [leaf(np.zeros(shape)) for shape in state_shapes]

    def forward(*hx):
        result = module(x, *hx)
        if is_cell:
            return list(result) if is_lstm else [result]
        output, last = result
        return [output] + (list(last) if is_lstm else [last])

    outputs = forward(tuple(state) if is_lstm else state[0])
    if not config["states"]:  # left out is the same as zeros, whose gradients can be had
        assert all(torch.equal(a, b) for a, b in zip(outputs, forward()))
    output_names = ([] if is_cell else ["output"]) + ["h_n", "c_n"][:len(state)]
    results = dict(zip(output_names, outputs))
    upstream = {key: torch.from_numpy(random(generator, *results[key].shape, shift=0.05)).to(dtype)
                for key in config["upstream"]}

    inputs_of = {"input": x, **dict(zip(["h_0", "c_0"], state)), **dict(module.named_parameters())}
    gradients = torch.autograd.grad(
        [results[key] for key in upstream], list(inputs_of.values()), list(upstream.values()),
        allow_unused=True)

    def keep(key, tensor):
        tensors[f"{name}/{key}"] = tensor.detach().numpy()

    keep("input", x)
    if config["states"]:
        for key, tensor in zip(["h_0", "c_0"], state):
            keep(key, tensor)
    for key, tensor in module.named_parameters():
        keep(f"parameter.{key}", tensor)
    for key, tensor in results.items():
        keep(key, tensor)
    for key, tensor in upstream.items():
        keep(f"d_{key}", tensor)
    for (key, tensor), gradient in zip(inputs_of.items(), gradients):
        keep(f"grad.{key}", torch.zeros_like(tensor) if gradient is None else gradient)


def layer_cases(module, label, **fixed):
    """The grid of options for one module: name → configuration."""
    all_three = ["output", "h_n"] + (["c_n"] if module == "LSTM" else [])
    cases = {}

    def add(suffix, dtype="float64", layers=1, bi=False, bias=True, batch_first=False, batched=True,
            states=False, upstream=None, **sizes):
        name = f"{label}_{suffix}_{'f64' if dtype == 'float64' else 'f32'}"
        generator = np.random.default_rng([SEED + 1, zlib.crc32(name.encode())])
        config = {
            "module": module, "dtype": dtype,
            "input_size": int(generator.integers(3, 6)), "hidden_size": int(generator.integers(4, 8)),
            "num_layers": layers, "bias": bias, "batch_first": batch_first, "bidirectional": bi,
            "proj_size": 0, "steps": int(generator.integers(4, 7)),
            "batch": int(generator.integers(2, 4)) if batched else None,
            "states": states, "upstream": upstream or all_three,
        }
        config.update(fixed)
        config.update(sizes)
        cases[name] = config

    add("l1")
    add("l1_nobias_states", bias=False, states=True)
    add("l1_bi", bi=True)
    add("l1_bi_nobias_bf", bi=True, bias=False, batch_first=True)
    add("l2_states", layers=2, states=True)
    add("l2_bi_bf_states", layers=2, bi=True, batch_first=True, states=True)
    add("l3_nobias_bf", layers=3, bias=False, batch_first=True)
    add("l3_bi_states", layers=3, bi=True, states=True)
    add("l1_unbatched", batched=False)
    add("l2_bi_bf_nobias_unbatched_states", layers=2, bi=True, batch_first=True, bias=False, batched=False,
        states=True)
    add("l2_bi_d_output", layers=2, bi=True, states=True, upstream=["output"])
    add("l2_bi_d_h_n", layers=2, bi=True, states=True, upstream=["h_n"])
    add("l1_unbatched_d_h_n", batched=False, states=True, upstream=["h_n"])
    if module == "LSTM":
        add("l2_bi_d_c_n", layers=2, bi=True, states=True, upstream=["c_n"])
    add("l1_one_step_one_sequence", states=True, steps=1, batch=1)

    add("l1", "float32")
    add("l1_bi_bf_states", "float32", bi=True, batch_first=True, states=True)
    add("l2_nobias", "float32", layers=2, bias=False)
    add("l2_bi_states", "float32", layers=2, bi=True, states=True)
    add("l3_bf_states", "float32", layers=3, batch_first=True, states=True)
    add("l1_bi_unbatched_states", "float32", bi=True, batched=False, states=True)

    # Beyond one vector register of units, with a rest; a batch of more rows than a register tile.
    if module != "RNN" or fixed["nonlinearity"] == "tanh":
        big = {"proj_size": 9} if fixed.get("proj_size") else {}
        add("l1_h33_states", "float32", states=True, input_size=3, hidden_size=33, steps=3, batch=7, **big)
        add("l1_bi_h17", bi=True, states=True, input_size=5, hidden_size=17, steps=2, batch=3, **big)
    return cases


def cell_cases():
    cases = {}
    for module, label, fixed in (("LSTMCell", "lstm_cell", {}), ("GRUCell", "gru_cell", {}),
                                 ("RNNCell", "rnn_tanh_cell", {"nonlinearity": "tanh"}),
                                 ("RNNCell", "rnn_relu_cell", {"nonlinearity": "relu"})):
        is_lstm = module == "LSTMCell"

        def add(suffix, dtype="float64", bias=True, batched=True, states=True, upstream=None):
            name = f"{label}_{suffix}_{'f64' if dtype == 'float64' else 'f32'}"
            generator = np.random.default_rng([SEED + 1, zlib.crc32(name.encode())])
            cases[name] = {
                "module": module, "dtype": dtype,
                "input_size": int(generator.integers(3, 6)), "hidden_size": int(generator.integers(4, 8)),
                "bias": bias, "steps": 1, "batch": int(generator.integers(2, 4)) if batched else None,
                "states": states, "upstream": upstream or (["h_n", "c_n"] if is_lstm else ["h_n"]), **fixed,
            }

        add("states")
        add("nobias_states", bias=False)
        add("no_states", states=False)
        add("unbatched", batched=False)
        add("nobias_unbatched_no_states", bias=False, batched=False, states=False)
        if is_lstm:
            add("d_h_n", upstream=["h_n"])
            add("d_c_n", upstream=["c_n"])
        add("states", "float32")
        add("unbatched", "float32", batched=False)
    return cases


class Model(torch.nn.Module):
    """Two modules under names: what composites and prefixes are tested with."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = torch.nn.GRU(8, 5, bias=False, batch_first=True)

    def forward(self, x):
        encoded, (h, c) = self.encoder(x)
        decoded, last = self.decoder(encoded)
        return decoded, h, c, last


def export_model():
    generator = np.random.default_rng([SEED, 2])
    model = Model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(random(generator, *parameter.shape, scale=0.5, shift=0.05)))
    x = torch.from_numpy(random(generator, 2, 6, 3, shift=0.1)).float()
    with torch.no_grad():
        decoded, h, c, last = model(x)
    metadata = {"format": "pt"}
    safetensors_io.save(os.path.join(FOLDER, "model.safetensors"),
                        {name: tensor.numpy() for name, tensor in model.state_dict().items()}, metadata)
    arrays = {"input": x, "output": decoded, "encoder.h_n": h, "encoder.c_n": c, "decoder.h_n": last}
    safetensors_io.save(os.path.join(FOLDER, "model_io.safetensors"),
                        {name: tensor.numpy() for name, tensor in arrays.items()},
                        {"seed": str(SEED), "torch": torch.__version__})


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    files = {
        "lstm": {**layer_cases("LSTM", "lstm"), **layer_cases("LSTM", "lstm_proj", proj_size=3)},
        "gru": layer_cases("GRU", "gru"),
        "rnn": {**layer_cases("RNN", "rnn_tanh", nonlinearity="tanh"),
                **layer_cases("RNN", "rnn_relu", nonlinearity="relu")},
        "cells": cell_cases(),
    }
    for file, cases in files.items():
        tensors = {}
        for name, config in cases.items():
            run_case(name, config, tensors)
        path = os.path.join(FOLDER, f"{file}.safetensors")
        safetensors_io.save(path, tensors, {
            "seed": str(SEED), "torch": torch.__version__,
            "cases": json.dumps(cases, separators=(",", ":")),
        })
        print(f"{file}.safetensors: {len(cases)} cases, {os.path.getsize(path)} bytes", file=sys.stderr)
    export_model()


if __name__ == "__main__":
    main()
