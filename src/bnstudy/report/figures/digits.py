"""Two networks on the digits: validation loss by epoch, and ratio of the epochs to a threshold."""

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import (
    ARM_COLOURS,
    ARM_LABELS,
    COLUMN,
    STYLE,
    plain_log_ticks,
    ratio_ticks,
)
from bnstudy.measures import digits_pairs
from bnstudy.study import PAIR, FigureSettings

NETWORKS = ("dense", "convolutional")


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`digits_curves`: median and quartiles over seeds; `digits`: a dot a seed;
    `significance`: their geometric mean and its interval."""
    runs, curves = tables["digits"], tables["digits_curves"]
    matplotlib.style.use(STYLE)
    figure = Figure(layout="constrained", figsize=(COLUMN, 3.4))
    panels = figure.subplot_mosaic([[*NETWORKS], ["ratio", "ratio"]], height_ratios=[5, 3])
    panels[NETWORKS[1]].sharey(panels[NETWORKS[0]])
    for network in NETWORKS:
        panels[network].set(title=network, xlabel="epoch", yscale="log")
        _curves(panels[network], curves[curves.network == network], set(runs.threshold))
    panels[NETWORKS[0]].set_ylabel("validation loss")
    panels[NETWORKS[1]].tick_params(labelleft=False)
    _ratios(panels["ratio"], runs, tables["significance"])
    return figure


def _curves(axes: Axes, curves: pd.DataFrame, thresholds: set[float]) -> None:
    """Band and line of each arm, labelled in the right upper corner; the threshold."""
    for place, arm in enumerate(PAIR):
        losses = curves[curves.arm == arm].groupby("epoch").validation_loss
        if not losses.ngroups:
            continue
        low, middle, high = (losses.quantile(q) for q in (0.25, 0.5, 0.75))
        axes.plot(middle.index + 1, middle, color=ARM_COLOURS[arm])
        axes.fill_between(middle.index + 1, low, high, color=ARM_COLOURS[arm], alpha=0.2,
                          linewidth=0)  # fmt: skip
        axes.text(0.98, 0.97 - 0.1 * place, ARM_LABELS[arm], color=ARM_COLOURS[arm], ha="right",
                  va="top", fontsize=7, transform=axes.transAxes)  # fmt: skip
    for threshold in thresholds:
        axes.axhline(threshold, color="0.5", linewidth=0.6, linestyle="--", zorder=1)
    plain_log_ticks(axes.yaxis, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])


def _ratios(axes: Axes, runs: pd.DataFrame, tests: pd.DataFrame) -> None:
    """A row a network: dots of the seeds, spread by their order; geometric mean and interval."""
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    shown = [0.8, 1.1]
    for row, (network, test) in enumerate(zip(NETWORKS, ("H5a", "H5b"), strict=True)):
        ratios = np.exp(digits_pairs(runs, network)[2])
        shown.extend(ratios)
        axes.plot(ratios, row + np.linspace(0.05, 0.3, len(ratios)), "o", color="0.6",
                  markersize=2)  # fmt: skip
        for mean in tests[tests.hypothesis == test].dropna(subset="ratio").itertuples():
            error = [[mean.ratio - mean.ratio_low], [mean.ratio_high - mean.ratio]]
            axes.errorbar(mean.ratio, row - 0.15, xerr=error, fmt="o",
                          color=ARM_COLOURS["batch"], markersize=4, capsize=3)  # fmt: skip
            text = f"{mean.ratio:.2f} ({mean.ratio_low:.2f} to {mean.ratio_high:.2f})"
            axes.annotate(text, (mean.ratio, row - 0.15), (0, 4), textcoords="offset points",
                          ha="center", va="bottom", color=ARM_COLOURS["batch"], fontsize=6.5,
                          bbox={"color": "white", "pad": 0.5})  # fmt: skip
    axes.set(xscale="log", xlabel="epochs to the dashed loss, with BN / without",
             xlim=(min(shown) / 1.05, max(shown) * 1.05), ylim=(1.45, -0.75),
             yticks=range(len(NETWORKS)), yticklabels=NETWORKS)  # fmt: skip
    ratio_ticks(axes.xaxis, *axes.get_xlim())
