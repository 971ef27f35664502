"""Legendre polynomials of one input each, of degrees three, four and five."""

import numpy as np
from numpy.polynomial.legendre import Legendre

from bnstudy.experiment.data import Points, scaled

POLYNOMIALS = [Legendre.basis(degree) for degree in (3, 4, 5)]


@scaled
def targets(u: Points) -> Points:
    """(P₃(r), P₄(g), P₅(b))."""
    return np.stack([p(u[..., k]) for k, p in enumerate(POLYNOMIALS)], axis=-1)
