"""The function that the network computes: its Jacobian J = ∂y/∂x at the test points, and its size.

Weights say little: with BN their scale has no effect. What the network does with its inputs is
said by A = ∂z/∂x, z the pre-activations, and the output weights V.
"""

import numpy as np

from bnstudy.experiment.snapshots import Snapshot

COLUMNS = {
    "path_norm": "Σ over hidden units j of ‖A_j‖ ‖V_j‖, A_j = ∂z_j/∂x; where that depends on the "
    "point, the mean of ‖A_j‖ over the test points",
    "jacobian_norm": "mean ‖J‖_F over the test points (the article's targets: 9.07)",
    "jacobian_error": "mean ‖J - J*‖_F over the test points, J* the targets' Jacobian",
}


def compute(snapshot: Snapshot) -> dict[str, float]:
    """The columns of one replicate at one epoch."""
    found = snapshot.jacobian
    lengths = np.linalg.norm(snapshot.input_weights, axis=-2)  # (..., units)
    if lengths.ndim > 1:
        lengths = lengths.mean(axis=0)
    errors = found - snapshot.task_jacobian
    return {
        "path_norm": (lengths * np.linalg.norm(snapshot.output_weights, axis=1)).sum(),
        "jacobian_norm": np.linalg.norm(found, axis=(1, 2)).mean(),
        "jacobian_error": np.linalg.norm(errors, axis=(1, 2)).mean(),
    }
