#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the ONNX equations of export_conventions.py against ONNX Runtime.

    python3 tests/golden/check_conventions.py          # Debian sid: apt install python3-onnxruntime python3-onnx

Every node of the ONNX cases in conventions.safetensors is run by itself, in float32, which is what
ONNX Runtime's recurrent operators take. Differences may be 2e-6. Prints the largest for each case. (The
reference evaluator of the onnx package, 1.20, knows neither two directions, nor Relu, nor Y_c, and takes
"reverse" for "forward".) Exit code: 0 all equal, 1 not, 77 ONNX Runtime is not installed.
"""

import json
import os
import sys

import numpy as np

try:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
except ImportError as error:
    print(error)
    sys.exit(77)

import safetensors_io

FOLDER = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 2e-6


def make_model(config, direction, w, r, b, has_c):
    """A model of one node; inputs X, initial_h and, with a c, initial_c."""
    attributes = {"hidden_size": r.shape[2], "direction": direction}
    if config["module"] == "GRU":
        attributes["linear_before_reset"] = config["linear_before_reset"]
    if config["module"] == "RNN":
        attributes["activations"] = [config["activation"].capitalize()] * w.shape[0]
    names = ["X", "W", "R", "B" if b is not None else "", "", "initial_h"] + (["initial_c"] if has_c else [])
    outputs = ["Y", "Y_h"] + (["Y_c"] if has_c else [])
    node = helper.make_node(config["module"], names, outputs, name="node", **attributes)
    weights = {"W": w, "R": r, **({"B": b} if b is not None else {})}
    graph = helper.make_graph(
        [node], "graph",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * 3) for n in names if n and n not in weights],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [helper.make_tensor(n, TensorProto.FLOAT, a.shape, a.ravel().tolist()) for n, a in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def main():
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}")
    tensors, metadata = safetensors_io.load(os.path.join(FOLDER, "conventions.safetensors"))
    failed = False
    for name, config in json.loads(metadata["cases"]).items():
        if config["framework"] != "onnx":
            continue
        has_c = config["module"] == "LSTM"
        x = tensors[f"{name}/X"]
        largest = 0.0
        nodes = config["layers"] * (2 if config["pair"] else 1)
        parts = []
        for k in range(nodes):
            def get(key):
                array = tensors.get(f"{name}/{k}/{key}")
                return None if array is None else array.astype(np.float32)

            direction = ["forward", "reverse"][k % 2] if config["pair"] else config["direction"]
            model = make_model(config, direction, get("W"), get("R"), get("B"), has_c)
            inputs = {"X": x.astype(np.float32), "initial_h": get("initial_h")}
            expected = {"Y_h": get("Y_h")}
            if has_c:
                inputs["initial_c"] = get("initial_c")
                expected["Y_c"] = get("Y_c")
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            results = dict(zip(["Y", *expected], session.run(["Y", *expected], inputs)))
            for key, array in expected.items():
                largest = max(largest, np.abs(results[key] - array).max())
            parts.append(results["Y"])
            if not config["pair"] or k % 2 == 1:  # the next layer's input
                y = np.concatenate(parts, axis=1)
                parts = []
                x = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)
        largest = max(largest, np.abs(y - tensors[f"{name}/Y"]).max())
        print(f"{name}: largest difference {largest:.1e}")
        failed = failed or not largest <= TOLERANCE
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
