"""BN's effect on each of several targets, and what they say of targets in general.

Targets are random, the kinds of inputs fixed: a target's effect is the mean over the kinds of
inputs, of d = ln(arm) - ln(reference), over the seeds. From these a random-effects model estimates
the effect on the mean target, and on a new one (bnstudy.analysis.statistics.random_effects).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bnstudy.analysis.outcomes import (
    REFERENCE,
    TREATMENT,
    Diverged,
    has_settings,
    log_ratio_of,
    pair_table,
    with_partner,
)
from bnstudy.config.models import StudySettings

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
    reached = f"reached_{column.removeprefix('epochs_to_')}"
    columns = ["task", "inputs", "seed", "reference", "arm", "d", *CENSORED_RUNS]
    frames = [pd.DataFrame(columns=columns)]
    for (task, inputs), cell in runs.groupby(["task", "inputs"], observed=True):
        pairs = with_partner(cell, TREATMENT)
        found = pair_table(pairs, column, TREATMENT, REFERENCE, diverged)
        got = pair_table(pairs, reached, TREATMENT, REFERENCE, "left out").reindex(found.index)
        found.columns = ["reference", "arm"]
        found["d"] = log_ratio_of(found.reference.to_numpy(), found.arm.to_numpy())
        found[CENSORED_RUNS] = ~got.fillna(1.0).to_numpy(bool)
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
