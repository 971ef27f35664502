"""What every system trains: the article's problem, with the same data and initial weights."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from bnstudy.data import Data, make_data
from bnstudy.networks import Network, initial_weights, make_network

TRAIN_SIZE, TEST_SIZE = 1000, 300
LEARNING_RATE = 1e-3
RANGES = {"r": (-1.0, 1.0), "g": (-1.0, 1.0), "b": (-1.0, 1.0)}
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}
ARMS = ("none", "batch")

# Trains for so many more epochs; returns the losses per sample, (2: train and test, R, epochs).
Run = Callable[[int], np.ndarray]
# (arm, width, replicates) -> a run of replicates 0, 1, ..., prepared
Prepare = Callable[[str, int, int], Run]


def data_of(replicates: int) -> Data:
    """The datasets of seeds 0, 1, ..., float64."""
    return make_data(range(replicates), TRAIN_SIZE, TEST_SIZE, RANGES)


def tensors_of(replicates: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train inputs and targets (R, 1000, 3), test inputs and targets (R, 300, 3)."""
    data = data_of(replicates)
    arrays = data.train_inputs, data.train_targets, data.test_inputs, data.test_targets
    return tuple(torch.from_numpy(array) for array in arrays)


def weights_of(width: int, replicates: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W₁ (R, 3, width), b₁ (R, 1, width), W₂ (R, width, 3), b₂ (R, 1, 3), as the article draws."""
    draws = [initial_weights(seed, width).values() for seed in range(replicates)]
    return tuple(torch.stack(tensors) for tensors in zip(*draws, strict=True))


def network_of(arm: str, width: int, replicates: int) -> Network:
    """This project's networks of seeds 0, 1, ..."""
    return make_network(arm, width, range(replicates), batch_norm=BATCH_NORM)


def per_sample(train: Sequence, test: Sequence) -> np.ndarray:
    """Summed losses, (R, epochs) each, to losses per sample (2, R, epochs)."""
    return np.stack([np.asarray(train) / TRAIN_SIZE, np.asarray(test) / TEST_SIZE])


def one_after_another(train_one: Callable[[str, int, int], Run]) -> Prepare:
    """A system that trains one model at a time; `train_one`: (arm, width, seed) -> run, R = 1."""

    def prepare(arm: str, width: int, replicates: int) -> Run:
        runs = [train_one(arm, width, seed) for seed in range(replicates)]
        return lambda epochs: np.concatenate([run(epochs) for run in runs], axis=1)

    return prepare
