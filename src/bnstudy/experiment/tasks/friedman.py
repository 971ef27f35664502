"""The terms of Friedman's first function, on inputs mapped from [-1, 1] to [0, 1].

10 sin(π x₁ x₂) + 20 (x₃ - 1/2)² + 10 x₄ + 5 x₅ has five inputs; here x₄, x₅ are x₁, x₂ again.
Source: Friedman 1991, "Multivariate adaptive regression splines"; scikit-learn's make_friedman1.
"""

import numpy as np

from bnstudy.experiment.data import Points, scaled


@scaled
def targets(u: Points) -> Points:
    """Each of the three terms is a target of its own."""
    first, second, third = np.moveaxis((u + 1) / 2, -1, 0)
    terms = [np.sin(np.pi * first * second), (third - 0.5) ** 2, 10 * first + 5 * second]
    return np.stack(terms, axis=-1)
