#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Computes recurrent layers by the documented equations of Keras and of ONNX, with their layouts of weights.

    python3 tests/golden/export_conventions.py         # needs NumPy alone; float64

Writes conventions.safetensors beside this script. The equations are those of the two specifications,
written down here gate by gate, and know nothing of PyTorch or of the library:
  Keras   the classes LSTM, GRU and SimpleRNN (keras.layers), one step as in their `call`
  ONNX    the operators LSTM, GRU and RNN (github.com/onnx/onnx, docs/Operators.md)
check_conventions.py holds the functions for ONNX against onnx.reference and ONNX Runtime.

A Keras case holds, under `<case>/`, for cell k (layer outer, direction inner; Bidirectional with
merge_mode="concat"):
  k/kernel (I, G·H), k/recurrent_kernel (H, G·H), k/bias (G·H) or, for GRU with reset_after, (2, 3·H)
  k/h_0, k/c_0, k/h_n, k/c_n     (B, H)
  input (B, T, I), output (B, T, D·H)
An ONNX case, for node k (a layer; two nodes, forward and reverse, where `pair` is true):
  k/W (D, G·H, I), k/R (D, G·H, H), k/B (D, 2·G·H), k/initial_h, k/initial_c, k/Y_h, k/Y_c (D, B, H)
  X (T, B, I), Y (T, D, B, H): of the first and of the last layer
