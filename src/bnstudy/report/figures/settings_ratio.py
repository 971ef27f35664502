"""Extended study: BN's effect under other learning rates, label noise, minibatches, widths."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import PAGE, SEQUENCE, ratio_ticks, subplots
from bnstudy.study import FigureSettings

PANELS = {"final_test_loss": "final test loss", "epochs_to": "epochs to the primary threshold"}


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`effects`: ratio with BN over without and its interval, a row a setting and width.

    The settings as they are in the default study stand on top, on the extended study's seeds.
    """
    effects = tables["effects"]
    effects = effects[effects.arm == "batch"]
    rows = list(dict.fromkeys(effects.label))
    figure, panels = subplots(1, 2, sharey=True, figsize=(PAGE, 0.8 + 0.17 * max(len(rows), 1)))
    for axes, (quantity, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, effects[effects.quantity == quantity], rows)
        axes.set(title=title, xlabel="with BN / without")
    panels[0].set_yticks(range(len(rows)), rows, fontsize=6.5)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _panel(axes: Axes, effects: pd.DataFrame, labels: list[str]) -> None:
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    known = effects.dropna(subset="ratio")
    for kind, colour in zip(dict.fromkeys(effects.kind), SEQUENCE, strict=False):
        rows = known[known.kind == kind]
        error = [rows.ratio - rows.ratio_low, rows.ratio_high - rows.ratio]
        axes.errorbar(rows.ratio, rows.label.map(labels.index), xerr=error, fmt="o", capsize=2,
                      markersize=3, linewidth=1, color=colour)  # fmt: skip
    axes.set_xscale("log")
    shown = known[["ratio_low", "ratio_high"]].stack()
    ratio_ticks(axes.xaxis, min([0.7, *shown]) / 1.1, max([1.5, *shown]) * 1.1)
