"""Figure 6: BN's effect split into parametrisation and initialisation: four arms against none."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, ARM_LABELS, ARM_MARKERS, ratio_ticks, subplots
from bnstudy.study import FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`significance`: geometric mean ratio to none and its interval, an arm and quantity each.

    A panel a width; epochs to each threshold from left to right, then the final test loss.
    """
    tests = tables["significance"]
    tests = tests[tests.hypothesis == "arms"]
    widths = sorted(set(tests.width))
    figure, panels = subplots(
        1, max(len(widths), 1), sharey=True, figsize=(1.3 + 2.8 * max(len(widths), 1), 2.6)
    )
    panels = np.atleast_1d(panels)
    for axes, width in zip(panels, widths, strict=False):
        axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
        _arms(axes, tests[tests.width == width])
        axes.set(title=f"width {width:.0f}")
    panels[0].set(yscale="log", ylabel="ratio to the arm without BN")
    shown = tests[["ratio_low", "ratio_high"]].stack()
    ratio_ticks(panels[0].yaxis, min([0.7, *shown]) / 1.1, max([1.5, *shown]) * 1.1)
    if widths:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _arms(axes: Axes, tests: pd.DataFrame) -> None:
    quantities = list(dict.fromkeys(tests.quantity))
    arms = [arm for arm in ARM_COLOURS if arm in set(tests.arm)]
    for index, arm in enumerate(arms):
        rows = tests[tests.arm == arm].dropna(subset="ratio")
        place = rows.quantity.map(quantities.index).astype(float) + 0.18 * (
            index - (len(arms) - 1) / 2
        )
        error = [rows.ratio - rows.ratio_low, rows.ratio_high - rows.ratio]
        axes.errorbar(place, rows.ratio, error, fmt=ARM_MARKERS[arm], markersize=3.5,
                      capsize=2, linewidth=1, color=ARM_COLOURS[arm],
                      label=ARM_LABELS[arm])  # fmt: skip
    labels = [quantity.replace("epochs to train loss ", "") for quantity in quantities]
    labels = [label.replace("final test loss", "final\ntest\nloss") for label in labels]
    axes.set_xticks(range(len(quantities)), labels, fontsize=6)
    axes.tick_params(axis="x", length=2)
    axes.axvline(len(quantities) - 1.5, color="0.8", linewidth=0.6)
    axes.set_xlabel("epochs to train loss …", fontsize=7)
