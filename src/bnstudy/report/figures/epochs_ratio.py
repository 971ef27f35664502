"""Figure 3: ratio of the epochs needed to reach a train loss, with BN over without."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import COLUMN, plain_log_ticks, ratio_ticks, subplots, width_styles
from bnstudy.study import FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`significance`: a line a width, geometric mean ratio and interval at each threshold.

    A line ends where no run of the width reached the threshold. Open markers: some runs did not,
    and count with the budget.
    """
    tests = tables["significance"]
    tests = tests[(tests.hypothesis == "H1") & (tests.test == "sign-flip") & tests.width.notna()]
    figure, axes = subplots(figsize=(COLUMN, 2.7))
    axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
    styles = width_styles(set(tests.width))
    for index, (width, rows) in enumerate(tests.groupby("width")):
        rows = rows.dropna(subset=["ratio"]).sort_values("threshold", ascending=False)
        if rows.empty:
            continue
        shift = 1.05 ** (index - (len(styles) - 1) / 2)  # beside each other, not on top
        place, colour = rows.threshold * shift, styles[width]["color"]
        error = [rows.ratio - rows.ratio_low, rows.ratio_high - rows.ratio]
        axes.errorbar(place, rows.ratio, error, **styles[width], capsize=2, linewidth=1,
                      markersize=4, label=f"width {width:g}")  # fmt: skip
        whole = (rows.reached_none == rows.n_pairs) & (rows.reached_batch == rows.n_pairs)
        axes.scatter(place, rows.ratio, s=16, marker=styles[width]["marker"],
                     facecolor=np.where(whole, colour, "white"),
                     edgecolor=colour, zorder=3)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="train loss to reach (per sample)",
             ylabel="epochs needed, with BN / without")  # fmt: skip
    axes.invert_xaxis()
    plain_log_ticks(axes.xaxis, sorted(study.analysis.thresholds))
    shown = tests[["ratio_low", "ratio_high"]].stack()
    ratio_ticks(axes.yaxis, min([0.7, *shown]) / 1.1, max([1.5, *shown]) * 1.1)
    axes.tick_params(axis="x", labelrotation=30)
    axes.text(0.99, 0.01, "▼ faster with BN", transform=axes.transAxes, ha="right", va="bottom",
              fontsize=6.5, color="0.4")  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure
