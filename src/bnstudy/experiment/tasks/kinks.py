"""Continuous targets with kinks, where no smooth function fits exactly."""

import numpy as np

from bnstudy.experiment.data import Points, scaled


@scaled
def targets(u: Points) -> Points:
    """(|r + g|, max(g, b), max(0, r - b))."""
    r, g, b = np.moveaxis(u, -1, 0)
    return np.stack([abs(r + g), np.maximum(g, b), np.maximum(0, r - b)], axis=-1)
