#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs random configurations through PyTorch and through this library and compares everything.

    /usr/bin/python3 tests/golden/fuzz.py --count 2000 --seed 1            # Debian, Ubuntu: apt install python3-torch
    /usr/bin/python3 tests/golden/fuzz.py --seed 1 --only 1234             # one of them again

The library is reached through recur_eval (README.md beside this file), which the tests build. What is drawn: the cell,
sizes, layers, directions, bias, projection, batch_first, input without a batch, sequences of different lengths (plain
or packed), initial states, the type, and which upstream gradients there are. What is compared: output, final states, and
the gradients by the input, the initial states and every parameter.

The difference of a tensor is the largest one of its elements, over the tensor's largest element. It may be 1e-10 in
float64. In float32, where PyTorch's own rounding errors add up as ours do, both are compared with PyTorch in float64 on
the same numbers: the difference may be 1e-5, or, where that is more (saturated units, sums that cancel), three times the
largest one of nine runs of PyTorch in float32, eight of them on inputs with their last bit changed.

Each configuration depends on the seed and its number alone. Where one fails, its files stay in a folder that is
named. Last line: `N passed, M failed`. Exit code: 0 none failed, 1 some, 77 PyTorch is not installed.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_io

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOLERANCE_FLOAT64 = 1e-10
TOLERANCE_FLOAT32 = 1e-5
FACTOR_FLOAT32 = 3
CHANGED_RUNS = 8

# One, primes, and what lies around the widths of vector registers (4, 8, 16) and of tiles of them.
SMALL = [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17]
LARGE = [19, 23, 24, 31, 32, 33, 37, 47, 48, 49, 61, 64, 65, 67, 97, 127, 128, 129, 131]
LARGEST_WORK = 3e6  # multiplications of a forward pass

CONFIG_KEYS = ["cell", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "bidirectional", "proj_size",
               "dtype", "lengths", "packed", "enforce_sorted"]  # what recur_eval is told


def draw_config(rng, dtype):
    """One configuration: what recur_eval is told, and what else the files are made from."""
    def choice(values, p=None):
        return values[rng.choice(len(values), p=p)]

    def flag(probability=0.5):
        return bool(rng.random() < probability)

    def size():
        return choice(SMALL) if flag(0.85) else choice(LARGE)

    cell = choice(["lstm", "gru", "rnn_tanh", "rnn_relu"], [0.4, 0.3, 0.2, 0.1])
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    while True:
        config = {
            "cell": cell, "input_size": size(), "hidden_size": size(), "num_layers": choice([1, 2, 3], [0.5, 0.3, 0.2]),
            "bias": flag(0.75), "batch_first": flag(), "bidirectional": flag(), "proj_size": 0,
            "dtype": dtype if dtype != "both" else choice(["float64", "float32"], [0.7, 0.3]),
        }
        hidden = config["hidden_size"]
        if cell == "lstm" and hidden > 1 and flag(0.35):
            config["proj_size"] = int(rng.integers(1, hidden))
        steps = choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 33])
        batch = choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33])
        work = (steps * batch * gates * hidden * (config["input_size"] + hidden) * config["num_layers"]
                * (2 if config["bidirectional"] else 1))
        if work <= LARGEST_WORK:
            break

    kind = choice(["full", "unbatched", "lengths", "packed"], [0.35, 0.15, 0.25, 0.25])
    if kind == "unbatched":
        batch = None
    elif kind == "full" and flag(0.05):
        batch = 0
    elif kind in ("lengths", "packed"):
        lengths = rng.integers(0 if kind == "lengths" and flag() else 1, steps + 1, batch)
        if flag(0.7):
            lengths[rng.integers(batch)] = steps  # else the longest may end before the padded tensor does
        config["packed"] = kind == "packed"
        if kind == "packed" and flag(0.7):
            config["enforce_sorted"] = flag(0.6)
        if config.get("enforce_sorted") or flag(0.2):
            lengths = -np.sort(-lengths)
        config["lengths"] = lengths.tolist()
        if kind == "lengths" and flag():
            del config["packed"]  # false is the default

    states = ["h_0", "c_0"] if cell == "lstm" else ["h_0"]
    config["states"] = [] if flag(0.35) else states if flag(0.85) else [choice(states)]
    gradients = ["d_output", "d_h_n", "d_c_n"] if cell == "lstm" else ["d_output", "d_h_n"]
    config["upstream"] = gradients if flag() else [name for name in gradients if flag()]
    config["steps"], config["batch"] = steps, batch
    config["padding"] = "nan" if "lengths" in config and flag(0.3) else "random"
    return config


