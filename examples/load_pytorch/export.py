#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a PyTorch module, an example input and its output as one safetensors file.

    from export import save_with_check

    save_with_check(model, x, "model.safetensors")

In C++ recur::load_with_check(model, "model.safetensors", ...) loads the parameters, computes the output
of the example anew and refuses the file unless it is the same. Needs nothing but torch.

The file holds the state_dict under its names and, beside it (include/recur/io/self_test.hpp),

    self_test.input                the example
    self_test.output, .h_n, .c_n   what torch.nn.LSTM, GRU, RNN and their cells gave
    self_test.output               where the module gives one tensor,
    self_test.output.0, .1, ...    and where it gives a tuple; tuples in it: self_test.output.1.0

As a program it writes a model for main.cpp, the example's C++ half, to try it with:

    export.py FILE [--module LSTM|GRU|RNN|Forecaster] [--input-size 3] [--hidden-size 8] [--num-layers 2]
                   [--bidirectional] [--batch-first] [--no-bias] [--proj-size 0] [--nonlinearity relu]
                   [--double] [--dtype float16] [--seed 0]
"""

import argparse
import json
import os
import struct

import torch

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}
RECURRENT = (torch.nn.RNNBase, torch.nn.RNNCellBase)


def tensor_bytes(tensor):
    """The elements, row-major, little-endian."""
    tensor = tensor.detach().cpu().contiguous().reshape(-1)
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        tensor = tensor.view(torch.int16)
    array = tensor.numpy()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def save_safetensors(path, tensors, metadata):
    """Writes `tensors` (name: tensor) and `metadata` (string: string).

    8 bytes little-endian length of the header; the header, a JSON object padded with spaces to a
    multiple of 8; the data. Wider elements come first: then each tensor is aligned. The file is
    written beside `path` first, so that there is never a part of one.
    """
    header = {"__metadata__": metadata}
    end = 0
    order = sorted(tensors, key=lambda name: -tensors[name].element_size())
    for name in order:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES:
            raise ValueError(f"{name}: a tensor of {tensor.dtype} cannot be written")
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(struct.pack("<Q", len(text)))
            file.write(text)
            for name in order:
                file.write(tensor_bytes(tensors[name]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def flatten(result, name="output"):
    """Yields (name, tensor) for everything in nested tuples."""
    if torch.is_tensor(result):
        yield name, result
    elif isinstance(result, (tuple, list)):
        for k, part in enumerate(result):
            yield from flatten(part, f"{name}.{k}")
    else:
        raise TypeError(f"{name}: expected tensors and tuples of them, got {type(result).__name__}")


def name_outputs(module, result):
    """Names for what the module gave: PyTorch's own for recurrent modules."""
    if not isinstance(module, RECURRENT):
        return dict(flatten(result))
    if isinstance(module, torch.nn.RNNCellBase):
        state, named = result, {}
    else:
        output, state = result
        named = {"output": output}
    if isinstance(state, tuple):
        named["h_n"], named["c_n"] = state
    else:
        named["h_n"] = state
    return named


def describe(module):
    """The options of a recurrent module, so that C++ can build the same."""
    if not isinstance(module, torch.nn.RNNBase):
        return {"module": type(module).__name__}
    options = {"module": module.mode.split("_")[0]}
    if options["module"] == "RNN":
        options["nonlinearity"] = module.mode.split("_")[1].lower()
    for key in ("input_size", "hidden_size", "num_layers", "proj_size"):
        options[key] = str(getattr(module, key))
    for key in ("bias", "batch_first", "bidirectional"):
        options[key] = "true" if getattr(module, key) else "false"
    return options


def save_with_check(module, example, path, dtype=None, names=None, metadata=None):
    """Writes the parameters of `module`, `example` and module(example) to `path`.

    dtype: the parameters rounded to torch.float16 or bfloat16; the output is then that of the rounded
    ones, computed in the module's own precision, and the module is as before. names: of the outputs
    (after flattening), where the C++ model names them otherwise. metadata: more strings to keep. The
    module runs in evaluation mode.
    """
    state_dict = module.state_dict()
    stored = {name: tensor.detach().clone() for name, tensor in state_dict.items()}
    if dtype is not None:
        stored = {name: t.to(dtype) if t.is_floating_point() else t for name, t in stored.items()}
    for name in stored:
        if name.startswith("self_test."):
            raise ValueError(f"{name}: names below self_test are those of the check")
    original = {name: tensor.detach().clone() for name, tensor in state_dict.items()}
    training = module.training
    module.eval()
    try:
        module.load_state_dict({name: t.to(original[name].dtype) for name, t in stored.items()})
        with torch.no_grad():
            outputs = name_outputs(module, module(example))
    finally:
        module.load_state_dict(original)
        module.train(training)
    if names is not None:
        if len(names) != len(outputs):
            raise ValueError(f"expected {len(outputs)} names, got {len(names)}")
        outputs = dict(zip(names, outputs.values()))

    tensors = dict(stored)
    tensors["self_test.input"] = example
    for name, tensor in outputs.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name}: the module gives numbers that are not finite")
        tensors[f"self_test.{name}"] = tensor
    save_safetensors(path, tensors, {
        "format": "pt", "self_test": f"PyTorch {torch.__version__}", **describe(module), **(metadata or {})})


class Forecaster(torch.nn.Module):
    """An LSTM and a Linear that reads its last step; main.cpp has the same."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 8, num_layers=2, batch_first=True)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


def main():
    parser = argparse.ArgumentParser(description="Writes a model with an example, to be loaded by load_pytorch.")
    parser.add_argument("file")
    parser.add_argument("--module", default="Forecaster", choices=["LSTM", "GRU", "RNN", "Forecaster"])
    parser.add_argument("--input-size", type=int, default=3)
    parser.add_argument("--hidden-size", type=int, default=8)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--proj-size", type=int, default=0)
    parser.add_argument("--nonlinearity", default="tanh", choices=["tanh", "relu"])
    parser.add_argument("--no-bias", action="store_true")
    parser.add_argument("--batch-first", action="store_true")
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()

    torch.manual_seed(a.seed)
    if a.module == "Forecaster":
        a.input_size = 3
        module = Forecaster()
    else:
        options = {"num_layers": a.num_layers, "bias": not a.no_bias, "batch_first": a.batch_first,
                   "bidirectional": a.bidirectional}
        if a.module == "LSTM":
            options["proj_size"] = a.proj_size
        if a.module == "RNN":
            options["nonlinearity"] = a.nonlinearity
        module = getattr(torch.nn, a.module)(a.input_size, a.hidden_size, **options)
    example = torch.randn(5, 4, a.input_size)  # either (T, B, I) or (B, T, I)
    if a.double:
        module, example = module.double(), example.double()
    save_with_check(module, example, a.file, dtype=getattr(torch, a.dtype) if a.dtype else None)
    print(f"wrote {a.file}")


if __name__ == "__main__":
    main()
