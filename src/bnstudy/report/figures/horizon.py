"""Ratio of test losses against epoch, far beyond the article's end."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Beyond the article's end"
CAPTION = (
    "Ratio of test losses (medians over {final_window} epochs), with BN over without, against "
    "the number of epochs: geometric mean and {level} interval over the seeds, one line per "
    "width. The grey band counts as the same."
)
TABLES = ("horizon.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`horizon`: geometric mean over seeds of the ratio of median losses, and its interval."""
    table = tables["horizon"].dropna(subset="ratio")
    if table.empty:
        return style.nothing_to_draw()
    margin = study.analysis.margins.losses
    figure, axes = style.ratio_panel(2.5, "epochs trained", "test loss, with BN / without")
    axes.axhspan(1 / margin, margin, color="0.94", zorder=0)
    styles = style.width_styles(set(table.width))
    for width, rows in table.groupby("width"):
        line = styles[width] | {"markersize": 3, "markevery": 4, "label": f"width {width}"}
        axes.plot(rows.epochs, rows.ratio, **line)
        shade: style.Style = {"color": line["color"], "alpha": 0.2, "linewidth": 0}
        axes.fill_between(rows.epochs, rows.ratio_low, rows.ratio_high, **shade)
    style.ratio_ticks(axes.yaxis, [1 / margin, margin, *table.ratio_low, *table.ratio_high])
    style.legend_above(axes, axes, 3)
    return figure
