"""What a network looks like inside while it learns: its features, gradients and effective weights.

Everything is taken from the folded network y = tanh(x A + a) V + c: with BN the raw weights say
nothing, because their scale has no effect. Features are those of the test points in evaluation
mode. One replicate at a time, so that no number depends on which replicates are trained together.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bnstudy.networks import Network

MEASURES = ("mean_abs_z", "saturated_share", "effective_rank", "gradient_norm", "path_norm",
            "jacobian_norm", "jacobian_error")  # fmt: skip


@torch.no_grad()
def measure(
    network: Network, inputs: Tensor, gradients: Mapping[str, Tensor], saturation: float
) -> dict[str, np.ndarray]:
    """MEASURES of R replicates, (R,) each, at the test points `inputs` (R, n, 3).

    `gradients`: those of the last step's summed train loss, by parameter, (R, ...) each.

    - mean_abs_z: mean |z| of the pre-activations z = x A + a;
    - saturated_share: share of |tanh z| above `saturation`;
    - effective_rank: see there; of the hidden features tanh z;
    - gradient_norm: Euclidean norm, over all trained parameters, of `gradients`;
    - path_norm: Σ_j ‖A_j‖ ‖V_j‖ over hidden units j;
    - jacobian_norm: mean over the points of ‖∂y/∂x‖_F (the target's own: 9.07 for inputs uniform on
      [-1, 1]); jacobian_error: the same of ∂y/∂x minus the target's.
    """
    network.eval()
    weights, biases = network.fold(None)
    rows = [
        _measure_one(*replicate, saturation)
        for replicate in zip(
            inputs.cpu().numpy(), weights.cpu().numpy(), biases.cpu().numpy(),
            network.output.weight.cpu().numpy(), strict=True,
        )
    ]  # fmt: skip
    norms = [
        [np.linalg.norm(gradient.cpu().numpy()) for gradient in replicate]
        for replicate in zip(*gradients.values(), strict=True)
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["gradient_norm"] = np.array([np.linalg.norm(norm) for norm in norms])
    return {name: columns[name] for name in MEASURES}


def _measure_one(
    x: np.ndarray, A: np.ndarray, a: np.ndarray, V: np.ndarray, saturation: float
) -> dict[str, float]:
    """The measures of one replicate: x (n, 3), A (3, width), a (1, width), V (width, 3)."""
    z = x @ A + a
    h = np.tanh(z)
    found = jacobian(h, A, V)
    return {
        "mean_abs_z": np.abs(z).mean(),
        "saturated_share": (np.abs(h) > saturation).mean(),
        "effective_rank": effective_rank(h),
        "path_norm": (np.linalg.norm(A, axis=0) * np.linalg.norm(V, axis=1)).sum(),
        "jacobian_norm": np.linalg.norm(found, axis=(1, 2)).mean(),
        "jacobian_error": np.linalg.norm(found - target_jacobian(x), axis=(1, 2)).mean(),
    }


def jacobian(h: np.ndarray, A: np.ndarray, V: np.ndarray) -> np.ndarray:
    """∂y/∂x of y = tanh(x A + a) V + c at n points: (n, 3 outputs, 3 inputs).

    h (n, width) are the features tanh(x A + a). ∂y_k/∂x_l = Σ_j (1 - h_j²) V_jk A_lj.
    """
    inputs, outputs = len(A), V.shape[1]
    products = (V[:, :, None] * A.T[:, None, :]).reshape(len(V), -1)
    return ((1 - h**2) @ products).reshape(len(h), outputs, inputs)


def target_jacobian(x: np.ndarray) -> np.ndarray:
    """∂(x, y, lv)/∂(r, g, b) of the article's targets (bnstudy.data) at points x (n, 3)."""
    rows = np.zeros((len(x), 3, 3))
    rows[:, 0] = 1, 2, 3
    rows[:, 1] = 2 * x * np.array([1, 2, 3])
    rows[:, 2] = -3, -4, -5
    return rows


def effective_rank(features: np.ndarray) -> float:
    """exp of the entropy of the normalised singular values of the centred features (n, width).

    Between 1 and min(n - 1, width). Source: Roy & Vetterli 2007, "The effective rank". Features
    that are all constant have none: NaN; so have features that are not finite.
    """
    if not np.isfinite(features).all():
        return np.nan
    centred = features - features.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    if not values.any():
        return np.nan
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