def make_module(config, dtype):
    arguments = {key: config[key] for key in ("num_layers", "bias", "batch_first", "bidirectional")}
    cell = config["cell"]
    if cell.startswith("rnn_"):
        arguments["nonlinearity"] = cell[4:]
    elif cell == "lstm":
        arguments["proj_size"] = config["proj_size"]
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(cell, torch.nn.RNN)
    return kind(config["input_size"], config["hidden_size"], dtype=dtype, **arguments)


def make_inputs(config, rng):
    """name → array: everything that recur_eval gets in IN."""
    hidden, steps, batch = config["hidden_size"], config["steps"], config["batch"]
    directions = 2 if config["bidirectional"] else 1
    out_size = config["proj_size"] or hidden
    if batch is None:
        sequences, middle = [steps], []
    else:
        sequences, middle = ([batch, steps] if config["batch_first"] else [steps, batch]), [batch]
    rows = [config["num_layers"] * directions]
    shapes = {
        "input": sequences + [config["input_size"]],
        "h_0": rows + middle + [out_size],
        "c_0": rows + middle + [hidden],
        "d_output": sequences + [directions * out_size],
        "d_h_n": rows + middle + [out_size],
        "d_c_n": rows + middle + [hidden],
    }

    def random(shape, scale=1.0, shift=0.0):
        return (rng.standard_normal(shape) * scale + shift).astype(config["dtype"])

    arrays = {}
    for name, parameter in make_module(config, torch.float64).named_parameters():
        arrays[name] = random(parameter.shape, scale=0.7 / np.sqrt(hidden), shift=0.03)
    for name in ["input"] + config["states"] + config["upstream"]:
        arrays[name] = random(shapes[name], shift=0.05)
    if config["padding"] == "nan":  # nobody may look there
        padding = np.arange(steps)[:, None] >= np.array(config["lengths"])
        for name in {"input", "d_output"} & set(arrays):
            arrays[name][padding.T if config["batch_first"] else padding] = np.nan
    return arrays


def run_layer(module, config, x, states):
    """The module on what it was given as, also on sequences of no steps: [output, h_n(, c_n)]."""
    def call(x, states):
        output, state = module(x, tuple(states) if len(states) == 2 else states[0])
        return output, list(state) if len(states) == 2 else [state]

    lengths = config.get("lengths")
    if lengths is None:
        output, state = call(x, states)
        return [output] + state

    # PyTorch has no sequences of no steps: they are left out. Their output is zero, their states stay.
    batch_axis = 0 if config["batch_first"] else 1
    kept = [b for b, length in enumerate(lengths) if length > 0]
    width = (2 if config["bidirectional"] else 1) * (config["proj_size"] or config["hidden_size"])
    output = x.new_zeros(x.shape[:2] + (width,))
    if not kept:
        return [output] + states
    index = torch.tensor(kept)
    packed = pack_padded_sequence(x.index_select(batch_axis, index), [lengths[b] for b in kept],
                                  batch_first=config["batch_first"],
                                  enforce_sorted=config.get("enforce_sorted", False))
    result, last = call(packed, [s.index_select(1, index) for s in states])
    padded, _ = pad_packed_sequence(result, batch_first=config["batch_first"], total_length=config["steps"])
    return [output.index_copy(batch_axis, index, padded)] + [
        s.index_copy(1, index, new) for s, new in zip(states, last)]


