"""Datasets: inputs u, uniform on their ranges, targets as functions of u, and what the network
sees instead of u.

Tasks say what the targets are. That of the article has the total variance (about the mean, all
ranges [-1, 1]) 1016/45; tasks of another function are scaled to it, so that losses compare.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from bnstudy.config import members
from bnstudy.files import atomic, refusing_damage

RANGES = ("r", "g", "b")
LABEL_NOISE = 1  # sets the noise's random stream apart from any other of the same seed
ARTICLE_VARIANCE = 1016 / 45  # derived in tasks/article.py
# x = scale · u + shift of what the network sees
INPUTS = {
    "plain": ((1.0, 1.0, 1.0), 0.0),
    "shifted": ((1.0, 1.0, 1.0), 3.0),
    "stretched": ((10.0, 1.0, 0.1), 0.0),
}
Points = Float64[np.ndarray, "*points 3"]
Targets = Callable[[Points], Points]


@dataclass(frozen=True)
class Data:
    """Datasets of several replicates, one for each seed."""

    seeds: Int64[np.ndarray, " seed"]
    train_inputs: Float64[np.ndarray, "seed train 3"]
    train_targets: Float64[np.ndarray, "seed train 3"]
    test_inputs: Float64[np.ndarray, "seed test 3"]
    test_targets: Float64[np.ndarray, "seed test 3"]

    def select(self, seeds: Sequence[int]) -> "Data":
        """The replicates of `seeds`, in that order. KeyError where one is missing."""
        position = {seed: index for index, seed in enumerate(self.seeds.tolist())}
        index = [position[seed] for seed in seeds]
        return Data(**{name: array[index] for name, array in self.arrays().items()})

    def with_label_noise(self, sigma: float) -> "Data":
        """The same with independent N(0, sigma²) noise on every training target.

        Drawn from a generator of its own for each seed, so that without noise nothing else changes.
        """
        if sigma == 0:
            return self
        shape = self.train_targets.shape[1:]
        noise = [np.random.default_rng([LABEL_NOISE, s]).normal(size=shape) for s in self.seeds]
        return replace(self, train_targets=self.train_targets + sigma * np.stack(noise))

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def digests(self) -> dict[int, str]:
        """SHA-256 of each replicate's four arrays, by seed."""
        arrays = [array for name, array in self.arrays().items() if name != "seeds"]
        return {
            seed: hashlib.sha256(b"".join(a[index].tobytes() for a in arrays)).hexdigest()
            for index, seed in enumerate(self.seeds.tolist())
        }


def draw_inputs(
    generator: np.random.RandomState, size: int, ranges: Mapping[str, Sequence[float]]
) -> Float64[np.ndarray, "{size} 3"]:
    """All r first, then all g, then all b, as the original draws."""
    bounds = [(ranges[name][0], ranges[name][1]) for name in RANGES]
    return np.stack([generator.uniform(*ends, size) for ends in bounds], axis=-1)


def make_data(
    seeds: Iterable[int],
    task: str,
    inputs: str,
    *,
    train_size: int,
    test_size: int,
    ranges: Mapping[str, Sequence[float]],
    task_settings: Mapping[str, Any] | None = None,
) -> Data:
    """The datasets of `seeds`, each from its seed alone.

    NumPy's legacy generator, because the reference numbers come from its stream: first the training
    set, then the test set (ORIGINAL: `numpy.random.seed(0)`).
    """
    seeds = list(seeds)
    train, test = [], []
    for seed in seeds:
        generator = np.random.RandomState(seed)
        train.append(draw_inputs(generator, train_size, ranges))
        test.append(draw_inputs(generator, test_size, ranges))
    scale, shift = INPUTS[inputs]
    targets, settings = members.load("tasks", task).targets, task_settings or {}
    arrays: dict[str, np.ndarray] = {}
    for name, u in (("train", np.stack(train)), ("test", np.stack(test))):
        arrays[f"{name}_inputs"] = u * np.array(scale) + shift
        arrays[f"{name}_targets"] = targets(u, **settings)
    return Data(np.array(seeds), **arrays)


def task_jacobian(
    task: str,
    inputs: str,
    x: Float64[np.ndarray, "point 3"],
    task_settings: Mapping[str, Any] | None = None,
) -> Float64[np.ndarray, "point 3 3"]:
    """∂target_k/∂x_l of a task at points x that the network sees.

    The task's own, or by central differences, to about 1e-10 of the targets' size.
    """
    scale, shift = INPUTS[inputs]
    u = (x - shift) / np.array(scale)
    member, settings = members.load("tasks", task), task_settings or {}
    if hasattr(member, "jacobian"):
        return member.jacobian(u, **settings) / np.array(scale)
    return numerical_jacobian(lambda u: member.targets(u, **settings), u) / np.array(scale)


def numerical_jacobian(targets: Targets, u: Points) -> Float64[np.ndarray, "*points 3 3"]:
    """∂target_k/∂u_l by central differences; the step balances truncation and rounding."""
    steps = np.cbrt(np.finfo(float).eps) * np.eye(3)
    return np.stack([(targets(u + e) - targets(u - e)) / (2 * e.max()) for e in steps], axis=-1)


def variances(targets: Targets, nodes: int = 32) -> Float64[np.ndarray, " 3"]:
    """Each target's variance for inputs uniform on [-1, 1]³, by Gauss-Legendre quadrature."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    values = targets(np.array(list(product(points, repeat=3))))
    density = np.prod(list(product(weights / 2, repeat=3)), axis=1)
    return density @ (values - density @ values) ** 2


def scaled(targets: Targets) -> Targets:
    """`targets` times constants that give each of the three a third of the article's variance."""
    factors = np.sqrt(ARTICLE_VARIANCE / 3 / variances(targets))
    return lambda u: factors * targets(u)


def thresholds(task: str, nominal: Iterable[float]) -> dict[float, float]:
    """The loss of a task that stands for each `nominal` one of the article's.

    The same fraction of the task's variance (its VARIANCE, if that is not the article's), unless
    its THRESHOLDS say otherwise.
    """
    member = members.load("tasks", task)
    ratio = getattr(member, "VARIANCE", ARTICLE_VARIANCE) / ARTICLE_VARIANCE
    own = getattr(member, "THRESHOLDS", {})
    return {value: own.get(value, value * ratio) for value in nominal}


def write_data(path: str | Path, data: Data) -> None:
    """Datasets as an uncompressed npz."""
    with atomic(path) as temporary:
        np.savez(temporary, allow_pickle=False, **data.arrays())


def read_data(path: str | Path) -> Data:
    """The datasets of `write_data`. Nothing is unpickled."""
    with refusing_damage(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # np.load looks at checksums only in passing
                raise ValueError(f"the checksum of {damaged} is wrong")
        with np.load(path, allow_pickle=False) as arrays:
            return Data(**arrays)
