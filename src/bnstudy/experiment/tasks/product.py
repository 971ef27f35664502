"""Interactions alone: the product of each pair of inputs, nothing of one input by itself."""

import numpy as np

from bnstudy.experiment.data import Points, scaled


@scaled
def targets(u: Points) -> Points:
    """(r g, g b, b r)."""
    return u * np.roll(u, -1, axis=-1)
