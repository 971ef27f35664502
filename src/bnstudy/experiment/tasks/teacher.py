"""What the network could represent: a fixed random tanh network of a few units."""

import numpy as np

from bnstudy.experiment.data import Points, scaled

UNITS = 8
_generator = np.random.RandomState(0)  # NumPy keeps its stream from version to version
HIDDEN, BIAS = _generator.normal(size=(3, UNITS)), _generator.normal(size=UNITS)
OUTPUT = _generator.normal(size=(UNITS, 3))


@scaled
def targets(u: Points) -> Points:
    """tanh(u W + b) V."""
    return np.tanh(u @ HIDDEN + BIAS) @ OUTPUT