def reference(config, arrays, dtype):
    """What PyTorch gives in this type: name → array, the names of recur_eval's OUT."""
    module = make_module(config, dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))

    def leaf(array):
        return torch.from_numpy(array).to(dtype).requires_grad_()

    is_lstm = config["cell"] == "lstm"
    x = leaf(arrays["input"])
    middle = [] if config["batch"] is None else [config["batch"]]
    rows = config["num_layers"] * (2 if config["bidirectional"] else 1)
    widths = [config["proj_size"] or config["hidden_size"], config["hidden_size"]][:2 if is_lstm else 1]
    states = [leaf(arrays.get(name, np.zeros([rows] + middle + [width]))) for name, width in zip(["h_0", "c_0"], widths)]
    outputs = dict(zip(["output", "h_n", "c_n"], run_layer(module, config, x, states)))
    results = dict(outputs)
    if config["upstream"]:
        sources = {"d_input": x, **dict(zip(["d_h_0", "d_c_0"], states)),
                   **{f"grad.{name}": parameter for name, parameter in module.named_parameters()}}
        used = [name for name in config["upstream"] if outputs[name[2:]].requires_grad]
        gradients = [None] * len(sources)
        if used:
            gradients = torch.autograd.grad([outputs[name[2:]] for name in used], list(sources.values()),
                                            [torch.from_numpy(arrays[name]).to(dtype) for name in used],
                                            allow_unused=True)
        for (name, source), gradient in zip(sources.items(), gradients):
            results[name] = torch.zeros_like(source) if gradient is None else gradient
    return {name: tensor.detach().numpy() for name, tensor in results.items()}


def difference(actual, expected):
    """The largest difference of two elements over the largest element; not a number where either has one."""
    if expected.size == 0:
        return 0.0
    largest = np.abs(expected).max()
    worst = np.abs(actual.astype(np.float64) - expected).max()
    return float(worst / largest) if largest > 0 else float(worst)


class Statistics:
    """The largest difference by type and kind of tensor, of the library and, in float32, of PyTorch."""

    def __init__(self):
        self.largest = collections.defaultdict(lambda: [0.0, 0.0])

    def add(self, dtype, name, ours, theirs=0.0):
        kind = "parameters" if name.startswith("grad.") else name
        entry = self.largest[dtype, kind]
        entry[0], entry[1] = max(entry[0], ours), max(entry[1], theirs)

    def print(self):
        for (dtype, kind), (ours, theirs) in sorted(self.largest.items()):
            extra = f"    (PyTorch's own: {theirs:.1e})" if dtype == "float32" else ""
            print(f"  {dtype} {kind:10} largest difference {ours:.1e}{extra}")


def rounding_noise(config, arrays, expected):
    """name → the largest difference from `expected` of PyTorch in float32 on inputs with their last bit changed."""
    rng = np.random.default_rng(0)
    noise = {name: 0.0 for name in expected}
    for _ in range(CHANGED_RUNS):
        changed = {name: np.nextafter(array, np.where(rng.random(array.shape) < 0.5, np.inf, -np.inf).astype(array.dtype))
                   for name, array in arrays.items()}
        for name, array in reference(config, changed, torch.float32).items():
            noise[name] = max(noise[name], difference(array, expected[name]))
    return noise


