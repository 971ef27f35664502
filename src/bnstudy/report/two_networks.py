"""A dense and a convolutional network: validation loss by epoch, ratio of epochs to a threshold.

What the figures `digits` and `mnist1d` share.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from bnstudy.analysis.outcomes import digits_pairs, each_row
from bnstudy.analysis.wording import interval
from bnstudy.report import style

NETWORKS = ("dense", "convolutional")


def draw(runs: pd.DataFrame, curves: pd.DataFrame, tests: pd.DataFrame) -> Figure:
    """`curves`: median and quartiles over seeds; `runs`: a dot per seed; `tests`: of each network
    the geometric mean and its interval."""
    figure = style.new_figure(figsize=(style.COLUMN, 3.4))
    panels = figure.subplot_mosaic([[*NETWORKS], ["ratio", "ratio"]], height_ratios=[5, 3])
    first, second = (panels[network] for network in NETWORKS)
    second.sharey(first)
    for network in NETWORKS:
        panels[network].set(title=network, xlabel="epoch", yscale="log")
        _curves(panels[network], curves[curves.network == network], set(runs.threshold))
    first.set_ylabel("validation loss")
    second.tick_params(labelleft=False)
    _ratios(panels["ratio"], runs, tests)
    return figure


def _curves(axes: Axes, curves: pd.DataFrame, thresholds: set[float]) -> None:
    """Band and line of each arm, labelled in the right upper corner; the threshold."""
    for place, arm in enumerate(style.PAIR):
        rows, shown = curves[curves.arm == arm], style.look(arm)
        if rows.empty:
            continue
        style.band(axes, rows.validation_loss.groupby(rows.epoch), shown.colour)
        text: style.Style = {"color": shown.colour, "ha": "right", "va": "top", "fontsize": 7}
        axes.text(0.98, 0.97 - 0.1 * place, shown.label, transform=axes.transAxes, **text)
    for threshold in thresholds:
        axes.axhline(threshold, color="0.5", linewidth=0.6, linestyle="--", zorder=1)
    style.plain_log_ticks(axes.yaxis, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])


def _ratios(axes: Axes, runs: pd.DataFrame, tests: pd.DataFrame) -> None:
    """A row per network: dots of the seeds, spread by their order; geometric mean and interval."""
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    shown = [0.8, 1.1]
    colour = style.look(style.TREATMENT).colour
    for row, network in enumerate(NETWORKS):
        ratios = np.exp(digits_pairs(runs, network)[2])
        shown.extend(ratios)
        spread = row + np.linspace(0.05, 0.3, len(ratios))
        axes.plot(ratios, spread, "o", color="0.6", markersize=2)
        for mean in each_row(tests[tests.of == network].dropna(subset="ratio")):
            point: style.Style = {"fmt": "o", "color": colour, "markersize": 4, "capsize": 3}
            style.estimate(axes, mean, row - 0.15, **point)
            place = axes.transData + ScaledTranslation(0, 4 / 72, axes.figure.dpi_scale_trans)
            text: style.Style = {"ha": "center", "va": "bottom", "color": colour, "fontsize": 6.5}
            text["bbox"] = {"color": "white", "pad": 0.5}
            axes.text(mean.ratio, row - 0.15, interval(mean), transform=place, **text)
    axes.set(xscale="log", xlabel="epochs to the dashed loss, with BN / without")
    axes.set(xlim=(min(shown) / 1.05, max(shown) * 1.05), ylim=(1.45, -0.75))
    axes.set_yticks(range(len(NETWORKS)), NETWORKS)
    style.ratio_ticks(axes.xaxis, axes.get_xlim(), margin=1)
