"""The hidden features at the test points, in evaluation mode.

Pre-activations z are those that enter tanh, after whatever normalises them.
"""

import numpy as np
from jaxtyping import Float64

from bnstudy.experiment.snapshots import Snapshot

COLUMNS = {
    "mean_abs_z": "mean |z| of the pre-activations",
    "saturated_share": "share of hidden values with |tanh z| above `saturation`",
    "effective_rank": "exp of the entropy of the normalised singular values of the centred features"
    " (Roy & Vetterli 2007); missing where they are constant or not finite",
}
SETTINGS = {
    "saturation": {
        "default": 0.95,
        "gt": 0,
        "lt": 1,
        "description": "a hidden value with |tanh| above this is saturated",
    }
}


def compute(snapshot: Snapshot, *, saturation: float) -> dict[str, float]:
    """The columns of one replicate at one epoch."""
    h = snapshot.features
    return {
        "mean_abs_z": np.abs(snapshot.pre_activations).mean(),
        "saturated_share": (np.abs(h) > saturation).mean(),
        "effective_rank": effective_rank(h),
    }


def effective_rank(features: Float64[np.ndarray, "point unit"]) -> float:
    """exp of the entropy of the normalised singular values of the centred features.

    Between 1 and min(points - 1, units). Source: Roy & Vetterli 2007, "The effective rank".
    Features that are all constant have none: NaN; so have features that are not finite.
    """
    if not np.isfinite(features).all():
        return np.nan
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    if not values.any():
        return np.nan
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
