"""This project, and its limit: the compiled pass over the samples alone."""

from typing import Any

import numpy as np
import torch

from benchmarks.problem import Run, data_of, per_sample, settings_of, tensors_of
from bnstudy.experiment.block import make_training
from bnstudy.experiment.kernels import Batch


def prepare(arm: str, width: int, replicates: int, **settings: Any) -> Run:
    """`bnstudy.experiment.training.Training`, as the study's jobs use it; the article's settings,
    but for `settings`."""
    training = make_training(data_of(range(replicates)), settings_of(arm, width, **settings))

    def run(epochs: int) -> np.ndarray:
        curves = training.run(epochs)
        return np.stack([curves.train_loss, curves.test_loss])

    return run


def prepare_limit(arm: str, width: int, replicates: int) -> Run:
    """The kernel with gradients on the train set and without on the test set; nothing is learnt.

    No optimiser, no BN (which the kernel never sees): what no training loop around this kernel can
    go below. Its losses stay those of the initial weights.
    """
    x, t, test_x, test_t = tensors_of(range(replicates))
    train_batch, test_batch = Batch(x, t, width), Batch(test_x, test_t, width)
    training = make_training(data_of(range(replicates)), settings_of(arm, width))
    hidden = training.network.affine(training.network.moments(x))
    affine = torch.cat([part.detach().flatten(1) for part in hidden], dim=1).numpy()
    theta = training.parameters.numpy()
    gradients = np.empty_like(affine), np.empty_like(theta)

    def run(epochs: int) -> np.ndarray:
        losses = torch.empty((2, epochs, replicates), dtype=torch.float64)
        for epoch in range(epochs):
            losses[0, epoch] = train_batch.losses(affine, theta, gradients)
            losses[1, epoch] = test_batch.losses(affine, theta)
        return per_sample(losses[0].T, losses[1].T)

    return run
