"""From loss curves to one number a run."""

import numpy as np


def log_spaced_epochs(epochs: int, points: int) -> np.ndarray:
    """At most `points` epochs in [0, epochs), evenly spaced in log(1 + epoch), ends included.

    Returns a sorted array of distinct integers. Where log spacing would put several points on one
    epoch (the first dozens), that epoch stands once, so the result can be shorter than `points`.
    """
    return np.unique(np.rint(np.geomspace(1, epochs, points)).astype(int)) - 1


def final_loss(losses: np.ndarray, window: int) -> np.ndarray:
    """Median over the last min(window, epochs) epochs.

    `losses` has shape (..., epochs); the result (...). A window, because Adam's spikes make the
    last epoch alone 10-20 % noise. A run with a non-finite loss in its window is a failed run: its
    final loss is infinite, so that it counts against its arm instead of vanishing as NaN.
    """
    tail = losses[..., -window:]
    return np.where(np.isfinite(tail).all(axis=-1), np.median(tail, axis=-1), np.inf)


def epochs_to(losses: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Epochs needed until a loss first is at or below `threshold`, and whether it ever was.

    `losses` has shape (..., epochs). Returns (T, reached): T = 1 + index of the first such epoch
    (later spikes are ignored); where there is none, T is the budget (censored) and reached False.
    """
    below = losses <= threshold
    reached = below.any(axis=-1)
    return np.where(reached, below.argmax(axis=-1) + 1, losses.shape[-1]), reached
