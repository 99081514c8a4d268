#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exports PyTorch's recurrent modules to .onnx files, and what the modules give.

    /usr/bin/python3 tests/golden/export_onnx.py       # Debian, Ubuntu: apt install python3-torch

Writes onnx_<model>.onnx by torch.onnx.export (no other package is needed) and onnx.safetensors beside
this script; the same PyTorch on the same processor writes the same bytes again. Another version may
write another graph (other names, Constant nodes for initialisers); the committed files stay those of
PyTorch 1.13. onnx.safetensors holds, under `<model>/`:
  input                      (T, B, I) or, with batch_first, (B, T, I)
  h_0, c_0                   where the model takes them as inputs
  parameter.<name>           every parameter
  output, h_n, c_n           what came out
`__metadata__` holds the seed, the version of PyTorch and, as JSON, the configuration of each model.
"""

import io
import json
import os
import sys
import warnings
import zlib

import numpy as np
import torch

import safetensors_io
from export import FOLDER, random

SEED = 20240302
OPSET = 14
MODELS = {
    "lstm": {"module": "LSTM", "num_layers": 2, "bidirectional": True},
    "lstm_states": {"module": "LSTM", "batch_first": True, "states": True},
    "gru": {"module": "GRU", "num_layers": 2},
    "gru_nobias": {"module": "GRU", "bidirectional": True, "bias": False, "dtype": "float64"},
    "rnn_tanh": {"module": "RNN", "nonlinearity": "tanh", "num_layers": 2},
    "rnn_relu": {"module": "RNN", "nonlinearity": "relu", "bidirectional": True},
}


def run_model(name, config, tensors):
    """Exports one model, adds its arrays to `tensors` and completes `config`."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    for key, default in (("num_layers", 1), ("bidirectional", False), ("bias", True), ("batch_first", False),
                         ("states", False), ("dtype", "float32"), ("input_size", 3), ("hidden_size", 4)):
        config.setdefault(key, default)
    dtype = getattr(torch, config["dtype"])
    arguments = {key: config[key] for key in ("num_layers", "bidirectional", "bias", "batch_first")}
    if "nonlinearity" in config:
        arguments["nonlinearity"] = config["nonlinearity"]
    module = getattr(torch.nn, config["module"])(config["input_size"], config["hidden_size"], dtype=dtype, **arguments)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(random(generator, *parameter.shape, scale=0.5, shift=0.05)))

    batch, steps = 1, 5  # the exporter warns of other batches with states of its own
    shape = [batch, steps] if config["batch_first"] else [steps, batch]
    x = torch.from_numpy(random(generator, *shape, config["input_size"])).to(dtype)
    inputs = [x]
    names = ["input"]
    if config["states"]:
        rows = config["num_layers"] * (2 if config["bidirectional"] else 1)
        state = [torch.from_numpy(random(generator, rows, batch, config["hidden_size"])).to(dtype)
                 for _ in range(2 if config["module"] == "LSTM" else 1)]
        inputs.append(tuple(state) if len(state) > 1 else state[0])
        names += ["h_0", "c_0"][:len(state)]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, tuple(inputs), file, opset_version=OPSET, input_names=names)
    with open(os.path.join(FOLDER, f"onnx_{name}.onnx"), "wb") as target:
        target.write(file.getvalue())

    with torch.no_grad():
        output, last = module(*inputs)
    last = list(last) if config["module"] == "LSTM" else [last]
    arrays = {"input": x, **(dict(zip(["h_0", "c_0"], state)) if config["states"] else {}),
              **{f"parameter.{key}": parameter for key, parameter in module.named_parameters()},
              "output": output, **dict(zip(["h_n", "c_n"], last))}
    for key, tensor in arrays.items():
        tensors[f"{name}/{key}"] = tensor.detach().numpy()


def main():
    torch.set_num_threads(1)
    tensors = {}
    for name, config in MODELS.items():
        run_model(name, config, tensors)
    path = os.path.join(FOLDER, "onnx.safetensors")
    safetensors_io.save(path, tensors, {"seed": str(SEED), "torch": torch.__version__,
                                        "cases": json.dumps(MODELS, separators=(",", ":"))})
    print(f"onnx.safetensors: {len(MODELS)} models, {os.path.getsize(path)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
