"""This project."""

from typing import Any

import numpy as np

from benchmarks.problem import Run, data_of, settings_of
from bnstudy.experiment.block import make_training


def prepare(arm: str, width: int, replicates: int, **settings: Any) -> Run:
    """`bnstudy.experiment.training.Training`, as the study's jobs use it; the article's settings,
    but for `settings`."""
    training = make_training(data_of(range(replicates)), settings_of(arm, width, **settings))

    def run(epochs: int) -> np.ndarray:
        curves = training.run(epochs)
        return np.stack([curves.train_loss, curves.test_loss])

    return run
