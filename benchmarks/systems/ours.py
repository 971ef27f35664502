"""This project, and its limit: the fused loop alone."""

import numpy as np
import torch

from benchmarks.problem import (
    LEARNING_RATE,
    Run,
    data_of,
    network_of,
    per_sample,
    tensors_of,
)
from bnstudy.fused import Batch, FastNetwork
from bnstudy.training import Training


def prepare(arm: str, width: int, replicates: int) -> Run:
    """`bnstudy.training.Training`, as the study's jobs use it."""
    training = Training(
        network_of(arm, width, replicates), data_of(replicates), learning_rate=LEARNING_RATE
    )

    def run(epochs: int) -> np.ndarray:
        curves = training.run(epochs)
        return np.stack([curves.train_loss, curves.test_loss])

    return run


def prepare_limit(arm: str, width: int, replicates: int) -> Run:
    """The kernel with gradients on the train set and without on the test set; nothing is learnt.

    No autograd, no optimiser, no BN (which the kernel never sees): what no training loop around
    this kernel can go below. Its losses stay those of the initial weights.
    """
    x, t, test_x, test_t = tensors_of(replicates)
    train_batch, test_batch = Batch(x, t, width), Batch(test_x, test_t, width)
    network = network_of(arm, width, replicates)
    fast = FastNetwork(network)
    fast.train(train_batch, network.moments(x))  # folds once

    def run(epochs: int) -> np.ndarray:
        losses = torch.empty((2, epochs, replicates), dtype=torch.float64)
        for epoch in range(epochs):
            losses[0, epoch] = train_batch.losses(fast.parameters, fast.gradients)
            losses[1, epoch] = test_batch.losses(fast.parameters)
        return per_sample(losses[0].T, losses[1].T)

    return run
