#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes small files with torch.save and NumPy, for the tests of the readers, beside itself in files/.

    export_files.py [FOLDER]

Seed 5; the committed files: PyTorch 1.13, NumPy 1.24 (Debian 12). The values are whole numbers or come out of a
formula, so that the tests can state them; those of the state_dict stand in files/state_dict.safetensors, too.
"""

import collections
import io
import os
import sys
import zipfile

import numpy as np
import torch

import safetensors_io

SEED = 5


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 3)
        self.head = torch.nn.Linear(3, 1)


def counted(dtype, *shape):
    """0, 1, 2, ... in this shape."""
    return torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)


def torch_files():
    """Name of the file: object and options of torch.save."""
    torch.manual_seed(SEED)
    model = Model()
    state_dict = model.state_dict()

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    output, _ = model.lstm(torch.ones(4, 1, 2))
    model.head(output).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "loss": 0.25,
        "name": "tiny",
        "best": True,
        "none": None,
        "history": [1.5, (2, 3)],
        "tuple": (1, 2, 3, 4),
        "large": 1 << 40,
        "too_large": 1 << 100,
        "negative": -5,
        "bytes": b"abc",
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "set": {1, 2},
        "milestones": collections.Counter({10: 1}),
        "nested": {"ema": {"head": {"weight": counted(torch.float32, 2)}}},
        "ema.model": {"w": counted(torch.float32, 1)},
    }

    base = counted(torch.float32, 4, 6)
    views = {
        "base": base,
        "transposed": base.t(),
        "part": base[1:3, 2:5],
        "row": base[2],
        "every_second": base[:, ::2],
        "permuted": counted(torch.int16, 2, 3, 4).permute(2, 0, 1),
        "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
        "parameter": torch.nn.Parameter(torch.full((2,), 7.0)),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
    }
    dtypes = {
        str(dtype).removeprefix("torch."): counted(dtype, 3)
        for dtype in [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                      torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64]
    }
    tensor = counted(torch.float32, 2, 3)
    return {
        "state_dict.pt": (state_dict, {}),
        "state_dict_protocol4.pt": (state_dict, {"pickle_protocol": 4}),
        "checkpoint.pt": (checkpoint, {}),
        "views.pt": (views, {}),
        "dtypes.pt": (dtypes, {}),
        "tensor.pt": (tensor, {}),
        "list.pt": ([tensor, {"a": torch.ones(1)}], {}),
        "legacy.pt": ({"w": tensor}, {"_use_new_zipfile_serialization": False}),
        "module.pt": (torch.nn.Linear(1, 1), {}),
        "sparse.pt": ({"w": torch.eye(2).to_sparse()}, {}),
        "quantized.pt": ({"w": torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)}, {}),
        "complex128.pt": ({"w": torch.ones(1, dtype=torch.complex128)}, {}),
    }


def numpy_files():
    """Name of the file: its contents."""
    files = {}

    def npy(name, array, **options):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array, **options)
        files[name] = stream.getvalue()

    counted = np.arange(6).reshape(2, 3)
    npy("float32.npy", counted.astype("<f4"))
    npy("fortran.npy", np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype("<f8")))
    npy("big_endian.npy", (counted + 0.5).astype(">f4"))
    npy("big_endian_fortran.npy", np.asfortranarray(counted.astype(">f8")))
    npy("scalar.npy", np.array(2.5))
    npy("empty.npy", np.zeros((0, 3), "<f4"))
    npy("version2.npy", counted.astype("<f2"), version=(2, 0))
    npy("version3.npy", counted.astype("<f4"), version=(3, 0))
    npy("objects.npy", np.array([None, {}]), allow_pickle=True)
    npy("texts.npy", np.array(["a", "bc"]))
    npy("records.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))

    arrays = {"weight": counted.astype("<f4"), "layer.bias": np.arange(3.0), "steps": np.int64(7),
              "mask": np.array([True, False]), "big": counted.astype(">i2"), "zeros": np.zeros((10, 50), "<f4")}
    for name, save in [("arrays.npz", np.savez), ("compressed.npz", np.savez_compressed)]:
        stream = io.BytesIO()
        save(stream, counted.astype("<u1"), **arrays)
        files[name] = stream.getvalue()
    return files


def fixed_times(contents):
    """An archive with the times of its entries put to 1980, so that it comes out the same at any time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(contents)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            info = zipfile.ZipInfo(entry.filename)
            info.compress_type = entry.compress_type
            with new.open(info, "w", force_zip64=True) as file:  # as NumPy does
                file.write(old.read(entry))
    return stream.getvalue()


def main(folder):
    os.makedirs(folder, exist_ok=True)
    for name, (value, options) in torch_files().items():
        torch.save(value, os.path.join(folder, name), **options)
        if name == "state_dict.pt":
            safetensors_io.save(os.path.join(folder, "state_dict.safetensors"),
                                {key: tensor.numpy() for key, tensor in value.items()})
    for name, contents in numpy_files().items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(fixed_times(contents) if name.endswith(".npz") else contents)
    torch.manual_seed(SEED)
    scripted = torch.jit.script(torch.nn.Linear(1, 1))
    torch.jit.save(scripted, os.path.join(folder, "script.pt"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "files"))
