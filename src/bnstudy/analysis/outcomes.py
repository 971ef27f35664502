"""From loss curves to one number a run, and from the table of runs to one number a pair."""

import numpy as np
import pandas as pd

TARGET_VARIANCE = 1016 / 45  # what predicting the mean leaves; derived in bnstudy.data

# Quantities of which a failed run has the worst: not below that of predicting the mean, for losses.
WORSE_IF_LARGER = {
    "final_train_loss": TARGET_VARIANCE,
    "final_test_loss": TARGET_VARIANCE,
    "last_train_loss": TARGET_VARIANCE,
    "last_test_loss": TARGET_VARIANCE,
    "final_jacobian_error": 0.0,
}


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


def threshold_columns(threshold: float) -> tuple[str, str]:
    """Names of the two columns of runs.csv on one threshold."""
    return f"epochs_to_{threshold:g}", f"reached_{threshold:g}"


def paired(
    runs: pd.DataFrame, width: int, column: str, arm: str = "batch"
) -> tuple[np.ndarray, np.ndarray]:
    """`column` of the arms none and `arm` at `width`, (n,) each, for the seeds that both have,
    ordered by seed.

    A run that diverged has no loss: it counts as the worst of the cell (see `failures_as_worst`).
    Of other quantities nothing is worst, and its pair is left out; `failures` says how many.
    """
    cell = _pairs(runs, width, arm)
    if column in WORSE_IF_LARGER:
        cell = cell.assign(**{column: failures_as_worst(cell[column], WORSE_IF_LARGER[column])})
    table = cell.pivot(index="seed", columns="arm", values=column)
    table = table.reindex(columns=["none", arm]).dropna()
    return table["none"].to_numpy(), table[arm].to_numpy()


def failures_as_worst(values: pd.Series, at_least: float) -> pd.Series:
    """`values` with those that are not finite replaced by the largest finite one, or by `at_least`
    if that is larger. Where nothing is finite they stay: there is nothing to compare."""
    finite = np.isfinite(values)
    if finite.all() or not finite.any():
        return values
    return values.where(finite, max(values[finite].max(), at_least))


def failures(runs: pd.DataFrame, width: int, arm: str = "batch") -> tuple[int, int]:
    """How many runs of the arms none and `arm` diverged, among the pairs at `width`."""
    cell = _pairs(runs, width, arm)
    failed = cell[cell.status == "diverged"]
    return int((failed.arm == "none").sum()), int((failed.arm == arm).sum())


def _pairs(runs: pd.DataFrame, width: int, arm: str) -> pd.DataFrame:
    """The runs of none and `arm` at `width` whose seed both have."""
    cell = runs[(runs.width == width) & runs.arm.isin(["none", arm])]
    return cell[cell.groupby("seed").arm.transform("size") == 2]


def log_ratio(runs: pd.DataFrame, width: int, column: str, arm: str = "batch") -> np.ndarray:
    """d = ln(arm) - ln(none) of `column`, a pair each, ordered by seed. Not finite where all runs
    diverged: the tests refuse that by name."""
    none, other = paired(runs, width, column, arm)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(other.astype(float)) - np.log(none.astype(float))


def layer_factor(first: np.ndarray, last: np.ndarray, depth: int) -> np.ndarray:
    """Factor by which a gradient grows a layer on its way back: (first / last)^(1 / (depth - 1)).

    `first`, `last`: gradient norms at the first and last of `depth` hidden layers. A gradient that
    vanished or overflowed gives 0, infinity or NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return (first / last) ** (1 / (depth - 1))


def layer_factors(gradients: pd.DataFrame) -> pd.Series:
    """`layer_factor` of gradients.csv, by initialization, arm and seed."""
    index = ["initialization", "arm", "seed"]
    norms = gradients.pivot(index=index, columns="layer", values="gradient_norm")
    depth = norms.columns.max()
    return layer_factor(norms[1], norms[depth], depth)


def gradient_pairs(
    gradients: pd.DataFrame, initialization: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """H4: the layer factors of none and batch, and d = |ln batch| - |ln none|: (n,) each, by seed.

    d is below 0 where BN brings the factor nearer to 1. Not finite where a gradient vanished or
    overflowed; empty where the initialization was not probed.
    """
    rows = gradients[gradients.initialization == initialization]
    if rows.empty:
        return np.empty(0), np.empty(0), np.empty(0)
    factors = layer_factors(rows).unstack("arm")
    none, batch = factors["none"].to_numpy(), factors["batch"].to_numpy()
    with np.errstate(divide="ignore"):
        return none, batch, np.abs(np.log(batch)) - np.abs(np.log(none))


def digits_pairs(digits: pd.DataFrame, network: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """H5: epochs to the threshold of none and batch, and d = ln(batch) - ln(none): (n,) each."""
    rows = digits[digits.network == network]
    epochs = rows.pivot(index="seed", columns="arm", values="epochs_to_threshold")
    epochs = epochs.reindex(columns=["none", "batch"]).astype(float)
    none, batch = epochs["none"].to_numpy(), epochs["batch"].to_numpy()
    return none, batch, np.log(batch) - np.log(none)
