"""Figure 4: share of runs that have not yet reached a train loss, against epoch."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, ARM_LABELS, grid_of_panels, log_ticks
from bnstudy.measures import threshold_columns
from bnstudy.statistics import kaplan_meier
from bnstudy.study import PAIR, FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`runs`: a Kaplan-Meier curve an arm and threshold, a panel a width.

    Thresholds: the primary one and the next lower one. A curve that does not come down to 0 ends at
    the share of runs that never got there.
    """
    runs = tables["runs"][tables["runs"].in_grid]
    primary = study.analysis.primary.threshold
    lower = [t for t in study.analysis.thresholds if t < primary]
    thresholds = dict(zip([primary, *sorted(lower)[-1:]], ("-", "--"), strict=False))
    widths = sorted(set(runs.width))
    figure, panels = grid_of_panels(len(widths))
    for axes, width in zip(panels, widths, strict=False):
        cell = runs[runs.width == width]
        for threshold, line in thresholds.items():
            for arm in PAIR:
                _curve(axes, cell[cell.arm == arm], threshold, ARM_COLOURS[arm], line)
        axes.set(xscale="log", xlim=_range(runs, thresholds), ylim=(-0.03, 1.03),
                 title=f"width {width}")  # fmt: skip
        log_ticks(axes.xaxis, *axes.get_xlim())
    for arm in PAIR:
        panels[0].plot([], [], color=ARM_COLOURS[arm], label=ARM_LABELS[arm])
    for threshold, line in thresholds.items():
        panels[0].plot([], [], line, color="0.4", label=f"train loss {threshold:g}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.supxlabel("epoch")
    figure.supylabel("share of runs not yet there")
    return figure


def _curve(axes: Axes, runs: pd.DataFrame, threshold: float, colour: str, line: str) -> None:
    if runs.empty:
        return
    epochs, reached = threshold_columns(threshold)
    times, survival = kaplan_meier(runs[epochs].to_numpy(), runs[reached].to_numpy())
    axes.plot(
        [0.5, *times], [1, *survival], line, color=colour, drawstyle="steps-post", linewidth=1
    )


def _range(runs: pd.DataFrame, thresholds: Iterable[float]) -> tuple[float, float]:
    """From a little before the first run gets there to the budget."""
    epochs = runs[[threshold_columns(threshold)[0] for threshold in thresholds]]
    return epochs.min().min() / 1.5, epochs.max().max() * 1.05
