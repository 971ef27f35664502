"""Share of runs that have not yet reached a train loss, against epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import grid_runs, threshold_columns
from bnstudy.analysis.statistics import kaplan_meier
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Runs still on their way"
CAPTION = (
    "Share of runs whose train loss has not yet come down to a threshold, against the epoch "
    "(Kaplan–Meier estimate), one panel per width (n: seeds per arm). A curve that does not reach "
    "0 ends at the share of runs that never got there."
)
TABLES = ("runs.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a Kaplan-Meier curve per arm and threshold, a panel per width.

    Thresholds: the primary one and the next lower one. A curve that does not come down to 0 ends at
    the share of runs that never got there.
    """
    runs = grid_runs(tables["runs"], study)
    primary = study.analysis.primary.threshold
    lower = [t for t in study.analysis.thresholds if t < primary]
    thresholds = dict(zip([primary, *sorted(lower)[-1:]], ("-", "--"), strict=False))
    epochs = runs[[threshold_columns(threshold)[0] for threshold in thresholds]]
    # From a little before the first run gets there to the budget.
    limits = epochs.min().min() / 1.5, epochs.max().max() * 1.05
    figure, panels = style.panels_by_width(runs)
    for axes, cell in panels:
        for threshold, line in thresholds.items():
            for shown, of_arm in style.by_arm(cell, style.PAIR):
                _curve(axes, of_arm, threshold, shown.colour, line)
        axes.set(xscale="log", xlim=limits, ylim=(-0.03, 1.03))
        style.log_ticks(axes.xaxis, *limits)
    first = figure.axes[0]
    for shown in map(style.look, style.PAIR):
        first.plot([], [], color=shown.colour, label=shown.label)
    for threshold, line in thresholds.items():
        first.plot([], [], line, color="0.4", label=f"train loss {threshold:g}")
    style.legend_above(figure, first, 2)
    figure.supxlabel("epoch")
    figure.supylabel("share of runs not yet there")
    return figure


def _curve(axes: Axes, runs: pd.DataFrame, threshold: float, colour: str, line: str) -> None:
    epochs, reached = threshold_columns(threshold)
    times, survival = kaplan_meier(runs[epochs].to_numpy(), runs[reached].to_numpy())
    steps: style.Style = {"color": colour, "drawstyle": "steps-post", "linewidth": 1}
    axes.plot([0.5, *times], [1, *survival], line, **steps)
