"""What training converges to: eight units, written down by hand, of which the loss goes to 0.

    u²   = lim (tanh(p + εu) + tanh(p - εu) - 2 tanh p) / (ε² tanh″ p),
    w·x  = lim tanh(ε w·x) / ε:

two units for each square of the article's second target, one for each of its linear ones.
"""

import numpy as np
from jaxtyping import Float64

PLACE = 0.658  # p: where |tanh″| is largest
EPSILONS = (1e-2, 3e-3, 1e-3)
LINEAR = np.array([[1.0, 2, 3], [-3, -4, -5]])
SQUARES = np.array([1.0, 2, 3])  # coefficients of r², g², b²


def eight_units(epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """W (3, 8), b (8,), V (8, 3), c (3,) of y = tanh(x W + b) V + c near the article's targets."""
    h = np.tanh(PLACE)
    gains = SQUARES / (epsilon**2 * -2 * h * (1 - h**2))  # tanh″ = -2 tanh (1 - tanh²)
    W = epsilon * np.hstack([LINEAR.T, np.eye(3), -np.eye(3)])
    b = np.repeat([0, PLACE], [2, 6])
    V = np.zeros((8, 3))
    V[0, 0] = V[1, 2] = 1 / epsilon
    V[2:, 1] = np.tile(gains, 2)
    return W, b, V, np.array([0, -2 * h * gains.sum(), 0])


def loss_of_eight_units(
    epsilon: float,
    inputs: Float64[np.ndarray, "sample 3"],
    targets: Float64[np.ndarray, "sample 3"],
) -> float:
    """The loss per sample, as the study takes it."""
    W, b, V, c = eight_units(epsilon)
    residuals = np.tanh(inputs @ W + b) @ V + c - targets
    return float((residuals**2).sum(axis=1).mean())


def infimum(points: int = 21) -> dict[float, float]:
    """The loss at each of EPSILONS, on a grid of so many points along each input in [-1, 1]."""
    axis = (np.arange(points) + 0.5) / points * 2 - 1
    inputs = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    first, last = (inputs @ LINEAR.T).T
    targets = np.stack([first, inputs**2 @ SQUARES, last], axis=1)
    return {epsilon: loss_of_eight_units(epsilon, inputs, targets) for epsilon in EPSILONS}
