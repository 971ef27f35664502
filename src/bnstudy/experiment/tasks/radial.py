"""Functions of the distance to the origin alone: a bump, a ring, a wave."""

import numpy as np

from bnstudy.experiment.data import Points, scaled


@scaled
def targets(u: Points) -> Points:
    """(exp(-4 s²), exp(-20 (s - 1)²), cos(2π s)) with s = |u|."""
    s = np.linalg.norm(u, axis=-1)
    return np.stack([np.exp(-4 * s**2), np.exp(-20 * (s - 1) ** 2), np.cos(2 * np.pi * s)], axis=-1)
