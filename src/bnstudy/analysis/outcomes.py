"""From loss curves to one number per run, and from the table of runs to one number per pair.

A pair is two runs that share a seed: one of the reference arm, one of the arm compared with it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int, Num

from bnstudy.config.models import StudySettings
from bnstudy.experiment.data import ARTICLE_VARIANCE
from bnstudy.experiment.schedules import log_spaced_epochs

# The two arms that the article compares.
REFERENCE, TREATMENT = "none", "batch"
# How a run that diverged counts: as the worst value of its cell, with the whole budget of epochs,
# or not at all, because nothing is worst (its pair is left out).
Diverged = Literal["worst", "slowest", "left out"]

PAIR = (REFERENCE, TREATMENT)
LogRatios = Float64[np.ndarray, " pair"]
# Values of the reference and of the arm, d, and which runs of either are censored.
OwnPairs = tuple[LogRatios, LogRatios, LogRatios, tuple[Any, Any]]


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples, whose fields have no types of their own."""
    return table.itertuples()


def thinned_epochs(epochs: int) -> Int[np.ndarray, " point"]:
    """The epochs that figures show: at most 1000 evenly spaced and 300 log-spaced ones."""
    even = np.linspace(0, epochs - 1, 1000, dtype=int)
    return np.union1d(even, log_spaced_epochs(epochs, 300))


def final_loss(
    losses: Float64[np.ndarray, "*runs epoch"], window: int
) -> Float64[np.ndarray, "*runs"]:
    """Median over the last min(window, epochs) epochs.

    A window, because Adam's spikes make the last epoch alone 10-20 % noise. A run with a non-finite
    loss in its window is a failed run: its final loss is infinite, so that it counts against its
    arm instead of vanishing as NaN.
    """
    tail = losses[..., -window:]
    return np.where(np.isfinite(tail).all(axis=-1), np.median(tail, axis=-1), np.inf)


def epochs_to(
    losses: Float64[np.ndarray, "*runs epoch"], threshold: float
) -> tuple[Int[np.ndarray, "*runs"], Bool[np.ndarray, "*runs"]]:
    """Epochs needed until a loss first is at or below `threshold`, and whether it ever was.

    Returns (T, reached): T = 1 + index of the first such epoch (later spikes are ignored); where
    there is none, T is the budget (censored) and reached False.
    """
    below = np.less_equal(losses, threshold)
    reached = below.any(axis=-1)
    return np.where(reached, below.argmax(axis=-1) + 1, losses.shape[-1]), reached


def threshold_columns(threshold: float) -> tuple[str, str]:
    """Names of the two columns of runs.csv on one threshold."""
    return f"epochs_to_{threshold:g}", f"reached_{threshold:g}"


