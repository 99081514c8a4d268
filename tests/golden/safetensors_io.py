# SPDX-License-Identifier: MIT
"""Reads and writes .safetensors files with numpy alone, for whoever has no `safetensors` package.

A file saved by recur::save_state_dict goes into PyTorch like this:

    import torch
    from safetensors_io import load

    tensors, metadata = load("model.safetensors")
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})

and the other way round:

    from safetensors_io import save

    save("model.safetensors", {name: t.detach().numpy() for name, t in model.state_dict().items()})

The format: 8 bytes little-endian length of the header; the header, a JSON object

    {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}

padded with spaces so that the data begins at a multiple of 8; the data, row-major, little-endian.
"""

import json
import os
import struct

import numpy as np

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}
NAMES = {np.dtype(numpy_name): name for name, numpy_name in DTYPES.items()}


def load(path):
    """Returns (tensors, metadata): a dict of numpy arrays in the file's order, and a dict of strings.

    BF16, which numpy does not have, comes back as float32.
    """
    with open(path, "rb") as file:
        contents = file.read()
    if len(contents) < 8:
        raise ValueError(f"{path}: expected at least 8 bytes, got {len(contents)}")
    (length,) = struct.unpack_from("<Q", contents)
    if length > len(contents) - 8:
        raise ValueError(f"{path}: header of {length} bytes, but {len(contents) - 8} follow")
    header = json.loads(contents[8:8 + length].decode("utf-8"))
    data = contents[8 + length:]

    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= len(data):
            raise ValueError(f"{path}: {name}: offsets {begin} to {end} in {len(data)} bytes of data")
        if entry["dtype"] == "BF16":
            upper_halves = np.frombuffer(data[begin:end], "<u2").astype("<u4") << 16
            array = upper_halves.view("<f4")
        else:
            array = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).copy()
        tensors[name] = array.reshape(entry["shape"])
    return tensors, metadata


def save(path, tensors, metadata=None):
    """Writes `tensors` (name: numpy array) in their order, and `metadata` (string: string)."""
    header = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    parts = []
    begin = 0
    for name, array in tensors.items():
        array = np.asarray(array)
        shape = list(array.shape)
        part = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": NAMES[array.dtype.newbyteorder("<")],
            "shape": shape,
            "data_offsets": [begin, begin + len(part)],
        }
        begin += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)

    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for part in parts:
            file.write(part)
    os.replace(temporary, path)
