"""How well conditioned training is while it goes on, and how far from where Adam gets unstable."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import grid_runs
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Condition numbers while training"
CAPTION = (
    "At the article's settings. Left: largest eigenvalue of the Gauss–Newton matrix of the train "
    "loss over the mean of its eigenvalues, each weighted by the share of the loss that lies along "
    "its eigenvector. Right: learning rate times the largest eigenvalue of the Hessian in Adam's "
    "coordinates, divided by 38, the value from which on Adam is unstable on a quadratic; at the "
    "line the rate is as large as it can be. Median and quartiles over the seeds; at 0 the "
    "untrained network."
)
TABLES = ("curvature.csv",)

PANELS = {"condition_effective": "condition number", "stability": "share of the stable rate"}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`curvature` of the grid: median and quartiles over the seeds, for every arm."""
    grid = grid_runs(tables["curvature"], study)
    figure, panels = style.subplots(1, len(PANELS), figsize=(style.PAGE, 2.6))
    for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
        for shown, rows in style.by_arm(grid, style.ordered(grid.arm)):
            values = rows[name].groupby(rows.epoch + 1)
            line = {"linestyle": shown.line, "marker": shown.marker, "markersize": 3}
            style.band(axes, values, shown.colour, label=shown.label, **line)
        axes.set_xscale("symlog", linthresh=1)
        axes.set(yscale="log", xlabel="epochs trained", ylabel=label)
    panels[1].axhline(1, color="0.5", linewidth=0.6, zorder=1)
    for width, cell in grid.groupby("width"):
        panels[0].set_title(f"width {width}, n = {cell.seed.nunique()}")
    style.legend_above(figure, panels[0], 4)
    return figure
