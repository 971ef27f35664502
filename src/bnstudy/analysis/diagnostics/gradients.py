"""The gradient of the step that led to the network."""

import numpy as np

from bnstudy.experiment.snapshots import Snapshot

COLUMNS = {
    "gradient_norm": "Euclidean norm, over all trained parameters, of the summed train loss's "
    "gradient in the epoch's last step"
}


def compute(snapshot: Snapshot) -> dict[str, float]:
    """The columns of one replicate at one epoch."""
    norms = [np.linalg.norm(part) for part in snapshot.gradients_by_name.values()]
    return {"gradient_norm": float(np.linalg.norm(norms))}
