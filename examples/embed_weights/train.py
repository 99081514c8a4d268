#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the filter of this example in PyTorch and writes its weights.

    /usr/bin/python3 examples/embed_weights/train.py    # Debian, Ubuntu: apt install python3-torch

Writes filter.safetensors (a state_dict) and filter_output.safetensors (`input` and PyTorch's `output`
of the 200 samples that filter.cpp runs) beside this script. The model learns an overdriven amplifier:
a low pass, tanh, and a slow sag of the gain. Seed 0; a minute on one core.
"""

import os
import sys

import numpy as np
import torch

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(FOLDER, "..", "..", "tests", "golden"))
import safetensors_io  # noqa: E402  pylint: disable=wrong-import-position


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, 16, batch_first=True)
        self.head = torch.nn.Linear(16, 1)

    def forward(self, x):
        return x + self.head(self.lstm(x)[0])


def amplifier(x):
    """x (B, T) -> (B, T)"""
    low = np.zeros(x.shape[0])
    level = np.zeros(x.shape[0])
    y = np.empty_like(x)
    for t in range(x.shape[1]):
        low = 0.6 * low + 0.4 * x[:, t]
        level = 0.95 * level + 0.05 * np.abs(low)
        y[:, t] = np.tanh(3 * low / (1 + 2 * level))
    return y


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for iteration in range(1, 801):
        if iteration == 600:
            optimizer.param_groups[0]["lr"] = 1e-3
        x = np.cumsum(generator.standard_normal((16, 100)), axis=1) * 0.3
        x = x - x.mean(axis=1, keepdims=True) + 0.3 * generator.standard_normal(x.shape)
        x = np.clip(x * generator.uniform(0.1, 1.0, (16, 1)), -1, 1)
        target = torch.from_numpy(amplifier(x)).float()
        loss = torch.mean((model(torch.from_numpy(x).float()[..., None])[..., 0] - target) ** 2)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if iteration % 100 == 0:
            print(f"iteration {iteration}: mean squared error {loss.item():.5f}", flush=True)

    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    safetensors_io.save(os.path.join(FOLDER, "filter.safetensors"), tensors)
    samples = ((37 * np.arange(200) % 200 - 100).astype(np.float32) / np.float32(100)).astype(np.float32)
    with torch.no_grad():
        output = model(torch.from_numpy(samples)[None, :, None])[0, :, 0].numpy()
    safetensors_io.save(os.path.join(FOLDER, "filter_output.safetensors"), {"input": samples, "output": output},
                        {"torch": torch.__version__})


if __name__ == "__main__":
    main()
