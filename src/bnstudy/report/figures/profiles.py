"""Figure 5: performance profiles: share of runs whose final test loss is at most so much."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, ARM_LABELS, grid_of_panels, log_ticks
from bnstudy.statistics import performance_profile
from bnstudy.study import PAIR, FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`runs`: a profile an arm with its pointwise interval, a panel a width."""
    runs = tables["runs"][tables["runs"].in_grid]
    finite = runs.final_test_loss[np.isfinite(runs.final_test_loss)]
    limits = np.geomspace(finite.min() / 1.2, finite.max() * 1.2, 300) if len(finite) else [1, 2]
    widths = sorted(set(runs.width))
    figure, panels = grid_of_panels(len(widths))
    for axes, width in zip(panels, widths, strict=False):
        for arm in PAIR:
            losses = runs.final_test_loss[(runs.width == width) & (runs.arm == arm)]
            if losses.empty:
                continue
            share, low, high = performance_profile(losses, limits, 1 - study.analysis.alpha)
            axes.plot(limits, share, color=ARM_COLOURS[arm], label=ARM_LABELS[arm])
            axes.fill_between(limits, low, high, color=ARM_COLOURS[arm], alpha=0.15, linewidth=0)
        axes.set(xscale="log", ylim=(-0.03, 1.03), title=f"width {width}")
        log_ticks(axes.xaxis, limits[0], limits[-1])
    if widths:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.supxlabel("final test loss τ (per sample)")
    figure.supylabel("share of runs at or below τ")
    return figure