def grid_runs(runs: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """The runs with the study's default settings and seeds: any arm, at any width."""
    return runs[has_settings(runs, study.reference) & runs.seed.isin(study.study_seeds)]


def has_settings(table: pd.DataFrame, settings: Mapping[str, Any]) -> pd.Series:
    """Which rows have these values; a batch size may be a number there and a text here."""
    result = pd.Series(True, index=table.index)
    for name, value in settings.items():
        found = table[name].astype(str) if name == "batch_size" else table[name]
        result &= found == (str(value) if name == "batch_size" else value)
    return result


def cell_pairs(
    runs: pd.DataFrame,
    study: StudySettings,
    settings: Mapping[str, Any],
    arm: str = TREATMENT,
    reference: str = REFERENCE,
) -> pd.DataFrame:
    """The runs of two arms at these settings (see `at_settings`) on the study's seeds, as far as
    both have them."""
    rows = runs[at_settings(runs, study, settings) & runs.seed.isin(study.study_seeds)]
    return with_partner(rows, arm, reference)


def at_settings(
    table: pd.DataFrame, study: StudySettings, settings: Mapping[str, Any]
) -> pd.Series:
    """Which rows are of cells with these `settings` and else those of `defaults`. A tuned cell has
    its own learning rate and schedule, one with another batch size its own budget, if none is
    named."""
    free = ["learning_rate", "schedule"] if "tuned_for" in settings else []
    free += ["epochs"] if "batch_size" in settings and "epochs" not in settings else []
    wanted = {**study.reference, **settings}
    return has_settings(table, {name: v for name, v in wanted.items() if name not in free})


def tests_of_tasks(tests: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """The rows of significance.csv on single tasks and kinds of inputs, both arms tuned."""
    wanted = {"role": "tuned", "arm": TREATMENT, "optimizer": study.defaults.optimizer}
    return tests[has_settings(tests, wanted | study.analysis.tasks.model_dump())]


def by_batch_size(runs: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """The runs tuned for the final loss at the width for minibatches, with the `samples` of a step:
    of the arms with minibatches these, and the full batch trained for as many steps."""
    points, free = study.dataset.train_size, ("learning_rate", "schedule", "batch_size", "epochs")
    wanted = {name: value for name, value in study.reference.items() if name not in free}
    wanted |= {"width": study.analysis.minibatches.width, "tuned_for": "final_test_loss"}
    runs = runs[has_settings(runs, wanted) & runs.seed.isin(study.study_seeds)]
    samples = pd.to_numeric(runs.batch_size, errors="coerce").fillna(points).astype(int)
    steps = runs.epochs * np.ceil(points / samples)
    parts = samples < points
    compared = steps.isin(steps[parts]) & runs.arm.isin(runs.arm[parts])
    return runs.assign(samples=samples)[compared]


def with_partner(
    runs: pd.DataFrame, arm: str = TREATMENT, reference: str = REFERENCE
) -> pd.DataFrame:
    """The runs of both arms whose seed both have; `runs` hold one cell per arm."""
    both = runs[runs.arm.isin([reference, arm])]
    return both[both.groupby("seed").arm.transform("size") == 2]


def pair_table(
    runs: pd.DataFrame, column: str, arm: str, reference: str, diverged: Diverged
) -> pd.DataFrame:
    """`column` by seed and arm, of runs as `with_partner` gives; the pairs that have both values.

    `diverged`: see `Diverged`; `failures` says how many runs did. Empty where `runs` has no such
    column.
    """
    if runs.empty or column not in runs:
        return pd.DataFrame(columns=[reference, arm], dtype=float)
    if diverged == "worst":
        at_least = ARTICLE_VARIANCE if column.endswith("_loss") else 0.0
        runs = runs.assign(**{column: failures_as_worst(runs[column], at_least)})
    table = runs.pivot(index="seed", columns="arm", values=column)
    return table.reindex(columns=[reference, arm]).dropna()


def censored_pairs(
    runs: pd.DataFrame, column: str, arm: str, reference: str, diverged: Diverged
) -> tuple[pd.DataFrame, tuple[Bool[np.ndarray, " pair"], Bool[np.ndarray, " pair"]]]:
    """`pair_table`, and which runs of reference and arm never got to the column's threshold; none
    of a column that has no threshold."""
    values = pair_table(runs, column, arm, reference, diverged)
    reached = f"reached_{column.removeprefix('epochs_to_')}"
    got = pair_table(runs, reached, arm, reference, "left out").reindex(values.index).fillna(1.0)
    return values, (~got[reference].to_numpy(bool), ~got[arm].to_numpy(bool))


def failures_as_worst(values: pd.Series, at_least: float) -> pd.Series:
    """`values` with those that are not finite replaced by the largest finite one, or by `at_least`
    if that is larger: a loss is then no better than that of predicting the mean.

    Where nothing is finite they stay: there is nothing to compare.
    """
    finite = np.isfinite(values)
    if finite.all() or not finite.any():
        return values
    return values.where(finite, max(values[finite].max(), at_least))


def failures(
    runs: pd.DataFrame, arm: str = TREATMENT, reference: str = REFERENCE
) -> tuple[int, int]:
    """How many runs of the reference and of `arm` diverged."""
    failed = runs[runs.status == "diverged"]
    return int((failed.arm == reference).sum()), int((failed.arm == arm).sum())


def log_ratio(
    runs: pd.DataFrame, column: str, arm: str = TREATMENT, diverged: Diverged = "worst"
) -> LogRatios:
    """d = ln(arm) - ln(none) of `column` for each pair, ordered by seed, of runs that hold one cell
    per arm. Not finite where all runs diverged: the tests refuse that by name."""
    table = pair_table(with_partner(runs, arm), column, arm, REFERENCE, diverged)
    return log_ratio_of(table[REFERENCE].to_numpy(), table[arm].to_numpy())


def log_ratio_of(reference: Num[np.ndarray, " pair"], other: Num[np.ndarray, " pair"]) -> LogRatios:
    """d = ln(other) - ln(reference)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(other.astype(float)) - np.log(reference.astype(float))


def layer_factor(first: Any, last: Any, depth: Any) -> Any:
    """Factor by which a gradient grows per layer on its way back: (first / last)^(1 / (depth - 1)).

    `first`, `last`: gradient norms at the first and last of `depth` hidden layers; all as numbers,
    arrays or series. A gradient that vanished or overflowed gives 0, infinity or NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return (first / last) ** (1 / (depth - 1))


def layer_factors(gradients: pd.DataFrame) -> pd.Series:
    """`layer_factor` of gradients.csv, by depth, initialization, scale, arm and seed."""
    cells = gradients.set_index(["depth", "initialization", "scale", "arm", "seed"])
    depth = cells.index.get_level_values("depth")
    first, last = (cells.gradient_norm[cells.layer == layer] for layer in (1, depth))
    return layer_factor(first, last, first.index.get_level_values("depth"))


def gradient_pairs(gradients: pd.DataFrame, of: str) -> OwnPairs:
    """max(f, 1/f) of reference and treatment, f being the layer factor in the deepest stacks,
    d = ln(treatment) - ln(reference), by seed, and that none is censored.

    `of`: unscaled, the article's weights; fan-in, those with σ_w = 1; worst: of each seed and arm
    the largest over all σ_w. d is below 0 where BN brings the factor nearer to 1. Not finite where
    a gradient vanished or overflowed; empty where `gradients` has no such weights.
    """
    rows = gradients[gradients.depth == gradients.depth.max()]
    rows = rows[rows.initialization == ("unscaled" if of == "unscaled" else "fan-in")]
    rows = rows[rows.scale == 1] if of == "fan-in" else rows
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.abs(np.log(layer_factors(rows))).unstack("scale").max(axis=1, skipna=False)
        none, batch = far.unstack("arm").reindex(columns=PAIR).to_numpy().T
        d = batch - none
    return np.exp(none), np.exp(batch), d, (np.zeros(len(d), bool), np.zeros(len(d), bool))


def digits_pairs(digits: pd.DataFrame, network: str) -> OwnPairs:
    """Epochs to the threshold of reference and treatment, d = ln(treatment) - ln(reference), by
    seed, and which never got there. `interaction`: the two ratios of the convolutional network and
    of the dense one in their place. Empty where `digits` has no such network."""
    if network == "interaction":
        parts = [digits_pairs(digits, name) for name in ("dense", "convolutional")]
        if len(parts[0][2]) != len(parts[1][2]):
            parts = [digits_pairs(digits, "")] * 2
        dense, convolutional = parts
        reference, arm = np.exp(dense[2]), np.exp(convolutional[2])
        censored = tuple(one[3][0] | one[3][1] for one in parts)
        return reference, arm, convolutional[2] - dense[2], censored
    rows = digits[digits.network == network]
    epochs, reached = (
        rows.pivot(index="seed", columns="arm", values=name).reindex(columns=PAIR)
        for name in ("epochs_to_threshold", "reached")
    )
    none, batch = (epochs[arm].to_numpy(dtype=float) for arm in PAIR)
    censored = tuple(~reached[arm].to_numpy(dtype=bool) for arm in PAIR)
    return none, batch, np.log(batch) - np.log(none), censored
