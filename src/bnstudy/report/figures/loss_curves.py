"""Figure 1: the article's own picture, and beside it the same over all seeds of the study."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import ORIGINAL_COLOURS, subplots
from bnstudy.measures import log_spaced_epochs
from bnstudy.study import FigureSettings

LINES = {"train": "-", "test": "--"}
LABELS = {"batch": "with BN", "none": "without BN"}


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`curves`: loss curves at the original's width."""
    curves = tables["curves"]
    original = study.original
    figure, (left, right) = subplots(1, 2, sharey=True)
    for arm in ("batch", "none"):
        of_arm = curves[curves.arm == arm]
        _original(left, of_arm[of_arm.seed == original.seed], arm)
        _band(right, of_arm[of_arm.seed.isin(study.grid_seeds)], arm)
    left.set(title=f"one run, as in the article: width {original.width}, seed {original.seed}",
             xlabel="epoch", ylabel="loss", yscale="log")  # fmt: skip
    count = curves[curves.seed.isin(study.grid_seeds)].seed.nunique()
    right.set(title=f"median and quartiles of {count} seeds, width {original.width}",
              xlabel="epoch")  # fmt: skip
    left.legend()
    return figure


def _original(axes: Axes, curves: pd.DataFrame, arm: str) -> None:
    for part, line in LINES.items():
        axes.plot(curves.epoch, curves[f"{part}_loss"], line, color=ORIGINAL_COLOURS[arm],
                  linewidth=1, label=f"{part} {LABELS[arm]}")  # fmt: skip


def _band(axes: Axes, curves: pd.DataFrame, arm: str) -> None:
    """Quartiles at 300 evenly and 100 log-spaced epochs: the eye sees no more."""
    if curves.empty:
        return
    epochs = 1 + curves.epoch.max()
    shown = np.union1d(np.linspace(0, epochs - 1, 300, dtype=int), log_spaced_epochs(epochs, 100))
    by_epoch = curves[curves.epoch.isin(shown)].groupby("epoch")
    for part, line in LINES.items():
        low, middle, high = (by_epoch[f"{part}_loss"].quantile(q) for q in (0.25, 0.5, 0.75))
        colour = ORIGINAL_COLOURS[arm]
        axes.plot(middle, line, color=colour, linewidth=1)
        axes.fill_between(middle.index, low, high, color=colour, alpha=0.15, linewidth=0)
