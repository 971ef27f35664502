"""Performance profiles: share of runs whose final test loss is at most so much."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import grid_runs
from bnstudy.analysis.statistics import performance_profile
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Performance profiles of final test losses"
CAPTION = (
    "Share of runs whose final test loss is at most τ, with pointwise {level} intervals, one "
    "panel per width (n: seeds per arm). The higher curve is the better arm at that τ; where "
    "curves cross, neither is better throughout."
)
TABLES = ("runs.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a profile per arm with its pointwise interval, a panel per width."""
    runs = grid_runs(tables["runs"], study)
    finite = runs.final_test_loss[np.isfinite(runs.final_test_loss)]
    low, high = (finite.min() / 1.2, finite.max() * 1.2) if len(finite) else (1, 2)
    limits = np.geomspace(low, high, 300)
    figure, panels = style.panels_by_width(runs)
    for axes, cell in panels:
        for shown, of_arm in style.by_arm(cell, style.PAIR):
            losses = of_arm.final_test_loss.to_numpy()
            share, low, high = performance_profile(losses, limits, 1 - study.analysis.alpha)
            axes.plot(limits, share, color=shown.colour, label=shown.label)
            axes.fill_between(limits, low, high, color=shown.colour, alpha=0.15, linewidth=0)
        axes.set(xscale="log", ylim=(-0.03, 1.03))
        style.log_ticks(axes.xaxis, limits[0], limits[-1])
    style.legend_above(figure, figure.axes[0], 2)
    figure.supxlabel("final test loss τ (per sample)")
    figure.supylabel("share of runs at or below τ")
    return figure