`__metadata__` holds the seed and, as JSON, the configuration of each case.
"""

import json
import os
import sys
import zlib

import numpy as np

import safetensors_io

SEED = 20240301
FOLDER = os.path.dirname(os.path.abspath(__file__))
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def relu(a):
    return np.maximum(a, 0.0)


ACTIVATIONS = {"tanh": np.tanh, "relu": relu}


# ---- Keras: inputs (B, I), states (B, H), gates side by side in the columns ----


def keras_lstm_step(x, h, c, kernel, recurrent_kernel, bias):
    """Columns: i, f, c, o."""
    z = x @ kernel + h @ recurrent_kernel
    if bias is not None:
        z = z + bias
    z0, z1, z2, z3 = np.split(z, 4, axis=1)
    i, f, o = sigmoid(z0), sigmoid(z1), sigmoid(z3)
    c = f * c + i * np.tanh(z2)
    return o * np.tanh(c), c


def keras_gru_step(x, h, kernel, recurrent_kernel, bias, reset_after):
    """Columns: z, r, h. bias: (2, 3·H) with reset_after (input's, recurrent), else (3·H)."""
    input_bias = recurrent_bias = None
    if bias is not None:
        input_bias, recurrent_bias = bias if reset_after else (bias, None)
    matrix_x = x @ kernel
    if input_bias is not None:
        matrix_x = matrix_x + input_bias
    x_z, x_r, x_h = np.split(matrix_x, 3, axis=1)
    units = h.shape[1]
    if reset_after:
        matrix_inner = h @ recurrent_kernel
        if recurrent_bias is not None:
            matrix_inner = matrix_inner + recurrent_bias
    else:
        matrix_inner = h @ recurrent_kernel[:, :2 * units]
    z = sigmoid(x_z + matrix_inner[:, :units])
    r = sigmoid(x_r + matrix_inner[:, units:2 * units])
    if reset_after:
        recurrent_h = r * matrix_inner[:, 2 * units:]
    else:
        recurrent_h = (r * h) @ recurrent_kernel[:, 2 * units:]
    hh = np.tanh(x_h + recurrent_h)
    return z * h + (1 - z) * hh


def keras_simple_rnn_step(x, h, kernel, recurrent_kernel, bias, activation):
    h = x @ kernel + h @ recurrent_kernel
    return ACTIVATIONS[activation](h if bias is None else h + bias)


def keras_layer(config, x, weights, h, c, go_backwards):
    """One direction over x (B, T, I): outputs by the time of their input, and the last state."""
    steps = x.shape[1]
    outputs = [None] * steps
    for t in reversed(range(steps)) if go_backwards else range(steps):
        if config["module"] == "LSTM":
            h, c = keras_lstm_step(x[:, t], h, c, *weights)
        elif config["module"] == "GRU":
            h = keras_gru_step(x[:, t], h, *weights, config["reset_after"])
        else:
            h = keras_simple_rnn_step(x[:, t], h, *weights, config["activation"])
        outputs[t] = h
    return np.stack(outputs, axis=1), h, c


def run_keras(name, config, tensors):
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    gates = GATES[config["module"]] * config["hidden_size"]
    hidden, batch, directions = config["hidden_size"], config["batch"], config["directions"]

    def random(*shape, scale=1.0, shift=0.05):
        return generator.standard_normal(shape) * scale + shift

    x = random(batch, config["steps"], config["input_size"])
    tensors[f"{name}/input"] = x
    for layer in range(config["layers"]):
        outputs = []
        for direction in range(directions):
            where = f"{name}/{layer * directions + direction}"
            bias_shape = (2, gates) if config.get("reset_after") else (gates,)
            weights = [random(x.shape[2], gates, scale=hidden**-0.5), random(hidden, gates, scale=hidden**-0.5),
                       random(*bias_shape, scale=0.3) if config["bias"] else None]
            h, c = random(batch, hidden, scale=0.7), random(batch, hidden, scale=0.7)
            for key, array in zip(("kernel", "recurrent_kernel", "bias"), weights):
                if array is not None:
                    tensors[f"{where}/{key}"] = array
            output, h_n, c_n = keras_layer(config, x, weights, h, c, direction == 1)
            outputs.append(output)
            for key, array in (("h_0", h), ("h_n", h_n)) + (
                    (("c_0", c), ("c_n", c_n)) if config["module"] == "LSTM" else ()):
                tensors[f"{where}/{key}"] = array
        x = np.concatenate(outputs, axis=2)
    tensors[f"{name}/output"] = x


# ---- ONNX: X (T, B, I), weights of one direction by rows ----


def onnx_lstm(x, w, r, b, h, c):
    """Rows: i, o, f, c. Returns (Y, Y_h, Y_c)."""
    wi, wo, wf, wc = np.split(w, 4)
    ri, ro, rf, rc = np.split(r, 4)
    wbi, wbo, wbf, wbc, rbi, rbo, rbf, rbc = np.split(b, 8)
    y = []
    for xt in x:
        it = sigmoid(xt @ wi.T + h @ ri.T + wbi + rbi)
        ft = sigmoid(xt @ wf.T + h @ rf.T + wbf + rbf)
        ct = np.tanh(xt @ wc.T + h @ rc.T + wbc + rbc)
        c = ft * c + it * ct
        ot = sigmoid(xt @ wo.T + h @ ro.T + wbo + rbo)
        h = ot * np.tanh(c)
        y.append(h)
    return np.stack(y), h, c


def onnx_gru(x, w, r, b, h, linear_before_reset):
    """Rows: z, r, h."""
    wz, wr, wh = np.split(w, 3)
    rz, rr, rh = np.split(r, 3)
    wbz, wbr, wbh, rbz, rbr, rbh = np.split(b, 6)
    y = []
    for xt in x:
        zt = sigmoid(xt @ wz.T + h @ rz.T + wbz + rbz)
        rt = sigmoid(xt @ wr.T + h @ rr.T + wbr + rbr)
        if linear_before_reset:
            ht = np.tanh(xt @ wh.T + rt * (h @ rh.T + rbh) + wbh)
        else:
            ht = np.tanh(xt @ wh.T + (rt * h) @ rh.T + rbh + wbh)
        h = (1 - zt) * ht + zt * h
        y.append(h)
    return np.stack(y), h


def onnx_rnn(x, w, r, b, h, activation):
    wb, rb = np.split(b, 2)
    y = []
    for xt in x:
        h = ACTIVATIONS[activation](xt @ w.T + h @ r.T + wb + rb)
        y.append(h)
    return np.stack(y), h


def onnx_node(config, direction, x, w, r, b, h, c):
    """All directions of a node: (Y (T, D, B, H), Y_h, Y_c (D, B, H))."""
    results = []
    for d in range(w.shape[0]):
        backwards = direction == "reverse" or d == 1
        arguments = (x[::-1] if backwards else x, w[d], r[d], b[d], h[d])
        if config["module"] == "LSTM":
            y, *last = onnx_lstm(*arguments, c[d])
        elif config["module"] == "GRU":
            y, *last = onnx_gru(*arguments, config["linear_before_reset"])
        else:
            y, *last = onnx_rnn(*arguments, config["activation"])
        results.append((y[::-1] if backwards else y, *last))
    y, *last = (np.stack(arrays, axis=1 if k == 0 else 0) for k, arrays in enumerate(zip(*results)))
    return (y, *last)


def run_onnx(name, config, tensors):
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    hidden, batch = config["hidden_size"], config["batch"]
    gates = GATES[config["module"]] * hidden

    def random(*shape, scale=1.0, shift=0.05):
        return generator.standard_normal(shape) * scale + shift

    x = random(config["steps"], batch, config["input_size"])
    tensors[f"{name}/X"] = x
    node = 0
    for _ in range(config["layers"]):
        parts = []
        directions = ["forward", "reverse"] if config["pair"] else [config["direction"]]
        for direction in directions:
            where = f"{name}/{node}"
            node += 1
            count = 2 if direction == "bidirectional" else 1
            w, r = random(count, gates, x.shape[2], scale=hidden**-0.5), random(count, gates, hidden, scale=hidden**-0.5)
            b = random(count, 2 * gates, scale=0.3)
            h, c = random(count, batch, hidden, scale=0.7), random(count, batch, hidden, scale=0.7)
            if not config["bias"]:
                b = np.zeros_like(b)
            y, *last = onnx_node(config, direction, x, w, r, b, h, c)
            tensors[f"{where}/W"], tensors[f"{where}/R"] = w, r
            if config["bias"]:
                tensors[f"{where}/B"] = b
            tensors[f"{where}/initial_h"] = h
            tensors[f"{where}/Y_h"] = last[0]
            if config["module"] == "LSTM":
                tensors[f"{where}/initial_c"] = c
                tensors[f"{where}/Y_c"] = last[1]
            parts.append(y)
        y = np.concatenate(parts, axis=1)
        x = y.transpose(0, 2, 1, 3).reshape(y.shape[0], batch, -1)
    tensors[f"{name}/Y"] = y


def make_cases():
    """Name → configuration."""
    cases = {}

    def add(framework, label, module, suffix, **config):
        name = f"{framework}_{label}_{suffix}"
        generator = np.random.default_rng([SEED + 1, zlib.crc32(name.encode())])
        cases[name] = {"framework": framework, "module": module, "input_size": int(generator.integers(2, 5)),
                       "hidden_size": int(generator.integers(5, 8)), "batch": 2, "steps": 6, **config}

    for label, module, extra in (("lstm", "LSTM", {}), ("gru_reset_after", "GRU", {"reset_after": True}),
                                 ("gru_reset_before", "GRU", {"reset_after": False}),
                                 ("rnn_tanh", "RNN", {"activation": "tanh"}),
                                 ("rnn_relu", "RNN", {"activation": "relu"})):
        add("keras", label, module, "l1", layers=1, directions=1, bias=True, **extra)
        add("keras", label, module, "l1_nobias", layers=1, directions=1, bias=False, **extra)
        add("keras", label, module, "l2_bi", layers=2, directions=2, bias=True, **extra)
    for label, module, extra in (("lstm", "LSTM", {}), ("gru_linear_before_reset", "GRU", {"linear_before_reset": 1}),
                                 ("gru", "GRU", {"linear_before_reset": 0}), ("rnn_tanh", "RNN", {"activation": "tanh"}),
                                 ("rnn_relu", "RNN", {"activation": "relu"})):
        add("onnx", label, module, "l1", layers=1, direction="forward", pair=False, bias=True, **extra)
        add("onnx", label, module, "l1_nobias", layers=1, direction="forward", pair=False, bias=False, **extra)
        add("onnx", label, module, "l2_bi", layers=2, direction="bidirectional", pair=False, bias=True, **extra)
        add("onnx", label, module, "l2_pair", layers=2, direction="bidirectional", pair=True, bias=True, **extra)
    return cases


def main():
    cases = make_cases()
    tensors = {}
    for name, config in cases.items():
        (run_keras if config["framework"] == "keras" else run_onnx)(name, config, tensors)
    path = os.path.join(FOLDER, "conventions.safetensors")
    safetensors_io.save(path, tensors, {"seed": str(SEED), "cases": json.dumps(cases, separators=(",", ":"))})
    print(f"conventions.safetensors: {len(cases)} cases, {os.path.getsize(path)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
