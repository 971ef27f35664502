"""Test loss at the end against batch size, BN evaluated with three kinds of statistics."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import by_batch_size
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Minibatches, and three evaluations"
CAPTION = (
    "Test loss at the end of training against the samples per step (the largest: the full batch), "
    "at equal numbers of steps, each arm tuned for its final test loss; median and quartiles over "
    "the seeds. BN is evaluated with its running estimates, with the statistics of the whole "
    "training set, and with those of each batch of test points. Between the first two lines is the "
    "noise of the running estimates, between the last two the mismatch of training and evaluation; "
    "what the second has above its value for the full batch is noise while training. An arm "
    "without such statistics has one line."
)
TABLES = ("runs.csv",)

EVALUATIONS: dict[str, tuple[str, style.Style]] = {
    "running": ("BN: running estimates", {"linestyle": "-"}),
    "population": ("BN: training set", {"linestyle": "--", "markerfacecolor": "white"}),
    "batch": ("BN: each batch", {"linestyle": ":"}),
}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a line per arm and evaluation that differs from the first, against the batch size."""
    runs = by_batch_size(tables["runs"], study)
    figure, axes = style.subplots(figsize=(style.COLUMN, 2.9))
    axes.set(xscale="log", yscale="log")
    for label, line in EVALUATIONS.values():
        axes.plot([], [], color="0.4", marker="o", markersize=3, label=label, **line)
    for shown, rows in style.by_arm(runs, style.ordered(runs.arm)):
        for name, (_, line) in EVALUATIONS.items():
            losses, first = rows[f"final_{name}_test_loss"], rows.final_running_test_loss
            if name == "running" or not np.allclose(
                losses, first, rtol=1e-9, atol=0, equal_nan=True
            ):
                marks = line | {"marker": shown.marker, "markersize": 3}
                style.band(axes, losses.groupby(rows.samples), shown.colour, **marks)
        axes.plot([], [], shown.marker, color=shown.colour, markersize=4, label=shown.label)
    title = f"width {study.analysis.minibatches.width}, n = {runs.seed.nunique()}"
    axes.set(xlabel="samples per step", ylabel="test loss at the end", title=title)
    style.plain_log_ticks(axes.xaxis, sorted(set(runs.samples)))
    style.legend_above(figure, axes, 2)
    return figure
