"""What every system trains: the article's problem, with the same data and initial weights."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnstudy.config import members
from bnstudy.config.cell import ARTICLE, Cell
from bnstudy.experiment.data import Data, make_data
from bnstudy.experiment.layers import initial_weights

TRAIN_SIZE, TEST_SIZE = 1000, 300
LEARNING_RATE = ARTICLE["learning_rate"]
RANGES = {"r": (-1.0, 1.0), "g": (-1.0, 1.0), "b": (-1.0, 1.0)}
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-6, "correction": 1}
ARMS = ("none", "batch")

# Trains for so many more epochs; returns the losses per sample, (2: train and test, R, epochs).
Run = Callable[[int], np.ndarray]
# (arm, width, replicates) -> a run of replicates 0, 1, ..., prepared
Prepare = Callable[[str, int, int], Run]


def settings_of(arm: str, width: int, **others: Any) -> dict[str, Any]:
    """A training job's settings: the article's, but for `others`, and its members' defaults."""
    cell = Cell(arm=arm, width=width, **ARTICLE | others)
    own = {
        "arm_settings": _defaults("arms", arm),
        "task_settings": _defaults("tasks", cell.task),
        "optimizer_settings": _defaults("optimizers", cell.optimizer),
    }
    shared = {"batch_norm": BATCH_NORM, "device": "cpu"}
    return {"cell": cell.name, **cell.values(), **own, **shared}


def _defaults(kind: str, name: str) -> dict[str, Any]:
    """The settings of a member that config.yaml does not name."""
    settings = members.declared(kind, name).get("SETTINGS", {})
    return {setting: options["default"] for setting, options in settings.items()}


def data_of(seeds: Iterable[int]) -> Data:
    """Their datasets, float64."""
    sizes = {"train_size": TRAIN_SIZE, "test_size": TEST_SIZE}
    return make_data(seeds, ARTICLE["task"], ARTICLE["inputs"], ranges=RANGES, **sizes)


def tensors_of(seeds: Iterable[int]) -> list[Tensor]:
    """Train inputs and targets (R, 1000, 3), test inputs and targets (R, 300, 3)."""
    _, *arrays = data_of(seeds).arrays().values()
    return [torch.from_numpy(array) for array in arrays]


def weights_of(width: int, replicates: int) -> tuple[Tensor, ...]:
    """W₁ (R, 3, width), b₁ (R, 1, width), W₂ (R, width, 3), b₂ (R, 1, 3), as the article draws."""
    draws = [initial_weights(seed, width).values() for seed in range(replicates)]
    return tuple(torch.stack(tensors) for tensors in zip(*draws, strict=True))


def per_sample(train: Sequence, test: Sequence) -> np.ndarray:
    """Summed losses, (R, epochs) each, to losses per sample (2, R, epochs)."""
    return np.stack([np.asarray(train) / TRAIN_SIZE, np.asarray(test) / TEST_SIZE])


def one_after_another(train_one: Callable[[str, int, int], Run]) -> Prepare:
    """A system that trains one model at a time; `train_one`: (arm, width, seed) -> run, R = 1."""

    def prepare(arm: str, width: int, replicates: int) -> Run:
        runs = [train_one(arm, width, seed) for seed in range(replicates)]
        return lambda epochs: np.concatenate([run(epochs) for run in runs], axis=1)

    return prepare
