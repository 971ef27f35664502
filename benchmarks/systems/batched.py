"""PyTorch as one writes it for many seeds: tensors with an axis over them, autograd, its Adam.

The network is the readable definition of `bnstudy.experiment.layers`, so that every arm can be had.
"""

import numpy as np
import torch

from benchmarks.problem import LEARNING_RATE, Run, per_sample, settings_of, tensors_of
from bnstudy.experiment.layers import build_network


def prepare(arm: str, width: int, replicates: int) -> Run:
    """All replicates in one network."""
    x, t, test_x, test_t = tensors_of(range(replicates))
    network = build_network(arm, width, range(replicates), x, settings_of(arm, width))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

    def run(epochs: int) -> np.ndarray:
        losses = torch.empty((2, epochs, replicates), dtype=torch.float64)
        for epoch in range(epochs):
            network.train()
            optimizer.zero_grad()
            loss = (network(x) - t).square().sum((1, 2))
            loss.sum().backward()
            optimizer.step()
            network.eval()
            with torch.no_grad():
                test_loss = (network(test_x) - test_t).square().sum((1, 2))
                losses[:, epoch] = torch.stack([loss, test_loss])
        return per_sample(losses[0].T, losses[1].T)

    return run
