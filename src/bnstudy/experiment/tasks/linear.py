"""The article's two linear targets, and a third: nothing that needs the bend of tanh."""

import numpy as np

from bnstudy.experiment.data import Points, scaled

WEIGHTS = np.array([[1, 2, 3], [-3, -4, -5], [2, -1, 1]])


@scaled
def targets(u: Points) -> Points:
    """w · u for each row of weights."""
    return u @ WEIGHTS.T
