"""BN's effect on each of several targets, and what they say of targets in general.

Targets are random, the kinds of inputs fixed: a target's effect is the mean over the kinds of
inputs, of d = ln(arm) - ln(reference), over the seeds. From these a random-effects model estimates
the effect on the mean target, and on a new one (bnstudy.analysis.statistics.random_effects).
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.formula.api import ols

from bnstudy.analysis.hypotheses import FINAL_LOSS
from bnstudy.analysis.outcomes import (
    REFERENCE,
    TREATMENT,
    Diverged,
    censored_pairs,
    has_settings,
    log_ratio_of,
    with_partner,
)
from bnstudy.config import members
from bnstudy.config.models import StudySettings
from bnstudy.experiment.data import numerical_jacobian

LINEAR = 1.244  # what the best linear predictor leaves of the article's targets
FEWEST_TASKS = 6  # to tell two properties apart
ASSOCIATIONS = ["quantity", "property", "coefficient", "low", "high", "p", "cells"]
CENSORED_RUNS = ["censored_reference", "censored_arm"]


def task_runs(
    runs: pd.DataFrame, study: StudySettings, settings: Mapping[str, Any]
) -> pd.DataFrame:
    """The runs of all tasks and kinds of inputs at tuned `settings`, on the study's seeds."""
    free = ("task", "inputs", "learning_rate", "schedule")
    wanted = {name: value for name, value in study.reference.items() if name not in free}
    return runs[has_settings(runs, wanted | dict(settings)) & runs.seed.isin(study.study_seeds)]


def task_pairs(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per task, inputs and seed of `task_runs`: reference, arm, d of `column`, and which
    runs never got to its threshold."""
    loss = column.endswith("_loss")
    diverged: Diverged = "worst" if loss else "slowest"
    columns = ["task", "inputs", "seed", "reference", "arm", "d", *CENSORED_RUNS]
    frames = [pd.DataFrame(columns=columns)]
    for (task, inputs), cell in runs.groupby(["task", "inputs"], observed=True):
        pairs = with_partner(cell, TREATMENT)
        found, censored = censored_pairs(pairs, column, TREATMENT, REFERENCE, diverged)
        found.columns = ["reference", "arm"]
        found["d"] = log_ratio_of(found.reference.to_numpy(), found.arm.to_numpy())
        found[CENSORED_RUNS] = np.column_stack(censored)
        frames.append(found.reset_index().assign(task=str(task), inputs=str(inputs)))
    return pd.concat(frames[-max(1, len(frames) - 1) :], ignore_index=True)[columns]


def task_effects(pairs: pd.DataFrame, most_unknown: float) -> pd.DataFrame:
    """One row per task of `task_pairs`: means of ln(reference), ln(arm) and d, the sampling
    variance of that of d, and whether any run was censored.

    Where neither run of a pair got to the threshold nothing is known of its d. A task is left out
    where this is so of more than a share `most_unknown` of the pairs on one kind of inputs.
    """
    unknown = pairs[CENSORED_RUNS].all(axis=1).groupby([pairs.task, pairs.inputs]).mean()
    lost = unknown[unknown > most_unknown].index.get_level_values("task")
    pairs = pairs[~pairs.task.isin(lost)]
    logs = pairs.assign(reference=np.log(pairs.reference), arm=np.log(pairs.arm))
    by_seed = logs.groupby(["task", "seed"])[["reference", "arm", "d"]].mean()
    variance = by_seed.d.groupby("task").sem() ** 2
    censored = pairs.groupby("task")[CENSORED_RUNS].any()
    return by_seed.groupby("task").mean().assign(variance=variance).join(censored)


def task_table(runs: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """tasks.csv: one row per task, inputs and quantity: `properties` of the task, geometric means
    of reference and arm, d, its standard deviation, the pairs, and the censored runs of either arm.

    Quantities: epochs to the primary threshold and to the one that a linear predictor leaves of the
    article's targets, tuned for the first, and the final test loss, tuned for it.
    """
    settings, first = study.analysis.tasks.model_dump(), study.analysis.primary.threshold
    speed, loss = f"epochs_to_{first:g}", FINAL_LOSS["column"]
    chosen_for = {speed: speed, f"epochs_to_{LINEAR:g}": speed, loss: loss}
    rows: list[dict[str, Any]] = []
    for column, tuned_for in chosen_for.items():
        pairs = task_pairs(task_runs(runs, study, settings | {"tuned_for": tuned_for}), column)
        for (task, inputs), cell in pairs.groupby(["task", "inputs"]):
            found = {"task": task, "inputs": inputs, "quantity": column, **properties(str(task))}
            means = {name: np.exp(np.log(cell[name]).mean()) for name in ("reference", "arm")}
            spread = {"d": cell.d.mean(), "sd": cell.d.std(), "pairs": len(cell)}
            censored = {name: int(cell[name].sum()) for name in CENSORED_RUNS}
            rows.append(found | means | spread | censored)
    return pd.DataFrame(rows, columns=None if rows else ["task", "inputs", "quantity", "d"])


@cache
def properties(task: str) -> dict[str, float]:
    """What may matter of a task, on inputs uniform on [-1, 1]³: the shares of its targets' variance
    that are even and that are linear in the inputs, and their roughness, the root of the mean
    squared gradient over the variance. By quadrature."""
    targets = members.load("tasks", task).targets
    nodes, weights = np.polynomial.legendre.leggauss(16)
    points = np.array(list(product(nodes, repeat=3)))
    density = np.prod(list(product(weights / 2, repeat=3)), axis=1)
    values = targets(points)
    values = values - density @ values
    total = (density @ values**2).sum()
    even = (values + targets(-points) - density @ targets(-points)) / 2
    slopes = 3 * (density[:, None] * points).T @ values  # a uniform input's variance is 1/3
    gradient = numerical_jacobian(targets, points)
    return {
        "even_share": float((density @ even**2).sum() / total),
        "linear_share": float((slopes**2).sum() / 3 / total),
        "roughness": float(np.sqrt((density @ (gradient**2).sum(axis=(1, 2))) / total)),
    }


def associations(tasks: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """What goes with the sign of d over tasks, exploratory: of each quantity of `task_table` the
    coefficients of d on the even share, ln(roughness) and the kind of inputs (against plain), by
    least squares, with intervals that allow for tasks in common (clusters, by statsmodels).

    Columns: quantity, property, coefficient, low, high, p, cells.
    """
    rows = []
    for quantity, cells in tasks.groupby("quantity", sort=False):
        cells = cells[np.isfinite(cells.d)]
        if cells.task.nunique() < FEWEST_TASKS:
            continue
        groups = {"groups": cells.task.astype("category").cat.codes}
        formula = "d ~ even_share + np.log(roughness) + C(inputs)"
        fit = ols(formula, cells).fit(cov_type="cluster", cov_kwds=groups, use_t=True)
        ends = fit.conf_int(alpha)
        for name in fit.params.index:
            numbers = [fit.params[name], *ends.loc[name], fit.pvalues[name]]
            rows.append([quantity, name, *numbers, len(cells)])
    return pd.DataFrame(rows, columns=ASSOCIATIONS)
