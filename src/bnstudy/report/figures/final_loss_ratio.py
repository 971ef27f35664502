"""Ratio of final test losses, with BN over without, against width."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.hypotheses import ARTICLE
from bnstudy.analysis.outcomes import each_row, grid_runs, log_ratio
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Ratio of final test losses"
CAPTION = (
    "With BN over without, against width, both axes logarithmic; below 1, the network with BN "
    "ends lower. A grey dot is a pair of runs; beside them the geometric mean and its "
    "{level} interval. A final loss is the median over the last {final_window} epochs. The grey "
    "band, within a factor of {margin:g}, counts as the same."
)
TABLES = ("runs.csv", "significance.csv")


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a dot per seed; `significance`: geometric mean and interval per width."""
    runs, tests = grid_runs(tables["runs"], study), tables["significance"]
    margin = study.analysis.margins.losses
    tests = tests[(tests.claim == "C2") & (tests.regime == ARTICLE) & tests.width.notna()]
    ylabel = "final test loss, with BN / without"
    figure, axes = style.ratio_panel(2.6, "width (hidden units)", ylabel)
    axes.axhspan(1 / margin, margin, color="0.92", zorder=0)
    shown = [1 / margin, margin]
    colour = style.look(style.TREATMENT).colour
    point: style.Style = {"fmt": "o", "color": colour, "markersize": 4, "capsize": 3}
    for row in each_row(tests):
        ratios = np.exp(log_ratio(runs[runs.width == row.width], "final_test_loss"))
        spread = np.exp(np.linspace(-0.12, 0.12, len(ratios)))
        axes.plot(row.width * spread, ratios, "o", markersize=2, color="0.6", zorder=2)
        error = [[row.ratio - row.ratio_low], [row.ratio_high - row.ratio]]
        axes.errorbar(row.width, row.ratio, error, zorder=3, **point)
        shown.extend(ratios)
    style.plain_log_ticks(axes.xaxis, sorted(tests.width))
    style.ratio_ticks(axes.yaxis, shown)
    text: style.Style = {"ha": "right", "va": "top", "color": "0.4", "fontsize": 6.5}
    place = axes.get_yaxis_transform()
    axes.text(0.99, margin, f"same within {margin:g}× ", transform=place, **text)
    return figure