def compare(config, arrays, actual, statistics):
    """Texts of what differs."""
    expected = reference(config, arrays, torch.float64)
    own = reference(config, arrays, torch.float32) if config["dtype"] == "float32" else None
    noise = None
    faults = []
    if list(actual) != list(expected):
        faults.append(f"expected the tensors {list(expected)}, got {list(actual)}")
    for name, array in expected.items():
        if name not in actual:
            continue
        got = actual[name]
        if got.shape != array.shape or got.dtype != config["dtype"]:
            faults.append(f"{name}: expected {config['dtype']} {array.shape}, got {got.dtype} {got.shape}")
            continue
        ours = difference(got, array)
        theirs = difference(own[name], array) if own else 0.0
        tolerance = TOLERANCE_FLOAT32 if own else TOLERANCE_FLOAT64
        if own and not ours <= tolerance:
            noise = noise or rounding_noise(config, arrays, expected)
            tolerance = max(tolerance, FACTOR_FLOAT32 * max(theirs, noise[name]))
        if not ours <= tolerance:  # also where it is not a number
            faults.append(f"{name}: largest difference {ours:.3e}, allowed {tolerance:.1e}")
        else:
            statistics.add(config["dtype"], name, ours, theirs)
    return faults


def files_of(folder, number):
    return [os.path.join(folder, f"{number}_{name}") for name in ("config.json", "in.safetensors", "out.safetensors")]


def run_program(program, folder, numbers):
    """recur_eval on all files of these numbers. Returns what it says on stderr."""
    list_path = os.path.join(folder, "list.txt")
    with open(list_path, "w", encoding="utf-8") as file:
        for number in numbers:
            file.write(" ".join(json.dumps(path, ensure_ascii=False) for path in files_of(folder, number)) + "\n")
    run = subprocess.run([program, "--list", list_path], stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode not in (0, 2):
        return run.stderr + f"\n{program} ended with code {run.returncode}"
    return run.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=2000, help="number of configurations, default 2000")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this configuration of the seed alone")
    parser.add_argument("--dtype", choices=["float32", "float64", "both"], default="both",
                        help="default: seven of ten in float64")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "tests", "tests", "recur_eval"),
                        help="recur_eval, default build/tests/tests/recur_eval")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the files of all configurations here")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.program):
        parser.error(f"{arguments.program}: no such program (bash tests/run.sh builds it; --program names another)")
    torch.set_num_threads(1)

    folder = arguments.keep or tempfile.mkdtemp(prefix="recur_fuzz_")
    os.makedirs(folder, exist_ok=True)
    numbers = [arguments.only] if arguments.only is not None else list(range(arguments.count))
    statistics = Statistics()
    passed = failed = 0
    chunk = 100
    for begin in range(0, len(numbers), chunk):
        group = {}
        for number in numbers[begin:begin + chunk]:
            rng = np.random.default_rng([arguments.seed, number])
            config = draw_config(rng, arguments.dtype)
            arrays = make_inputs(config, rng)
            group[number] = (config, arrays)
            config_path, in_path, _ = files_of(folder, number)
            with open(config_path, "w", encoding="utf-8") as file:
                json.dump({key: config[key] for key in CONFIG_KEYS if key in config}, file)
            safetensors_io.save(in_path, arrays)
        messages = run_program(arguments.program, folder, group)

        for number, (config, arrays) in group.items():
            out_path = files_of(folder, number)[2]
            if os.path.exists(out_path):
                faults = compare(config, arrays, safetensors_io.load(out_path)[0], statistics)
            else:
                message = run_program(arguments.program, folder, [number]) if len(group) > 1 else messages
                faults = [f"recur_eval wrote nothing: {message.strip()}"]
            if faults:
                failed += 1
                print(f"FAILED: --seed {arguments.seed} --dtype {arguments.dtype} --only {number}, "
                      f"files {os.path.join(folder, str(number))}_*")
                print(f"  {json.dumps(config)}")
                for fault in faults:
                    print(f"  {fault}")
            else:
                passed += 1
                if not arguments.keep:
                    for path in files_of(folder, number):
                        os.remove(path)
        if sys.stderr.isatty():
            print(f"\r{passed + failed} of {len(numbers)}", end="\r", file=sys.stderr)

    if not failed and not arguments.keep:
        shutil.rmtree(folder)
    print(f"PyTorch {torch.__version__}, seed {arguments.seed}")
    statistics.print()
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
