"""Figure 9 (extended study): ratio of test losses against epoch, far beyond the article's end."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import COLUMN, ratio_ticks, subplots, width_styles
from bnstudy.study import FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`horizon`: geometric mean over seeds of the ratio of median losses, and its interval."""
    table = tables["horizon"].dropna(subset="ratio")
    figure, axes = subplots(figsize=(COLUMN, 2.5))
    axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
    margin = study.analysis.equivalence_margin
    axes.axhspan(1 / margin, margin, color="0.94", zorder=0)
    styles = width_styles(set(table.width))
    for width, rows in table.groupby("width"):
        axes.plot(rows.epochs, rows.ratio, **styles[width], markersize=3, markevery=4,
                  label=f"width {width}")  # fmt: skip
        axes.fill_between(rows.epochs, rows.ratio_low, rows.ratio_high, alpha=0.2,
                          color=styles[width]["color"], linewidth=0)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="epochs trained",
             ylabel="test loss, with BN / without")  # fmt: skip
    shown = [1 / margin, margin, *table.ratio_low, *table.ratio_high]
    ratio_ticks(axes.yaxis, min(shown) / 1.1, max(shown) * 1.1)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure
