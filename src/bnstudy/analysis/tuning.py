"""What the tuning seeds choose: of the rates and schedules tried, the one with the best outcome.

Best is the least geometric mean over the tuning seeds of the outcome that a cell is tuned for: a
loss on the tuning seeds' test sets, or epochs to a threshold, the budget where a run never got
there. A run that diverged is worse than all others. Ties go to the smaller rate.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from bnstudy.analysis.collect import BlockOfScope, outcomes_of_block
from bnstudy.analysis.outcomes import at_settings, has_settings
from bnstudy.config.cell import SETTINGS
from bnstudy.config.models import StudySettings
from bnstudy.experiment.choice import ranked
from bnstudy.files import read_csv

CHOSEN = ("learning_rate", "schedule")
COLUMNS = ["score", "seeds", "diverged", "rank", "over_best", "share_chosen", "at_edge"]


def tried(
    blocks: Sequence[BlockOfScope],
    cell: Mapping[str, Any],
    *,
    final_window: int,
    thresholds: Sequence[float],
    bootstraps: int,
    seed: int,
) -> pd.DataFrame:
    """One row per rate and schedule tried for a tuned cell, the best first.

    Columns: the cell's settings, the tried ones among them; those of `ranked`; share_chosen, how
    often tuning seeds drawn anew from these, with replacement, choose it; at_edge, whether its rate
    is the smallest or largest tried with its schedule, and better than all that are neither.
    """
    runs = pd.concat([outcomes_of_block(block, final_window, thresholds) for block in blocks])
    diverged = runs.status == "diverged"
    runs["outcome"] = np.log(runs[cell["tuned_for"]].astype(float)).where(~diverged, np.inf)
    outcomes = runs.pivot(index="seed", columns=list(CHOSEN), values="outcome")
    outcomes = outcomes.sort_index(axis=1)  # of equal ones the first is the smaller rate
    shares = _shares(outcomes.to_numpy(), np.random.default_rng(seed), bootstraps)
    table = ranked(outcomes)
    rates = table.groupby("schedule").learning_rate
    edges = [rates.transform(end) for end in ("min", "max")]
    table["share_chosen"] = shares
    outer = (table.learning_rate == edges[0]) | (table.learning_rate == edges[1])
    table["at_edge"] = outer & ~(table.score >= table.score[~outer].min())
    own = {name: value for name, value in cell.items() if name not in CHOSEN}
    return table.assign(**own).sort_values("rank")[[*SETTINGS, *COLUMNS]]


def _shares(
    outcomes: Float64[np.ndarray, "seed candidate"], rng: np.random.Generator, resamples: int
) -> Float64[np.ndarray, " candidate"]:
    """How often each candidate has the least mean over seeds drawn with replacement."""
    drawn = rng.integers(len(outcomes), size=(resamples, len(outcomes)))
    weights = np.apply_along_axis(np.bincount, 1, drawn, minlength=len(outcomes))
    totals = np.where(np.isinf(outcomes), 1e300, outcomes)  # 0 times infinity is no number
    best = (weights @ totals).argmin(axis=1)
    return np.bincount(best, minlength=outcomes.shape[1]) / resamples


def chosen(table: pd.DataFrame, rank: int) -> dict[str, Any]:
    """Learning rate and schedule of this rank in `tried`, as settings of a training job."""
    best = table[table["rank"] == rank].iloc[0]
    return {"learning_rate": float(best.learning_rate), "schedule": str(best.schedule)}


def _at_edge(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the choices that lie at the edge of what was tried."""
    return table if table.empty else table[(table["rank"] == 1) & table.at_edge.astype(bool)]


def edges(tables: Path) -> list[str]:
    """Of each choice at the edge of what was tried, in a folder of tables, what to add."""
    cells = {
        "tuning.csv": "{0.arm} on {0.task} ({0.inputs}), {0.optimizer}, width {0.width}, batch "
        "size {0.batch_size}, for {0.tuned_for}: {0.schedule}",
        "digits_tuning.csv": "{0.arm}, {0.network} network on digits:",
        "mnist1d_tuning.csv": "{0.arm}, {0.network} network on MNIST-1D:",
    }
    return [
        f"{cell.format(row)} {row.learning_rate:g} is at the edge of the rates tried; "
        "add rates there"
        for file, cell in cells.items()
        if (tables / file).exists()
        for row in _at_edge(read_csv(tables / file)).itertuples()
    ]


def at_edge(
    table: pd.DataFrame, study: StudySettings, settings: Mapping[str, Any], arms: Sequence[str]
) -> bool:
    """Whether the choice for one of these arms at these settings does, so that a better one may
    lie beyond it."""
    if "tuned_for" not in settings or table.empty:
        return False
    best = _at_edge(table)
    return bool(at_settings(best[best.arm.isin(arms)], study, settings).any())


def task_at_edge(table: pd.DataFrame, settings: Mapping[str, Any], arms: Sequence[str]) -> bool:
    """Whether one for any task and inputs does."""
    best = _at_edge(table)
    return len(best) > 0 and bool(has_settings(best[best.arm.isin(arms)], settings).any())


def network_at_edge(table: pd.DataFrame, network: str) -> bool:
    """Whether a choice for this network (see digits_tuning.csv) does; `interaction`: for any."""
    best = _at_edge(table)
    return len(best) > 0 and (network == "interaction" or network in set(best.network))


def tuning_table(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """tuning.csv: the rows of all tuned cells."""
    nothing = pd.DataFrame(columns=[*SETTINGS, *COLUMNS])
    return pd.concat([*tables] or [nothing], ignore_index=True)
