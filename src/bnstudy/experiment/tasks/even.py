"""Targets without an odd part: cosines of three frequencies along three orthogonal directions."""

import numpy as np

from bnstudy.experiment.data import Points, scaled

DIRECTIONS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
FREQUENCIES = np.array([1, 2, 4])  # up to 2 waves across the inputs' range


@scaled
def targets(u: Points) -> Points:
    """cos(ω_k d_k · u) for each k."""
    return np.cos(FREQUENCIES * (u @ DIRECTIONS.T))
