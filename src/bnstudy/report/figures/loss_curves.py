"""The article's own picture, and beside it the same over all seeds of the study."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import each_row, grid_runs
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Loss curves, of one run and of all"
CAPTION = (
    "Left: the article's own figure, one run. Right: the network of width {width} over the "
    "study's {seeds}; median (line) and quartiles (band). Loss per sample, logarithmic. Red: "
    "with BN; blue: without. Solid: train; dashed: test."
)
TABLES = ("curves_thinned.parquet", "experiments.csv")

# The article's colours, since this is its own figure; and its order.
COLOURS = {"batch": "red", "none": "blue"}
LINES = {"train": "-", "test": "--"}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`curves_thinned`: left the first run of the experiment `original` (in `experiments`) with
    each arm; right the grid's runs at the primary width."""
    curves, experiments = tables["curves_thinned"], tables["experiments"]
    figure, (left, right) = style.subplots(1, 2, sharey=True)
    _original(left, curves, experiments[experiments.experiment == "original"])
    width = study.analysis.primary.width
    grid = grid_runs(curves, study)
    grid = grid[grid.width == width]
    for arm, colour in COLOURS.items():
        runs = grid[grid.arm == arm]
        if runs.empty:
            continue
        by_epoch = runs.groupby("epoch")
        for part, line in LINES.items():
            label = f"{part} {style.look(arm).label}"
            values = by_epoch[f"{part}_loss"]
            style.band(right, values, colour, label=label, linestyle=line, linewidth=1)
    count = grid.seed.nunique()
    right.set(title=f"median and quartiles of {count} seeds, width {width}", xlabel="epoch")
    left.set(ylabel="loss", yscale="log")
    if left.lines or right.lines:
        (left if left.lines else right).legend()
    return figure


def _original(axes: Axes, curves: pd.DataFrame, original: pd.DataFrame) -> None:
    """The losses of one run with each arm. The panel says so if there is no such experiment."""
    if original.empty:
        axes.set_title("no experiment `original`")
        return
    for arm, colour in COLOURS.items():
        for row in each_row(original[original.arm == arm].head(1)):
            run = curves[(curves.cell == row.cell) & (curves.seed == row.first_seed)]
            for part, line in LINES.items():
                label = f"{part} {style.look(arm).label}"
                shown: style.Style = {"color": colour, "linewidth": 1, "label": label}
                axes.plot(run.epoch, run[f"{part}_loss"], line, **shown)
    first = original.iloc[0]
    axes.set_title(f"one run, as in the article: width {first.width}, seed {first.first_seed}")
    axes.set_xlabel("epoch")
