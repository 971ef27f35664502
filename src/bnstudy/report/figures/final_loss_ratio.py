"""Figure 2: ratio of final test losses, with BN over without, against width."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, COLUMN, plain_log_ticks, ratio_ticks, subplots
from bnstudy.measures import log_ratio
from bnstudy.study import FigureSettings


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`runs`: a dot a seed; `significance`: Hodges-Lehmann estimate and interval a width."""
    runs, tests = tables["runs"], tables["significance"]
    margin = study.analysis.equivalence_margin
    tests = tests[(tests.hypothesis == "H2a") & (tests.margin == margin)]
    figure, axes = subplots(figsize=(COLUMN, 2.6))
    axes.axhspan(1 / margin, margin, color="0.92", zorder=0)
    axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
    extremes = [1 / margin, margin]
    for row in tests.itertuples():
        ratios = np.exp(log_ratio(runs[runs.in_grid], row.width, "final_test_loss"))
        ratios = ratios[np.isfinite(ratios)]
        spread = np.exp(np.linspace(-0.12, 0.12, len(ratios)))
        axes.plot(row.width * spread, ratios, "o", markersize=2, color="0.6", zorder=2)
        error = [[row.hl_ratio - row.hl_ratio_low], [row.hl_ratio_high - row.hl_ratio]]
        axes.errorbar(row.width, row.hl_ratio, error, fmt="o", color=ARM_COLOURS["batch"],
                      markersize=4, capsize=3, zorder=3)  # fmt: skip
        extremes.extend(ratios)
    axes.set(xscale="log", yscale="log", xlabel="width (hidden units)",
             ylabel="final test loss, with BN / without")  # fmt: skip
    plain_log_ticks(axes.xaxis, sorted(tests.width))
    ratio_ticks(axes.yaxis, min(extremes) / 1.1, max(extremes) * 1.1)
    axes.text(0.99, margin, f"same within {margin:g}× ", transform=axes.get_yaxis_transform(),
              ha="right", va="top", color="0.4", fontsize=6.5)  # fmt: skip
    return figure
