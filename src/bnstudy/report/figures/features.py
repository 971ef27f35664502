"""Figure 8: what the hidden features look like while training: size, saturation, rank."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, ARM_LABELS, ARM_LINES, PAGE, band, subplots
from bnstudy.study import FigureSettings

PANELS = {
    "mean_abs_z": "mean |z|",
    "saturated_share": "saturated share",
    "effective_rank": "effective rank",
}


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`measures`, at the original's width: median and quartiles over the grid's seeds, an arm
    each; on the test points in evaluation mode."""
    measures = tables["measures"]
    measures = measures[measures.seed.isin(study.grid_seeds)]
    figure, panels = subplots(1, len(PANELS), figsize=(PAGE, 2.4))
    arms = [arm for arm in ARM_COLOURS if arm in set(measures.arm)]
    for axes, (name, label) in zip(panels, PANELS.items(), strict=True):
        for arm in arms:
            rows = measures[measures.arm == arm]
            values = rows[name].groupby(rows.epoch + 1)
            band(axes, values, ARM_COLOURS[arm], ARM_LABELS[arm],
                 linestyle=ARM_LINES[arm])  # fmt: skip
        axes.set(xscale="log", xlabel="epochs trained", title=label)
    if arms:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
