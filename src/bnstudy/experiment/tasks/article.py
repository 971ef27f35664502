"""The article's task: three noiseless targets, two linear in the inputs and one even.

For inputs (r, g, b), independent and uniform on their ranges:

    x = r + 2g + 3b,   y = r² + 2g² + 3b²,   lv = -3r - 4g - 5b.

With all ranges [-1, 1] a uniform u has E u = 0, Var u = 1/3, Var u² = 1/5 - 1/9 = 4/45. So the
targets' variances are (1 + 4 + 9)/3 = 14/3, (1 + 4 + 9)·4/45 = 56/45 and (9 + 16 + 25)/3 = 50/3:

- predicting the mean leaves 14/3 + 56/45 + 50/3 = 1016/45 = 22.578 per sample;
- the best linear predictor fits x and lv exactly and, as Cov(u, u²) = E u³ = 0, nothing of y:
  it leaves 56/45 = 1.2444 per sample.
"""

import numpy as np

from bnstudy.experiment.data import ARTICLE_VARIANCE, Points

VARIANCE = ARTICLE_VARIANCE


def targets(u: Points) -> Points:
    """(x, y, lv) of inputs (r, g, b)."""
    r, g, b = np.moveaxis(u, -1, 0)
    return np.stack(
        [r + 2 * g + 3 * b, r**2 + 2 * g**2 + 3 * b**2, -3 * r - 4 * g - 5 * b], axis=-1
    )


def jacobian(u: Points) -> np.ndarray:
    """∂(x, y, lv)/∂(r, g, b): (points, 3, 3)."""
    rows = np.zeros((len(u), 3, 3))
    rows[:, 0] = 1, 2, 3
    rows[:, 1] = 2 * u * np.array([1, 2, 3])
    rows[:, 2] = -3, -4, -5
    return rows
