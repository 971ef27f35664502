"""The curves of one cell: every seed, and the median and quartiles over them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.report.style import band, look, subplots


def draw(curves: pd.DataFrame, arm: str, cell: str) -> Figure:
    """`curves`: columns seed, epoch, train_loss, test_loss of the `cell` (its name), which has
    `arm`. A panel whose runs all diverged at once says so: nothing can be drawn on a log scale."""
    figure, panels = subplots(1, 2, sharey=True)
    colour, label = look(arm).colour, look(arm).label
    epochs = curves.assign(epoch=curves.epoch + 1)  # a log axis has no epoch 0
    for axes, part in zip(panels, ("train", "test"), strict=True):
        axes.set(title=f"{part} loss, {label} ({cell})", xlabel="epoch + 1")
        if not np.isfinite(epochs[f"{part}_loss"]).any():
            axes.text(0.5, 0.5, "all diverged at epoch 0", transform=axes.transAxes, ha="center")
            continue
        for _, run in epochs.groupby("seed"):
            axes.plot(run.epoch, run[f"{part}_loss"], color=colour, alpha=0.25, linewidth=0.4)
        band(axes, epochs.groupby("epoch")[f"{part}_loss"], colour)
        axes.set(xscale="log", yscale="log")
    panels[0].set_ylabel("loss")
    return figure
