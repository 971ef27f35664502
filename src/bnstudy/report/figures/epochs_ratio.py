"""Ratio of the epochs needed to reach a train loss, with BN over without."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.analysis.hypotheses import ARTICLE
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Ratio of epochs needed"
CAPTION = (
    "Epochs until the train loss is at or below a threshold, with BN over without: geometric "
    "mean over the seeds and {level} interval, one line per width. Training goes from left to "
    "right. Below 1, BN was faster to that loss; where a line crosses 1, the loss curves cross. "
    "Open markers: not every run got there, and those that did not count with the budget of "
    "{epochs:,} epochs."
)
TABLES = ("significance.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`significance`: a line per width, geometric mean ratio and interval at each threshold.

    A line ends where no run of the width reached the threshold. Open markers: some runs did not,
    and count with the budget.
    """
    tests = tables["significance"]
    tests = tests[(tests.claim == "C1") & (tests.regime == ARTICLE) & tests.width.notna()]
    tests = tests.assign(threshold=tests.column.str.removeprefix("epochs_to_").astype(float))
    xlabel = "train loss to reach (per sample)"
    figure, axes = style.ratio_panel(2.7, xlabel, "epochs needed, with BN / without")
    styles = style.width_styles(set(tests.width))
    for index, (width, rows) in enumerate(tests.groupby("width")):
        shift = 1.05 ** (index - (len(styles) - 1) / 2)  # beside each other, not on top
        _line(axes, rows.dropna(subset=["ratio"]), shift, f"width {width:g}", styles[width])
    axes.invert_xaxis()
    style.plain_log_ticks(axes.xaxis, sorted(study.analysis.thresholds))
    style.ratio_ticks(axes.yaxis, [0.7, 1.5, *tests.ratio_low, *tests.ratio_high])
    axes.tick_params(axis="x", labelrotation=30)
    text: style.Style = {"ha": "right", "va": "bottom", "fontsize": 6.5, "color": "0.4"}
    axes.text(0.99, 0.01, "▼ faster with BN", transform=axes.transAxes, **text)
    style.legend_above(axes, axes, 2)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, shift: float, label: str, look: style.Style) -> None:
    """The line of one width; markers are open where a run did not reach the threshold."""
    if rows.empty:
        return
    rows = rows.sort_values("threshold", ascending=False)
    place = rows.threshold * shift
    bars: style.Style = {"capsize": 2, "linewidth": 1, "markersize": 4}
    axes.errorbar(place, rows.ratio, style.errors(rows), **look, **bars, label=label)
    whole = (rows.censored_reference == 0) & (rows.censored_arm == 0)
    faces = np.where(whole, look["color"], "white")
    outline: style.Style = {"edgecolor": look["color"], "marker": look["marker"]}
    axes.scatter(place, rows.ratio, s=16, facecolor=faces, zorder=3, **outline)
