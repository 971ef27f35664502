"""Figure 10: the last epoch's test loss against the median of the closing window."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import (
    ARM_COLOURS,
    ARM_LABELS,
    ARM_MARKERS,
    COLUMN,
    plain_log_ticks,
    ratio_ticks,
    subplots,
)
from bnstudy.study import FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`runs`: a dot a run; last epoch over window median, against width: the noise avoided."""
    runs = tables["runs"]
    runs = runs[runs.in_grid & np.isfinite(runs.final_test_loss)]
    figure, axes = subplots(figsize=(COLUMN, 2.4))
    axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
    ratios = runs.last_test_loss / runs.final_test_loss
    for side, arm in ((-1, "none"), (1, "batch")):
        for index, (width, cell) in enumerate(ratios[runs.arm == arm].groupby(runs.width)):
            offset = np.exp(side * 0.15 + np.linspace(-0.1, 0.1, len(cell)))
            axes.plot(width * offset, cell, ARM_MARKERS[arm], markersize=2, color=ARM_COLOURS[arm],
                      label=ARM_LABELS[arm] if index == 0 else None)  # fmt: skip
    window = study.analysis.final_window
    axes.set(xscale="log", yscale="log", xlabel="width (hidden units)",
             ylabel=f"last epoch / median of last {window}, test loss")  # fmt: skip
    plain_log_ticks(axes.xaxis, sorted(set(runs.width)))
    ratio_ticks(axes.yaxis, min([0.7, *ratios]) / 1.05, max([1.5, *ratios]) * 1.05)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure
