"""Does conditioning predict BN's effect? Rank correlations of a ratio of condition numbers with d.

The ratio is ln(none) - ln(arm), d = ln(arm) - ln(none) as everywhere, each of two runs that share
their seed and all settings but the arm (and, where they are tuned, the rate and schedule chosen for
each). So where the better conditioned arm does better, the correlation is below 0. Exploratory.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bnstudy.analysis import statistics
from bnstudy.analysis.comparisons import Row, attempt, generator_of
from bnstudy.analysis.curvature import UNTRAINED
from bnstudy.analysis.outcomes import REFERENCE, threshold_columns
from bnstudy.config.cell import ARTICLE, SETTINGS
from bnstudy.config.models import StudySettings

CONDITIONS = ("condition_effective", "condition_median", "condition_effective_adam")
WHEN = ("untrained", "middle")  # of the networks that were looked at
# What the points of a correlation differ in: what they have in common.
OVER: dict[str, list[str]] = {
    "seeds": list(SETTINGS),
    "tasks": [name for name in SETTINGS if name not in ("task", "inputs")],
    "settings": ["task", "inputs"],
}
FOUND = ["n", "correlation", "correlation_low", "correlation_high", "reason"]
COLUMNS = ["over", *SETTINGS, "condition", "when", "outcome", *FOUND]


def predictions(runs: pd.DataFrame, curvature: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """One row per set of points, condition number, network it is of, and outcome: Spearman's
    correlation with its BCa interval.

    Points are `over` the seeds of a pair of cells; over tasks and their inputs, means over seeds,
    everything else the same; or over all arms and settings of a task, likewise. What the points
    differ in is missing, as is the rate where it was tuned. Sets with too few points have no row.
    `runs`, `curvature`: the scope's tables.
    """
    if curvature.empty:
        return pd.DataFrame(columns=COLUMNS)
    outcomes = [threshold_columns(study.analysis.primary.threshold)[0], "final_test_loss"]
    ratios = log_ratios(runs, curvature, outcomes)
    measured = [name for name in ratios if name not in (*SETTINGS, "seed")]
    means = ratios.groupby(list(SETTINGS), dropna=False)[measured].mean().reset_index()
    rows = [
        {"over": over, **dict(zip(shared, values, strict=True)), **row}
        for over, shared in OVER.items()
        for values, points in (ratios if over == "seeds" else means).groupby(shared, dropna=False)
        if len(points) >= statistics.FEWEST_POINTS
        for row in _correlations(points, outcomes, study, over, *values)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def log_ratios(runs: pd.DataFrame, curvature: pd.DataFrame, outcomes: list[str]) -> pd.DataFrame:
    """One row per pair of runs: settings, seed, ln(none) - ln(arm) of each condition number at each
    of WHEN, in columns such as `condition_median untrained`, and d of each outcome."""
    conditions = [f"{name} {when}" for name, when in product(CONDITIONS, WHEN)]
    wide = [_at(curvature, when) for when in WHEN]
    table = runs.merge(wide[0], on=["cell", "seed"]).merge(wide[1], on=["cell", "seed"])
    tuned = table.tuned_for != ARTICLE["tuned_for"]
    for name in ("learning_rate", "schedule"):  # each arm's own
        table[name] = table[name].where(~tuned)
    with np.errstate(divide="ignore"):
        table[[*conditions, *outcomes]] = np.log(table[[*conditions, *outcomes]].astype(float))
    same = [name for name in (*SETTINGS, "seed") if name != "arm"]
    reference = table.loc[table.arm == REFERENCE, [*same, *conditions, *outcomes]]
    pairs = table[table.arm != REFERENCE].merge(reference, on=same, suffixes=("", " none"))
    for name in [*conditions, *outcomes]:
        d = pairs[name] - pairs[f"{name} none"]
        pairs[name] = -d if name in conditions else d
    return pairs[[*SETTINGS, "seed", *conditions, *outcomes]]


def _at(curvature: pd.DataFrame, when: str) -> pd.DataFrame:
    """The condition numbers of one network per run: the untrained one, or the middle one of the
    saved."""
    rows = curvature[curvature.epoch == UNTRAINED]
    if when == "middle":
        saved = curvature[curvature.epoch != UNTRAINED].groupby(["cell", "seed"]).epoch
        place, count = saved.rank(), saved.transform("size")
        rows = curvature.loc[place.index[place == count // 2 + 1]]
    return rows[["cell", "seed", *CONDITIONS]].rename(
        columns={name: f"{name} {when}" for name in CONDITIONS}
    )


def _correlations(
    points: pd.DataFrame, outcomes: list[str], study: StudySettings, *name: Any
) -> Iterator[Row]:
    """The rows of one set of points; `name` sets their random numbers apart."""
    analysis = study.analysis
    options: Any = {"resamples": analysis.bootstraps, "confidence": 1 - analysis.alpha}
    for condition, when, outcome in product(CONDITIONS, WHEN, outcomes):
        x, d = points[[f"{condition} {when}", outcome]].dropna().to_numpy().T
        rng = generator_of(analysis, *name, condition, when, outcome)
        test = partial(statistics.rank_correlation, x, d, rng=rng, **options)
        found, reason = attempt(test)
        numbers = [found.estimate, found.low, found.high] if found else [np.nan] * 3
        row = {"condition": condition, "when": when, "outcome": outcome}
        yield row | dict(zip(FOUND, [len(x), *numbers, reason], strict=True))
