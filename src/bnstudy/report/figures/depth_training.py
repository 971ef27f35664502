"""Share of deep networks that train against the size of their weights, with and without BN."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.statistics import share
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Which deep networks train"
CAPTION = (
    "Share of networks of {depth_training.depth} hidden layers of {depth_training.width} units, "
    "with weights from N(0, σ_w²/inputs), whose train loss comes down to "
    "{depth_training.threshold:g} within {depth_training.epochs} epochs of Adam on "
    "{depth_training.points} points; {depth_training_seeds}. Markers: at the learning rate with "
    "which most do, for each σ_w, with {level} intervals; thin lines: at each rate. Upright line: "
    "σ_w = 1, critical without BN."
)
TABLES = ("depth_training.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`depth_training`: the share at each rate, and the largest with its interval."""
    runs = tables["depth_training"]
    figure, axes = style.subplots(figsize=(style.COLUMN, 2.4))
    axes.set(xscale="log", xlabel=r"size of the weights, $\sigma_w$")
    axes.set(ylim=(-0.03, 1.03), ylabel="share of networks that train")
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    beside = 0.96, 1.04  # so that neither hides the other
    for shift, (norm, of_norm) in zip(beside, runs.groupby("norm", sort=False), strict=False):
        shown, seeds = style.look(str(norm)), of_norm.seed.nunique()
        trained = of_norm.pivot_table(
            index="scale", columns="learning_rate", values="reached", aggfunc="sum"
        )
        axes.plot(trained / seeds, color=shown.colour, linewidth=0.5, alpha=0.6)
        best, low, high = share(trained.max(axis=1), seeds, 1 - study.analysis.alpha)
        error = [best - low, high - best]
        axes.errorbar(shift * trained.index, best, error, **style.points(str(norm)), linestyle="-")
    style.plain_log_ticks(axes.xaxis, sorted(set(runs.scale)))
    style.legend_above(axes, axes, 2)
    return figure
