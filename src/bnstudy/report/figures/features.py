"""What the hidden features look like while training: size, saturation, rank."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import grid_runs
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Hidden features while training"
CAPTION = (
    "On the test points, at width {width}: mean absolute pre-activation, share of values with "
    "|tanh| above {saturation:g}, effective rank; median and quartiles over {seeds}. In "
    "evaluation mode: in the first dozens of epochs BN's running values still lag behind."
)
TABLES = ("diagnostics.parquet",)

PANELS = {
    "mean_abs_z": "mean |z|",
    "saturated_share": "saturated share",
    "effective_rank": "effective rank",
}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`diagnostics` of the grid at the primary width: median and quartiles over the seeds, for
    every arm; on the test points in evaluation mode."""
    grid = grid_runs(tables["diagnostics"], study)
    grid = grid[grid.width == study.analysis.primary.width]
    figure, panels = style.subplots(1, len(PANELS), figsize=(style.PAGE, 2.4))
    for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
        for shown, rows in style.by_arm(grid, style.ordered(grid.arm)):
            values = rows[name].groupby(rows.epoch + 1)
            style.band(axes, values, shown.colour, label=shown.label, linestyle=shown.line)
        axes.set(xscale="log", xlabel="epochs trained", title=label)
    style.legend_above(figure, panels[0], 4)
    return figure
