"""The best loss that any constant rate reaches by each epoch, beside the article's rate's."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bnstudy.analysis.outcomes import PAIR, at_settings
from bnstudy.config.models import StudySettings
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import read_parquet

POINTS = 300  # log-spaced numbers of epochs per curve
ENVELOPE = ["arm", "curve", "epochs", "test_loss", "learning_rate"]


def envelope_curves(
    path: Path, experiments: pd.DataFrame, study: StudySettings
) -> Iterator[pd.DataFrame]:
    """The curves of constant rates at the primary width, a table per arm: what `envelope` needs of
    a scope's curves.parquet."""
    usual = {"width": study.analysis.primary.width, "tuned_for": study.reference["tuned_for"]}
    constant = at_settings(experiments, study, usual) & (experiments.schedule == "constant")
    cells = experiments[constant & experiments.arm.isin(PAIR)]
    for _, of_arm in cells.groupby("arm"):
        columns = ["arm", "learning_rate", "seed", "epoch", "test_loss"]
        yield read_parquet(path, columns, cell=of_arm.cell.unique().tolist()).to_pandas()


def envelope(curves: Iterable[pd.DataFrame], study: StudySettings) -> pd.DataFrame:
    """envelope.csv: one row per arm, curve and number of epochs: test loss, a geometric mean over
    seeds, and the rate that reaches it.

    `curves`: those of `envelope_curves`. Curve `best`: the least loss that one of the rates has
    reached by then, over the tuning seeds; `article`: the loss at the article's rate, over the
    study's.
    """
    rows = [pd.DataFrame(columns=ENVELOPE)]
    for of_arm in curves:
        decides = of_arm.seed.isin(study.study_seeds)
        article = of_arm.learning_rate == study.defaults.learning_rate
        for name, part in (("best", ~decides & ~article), ("article", decides & article)):
            if part.any():
                found = least_loss(of_arm[part])
                found = found.iloc[log_spaced_epochs(len(found), POINTS)]
                rows.append(found.assign(arm=str(of_arm.arm.iloc[0]), curve=name))
    return pd.concat(rows[1:] or rows, ignore_index=True)[ENVELOPE]


def least_loss(curves: pd.DataFrame) -> pd.DataFrame:
    """One row per epoch of an arm's `curves`: epochs done, the least mean loss by then, the rate
    that reached it. A rate with a run that diverged is none."""
    logs = np.log(curves.test_loss.fillna(np.inf))
    logs = logs.groupby([curves.epoch, curves.learning_rate]).mean().unstack(fill_value=np.inf)
    best = logs.min(axis=1).cummin()
    new = best < best.shift(fill_value=np.inf)
    rate = logs.idxmin(axis=1).where(new).ffill()
    losses = {"test_loss": np.exp(best), "learning_rate": rate}
    return pd.DataFrame({"epochs": best.index + 1, **losses})
