"""The article's dataset: three inputs, three noiseless targets, one linear in sum and one even.

For inputs (r, g, b), independent and uniform on their ranges:

    x = r + 2g + 3b,   y = r² + 2g² + 3b²,   lv = -3r - 4g - 5b.

With all ranges [-1, 1] a uniform u has E u = 0, Var u = 1/3, Var u² = 1/5 - 1/9 = 4/45. So the
targets' variances are (1 + 4 + 9)/3 = 14/3, (1 + 4 + 9)·4/45 = 56/45 and (9 + 16 + 25)/3 = 50/3:

- predicting the mean leaves 14/3 + 56/45 + 50/3 = 1016/45 = 22.578 per sample;
- the best linear predictor fits x and lv exactly and, as Cov(u, u²) = E u³ = 0, nothing of y:
  it leaves 56/45 = 1.2444 per sample.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

INPUTS = ("r", "g", "b")
LABEL_NOISE = 1  # sets the noise's random stream apart from any other of the same seed


@dataclass(frozen=True)
class Data:
    """Datasets of several replicates. S: replicates, n: points; float64.

    seeds (S,); train_inputs, train_targets (S, train_size, 3); test_inputs, test_targets
    (S, test_size, 3).
    """

    seeds: np.ndarray
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray

    def select(self, seeds: Sequence[int]) -> "Data":
        """The replicates of `seeds`, in that order. KeyError where one is not there."""
        position = {seed: index for index, seed in enumerate(self.seeds.tolist())}
        index = [position[seed] for seed in seeds]
        return Data(**{name: array[index] for name, array in self.arrays().items()})

    def with_label_noise(self, sigma: float) -> "Data":
        """The same with independent N(0, sigma²) noise on every training target.

        Drawn from a generator of its own a seed, so that without noise nothing else changes.
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


def targets(inputs: np.ndarray) -> np.ndarray:
    """(x, y, lv) of inputs (r, g, b); both of shape (..., 3)."""
    r, g, b = np.moveaxis(inputs, -1, 0)
    return np.stack(
        [r + 2 * g + 3 * b, r**2 + 2 * g**2 + 3 * b**2, -3 * r - 4 * g - 5 * b], axis=-1
    )


def draw_inputs(
    generator: np.random.RandomState, size: int, ranges: Mapping[str, Sequence[float]]
) -> np.ndarray:
    """`size` inputs (size, 3): all r first, then all g, then all b, as the original draws."""
    return np.stack([generator.uniform(*ranges[name], size) for name in INPUTS], axis=-1)


def make_data(
    seeds: Iterable[int], train_size: int, test_size: int, ranges: Mapping[str, Sequence[float]]
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
    train_inputs, test_inputs = np.stack(train), np.stack(test)
    return Data(
        np.array(seeds), train_inputs, targets(train_inputs), test_inputs, targets(test_inputs)
    )
