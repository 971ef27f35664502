"""How effects change with a setting: slopes on its logarithm, one for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bnstudy.analysis import statistics
from bnstudy.analysis.hypotheses import ARTICLE, FINAL_LOSS, TUNED, Claim, Comparison
from bnstudy.analysis.outcomes import (
    REFERENCE,
    TREATMENT,
    LogRatios,
    at_settings,
    by_batch_size,
    cell_pairs,
    grid_runs,
    log_ratio_of,
    pair_table,
    with_partner,
)
from bnstudy.config.models import StudySettings

FEWEST = 3  # values of a setting: two make a line of any two numbers
Trend = tuple[Comparison, LogRatios]  # what changes; its slopes


def trends(claims: Sequence[Claim], runs: pd.DataFrame, study: StudySettings) -> list[Trend]:
    """All of them, each for ten times a setting."""
    return [
        *_over_widths(claims, grid_runs(runs, study), study),
        *_over_budgets(runs, study),
        *_over_batch_sizes(runs, study),
    ]


def _over_widths(claims: Sequence[Claim], grid: pd.DataFrame, study: StudySettings) -> list[Trend]:
    """d of epochs to the primary threshold and of the final test loss at the article's settings,
    over the widths that have all of the study's seeds."""
    found = []
    for comparison in (c for claim in claims[:2] for c in claim.comparisons if c.regime == ARTICLE):
        by_width = {}
        for width in sorted(set(grid.width)):
            pairs = cell_pairs(grid, study, {"width": width})
            if pairs.seed.nunique() == len(study.study_seeds):
                by_width[width] = _d(pairs, comparison)
        found.append(_trend(comparison, "d for ten times the width", by_width, {}))
    return found


def _over_budgets(runs: pd.DataFrame, study: StudySettings) -> list[Trend]:
    """d of tuned final losses with the full batch, at the width for minibatches, if it was trained
    with three budgets or more."""
    settings = _tuned(study)
    cells = runs[at_settings(runs, study, settings | {"batch_size": "full"})]
    cells = cells[cells.seed.isin(study.study_seeds)]
    loss = Comparison(TUNED, allows=(), **FINAL_LOSS)
    by_budget = {
        epochs: _d(with_partner(budget, TREATMENT), loss)
        for epochs, budget in cells.groupby("epochs")
    }
    if len(by_budget) < FEWEST:
        return []
    return [_trend(loss, "d for ten times the budget", by_budget, settings)]


def _over_batch_sizes(runs: pd.DataFrame, study: StudySettings) -> list[Trend]:
    """The logarithm of what the tuned final loss of an arm is above that of none, at equal numbers
    of steps, if it was trained with three sizes or more; full batches have nothing above and are
    left out."""
    cells, found = by_batch_size(runs, study), []
    cells = cells[cells.samples < study.dataset.train_size]
    for arm in (arm for arm in dict.fromkeys(cells.arm) if arm != REFERENCE):
        loss = Comparison(TUNED, allows=(), arm=arm, **FINAL_LOSS)
        above = {}
        for samples, one in cells.groupby("samples"):
            pairs = pair_table(with_partner(one, arm), loss.column, arm, REFERENCE, loss.diverged)
            with np.errstate(invalid="ignore", divide="ignore"):
                above[samples] = np.log(pairs[arm] - pairs[REFERENCE])
        words = "ln of what it is above none, for ten times the batch size"
        if len(above) >= FEWEST:
            found.append(_trend(loss, words, above, _tuned(study)))
    return found


def _tuned(study: StudySettings) -> dict[str, Any]:
    return {"width": study.analysis.minibatches.width, "tuned_for": FINAL_LOSS["column"]}


def _d(pairs: pd.DataFrame, comparison: Comparison) -> pd.Series:
    """d by seed."""
    table = pair_table(pairs, comparison.column, TREATMENT, REFERENCE, comparison.diverged)
    d = log_ratio_of(table[REFERENCE].to_numpy(), table[TREATMENT].to_numpy())
    return pd.Series(d, index=table.index)


def _trend(
    comparison: Comparison, words: str, by_x: Mapping[Any, pd.Series], settings: Mapping[str, Any]
) -> Trend:
    """The slopes of values by seed on log₁₀ of what they are given by, for the seeds that have all
    of them; none where that has fewer than three values."""
    quantity = f"{comparison.quantity}: {words}"
    whole, slopes = pd.DataFrame(by_x).dropna(), np.empty(0)
    if len(whole.columns) >= FEWEST:
        slopes = statistics.slopes(np.log10(whole.columns.to_numpy(float)), whole.to_numpy())
    return replace(comparison, quantity=quantity, settings=settings, allows=()), slopes
