"""The last epoch's test loss against the median of the closing window."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import grid_runs
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Why a closing window"
CAPTION = (
    "Test loss of the last epoch over the median of the last {final_window}, a dot per run: the "
    "noise that a final loss taken from one epoch would carry, by width and arm."
)
TABLES = ("runs.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a dot per run; last epoch over window median, against width: the noise avoided."""
    runs = grid_runs(tables["runs"], study)
    runs = runs[np.isfinite(runs.final_test_loss)]
    ylabel = f"last epoch / median of last {study.analysis.final_window}, test loss"
    figure, axes = style.ratio_panel(2.4, "width (hidden units)", ylabel)
    ratios = runs.last_test_loss / runs.final_test_loss
    for side, arm in zip((-1, 1), style.PAIR, strict=True):
        shown = style.look(arm)
        dots: style.Style = {"color": shown.colour, "markersize": 2, "label": shown.label}
        for width, cell in ratios[runs.arm == arm].groupby(runs.width):
            place = width * np.exp(side * 0.15 + np.linspace(-0.1, 0.1, len(cell)))
            axes.plot(place, cell, shown.marker, **dots)
            dots["label"] = None  # one entry per arm in the legend
    style.plain_log_ticks(axes.xaxis, sorted(set(runs.width)))
    style.ratio_ticks(axes.yaxis, [0.7, 1.5, *ratios], margin=1.05)
    style.legend_above(axes, axes, 2)
    return figure
