"""Several frequencies in each target: sines with random phases, so neither odd nor even."""

import numpy as np

from bnstudy.experiment.data import Points, scaled

FREQUENCIES = np.array([1, 2, 4, 8])  # up to 4 waves across the inputs' range
_generator = np.random.RandomState(0)  # NumPy keeps its stream from version to version
DIRECTIONS = _generator.normal(size=(3, len(FREQUENCIES), 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=-1, keepdims=True)
PHASES = _generator.uniform(0, 2 * np.pi, size=(3, len(FREQUENCIES)))


@scaled
def targets(u: Points) -> Points:
    """Σ_ω sin(ω d · u + φ) / ω for each target."""
    waves = np.sin(FREQUENCIES * np.einsum("...i,tfi->...tf", u, DIRECTIONS) + PHASES)
    return (waves / FREQUENCIES).sum(axis=-1)
