"""What a run reaches against its learning rate, each arm: why one rate misleads."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import at_settings
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "What a run reaches, by its learning rate"
CAPTION = (
    "Final test loss (left) and epochs to the primary threshold (right) of the network of width "
    "{width}, by learning rate and schedule: median and quartiles over the seeds, those of tuning "
    "and, at the article's rate (vertical line), the study's. Missing where more than half of the "
    "runs never got there."
)
TABLES = ("runs.csv",)

LINES = {"constant": "--", "cosine": "-"}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`runs`: a line per arm and schedule, of the cells that differ from `defaults` in these and
    the rate alone, at the primary width."""
    primary, runs = study.analysis.primary, tables["runs"]
    usual = {"width": primary.width, "tuned_for": study.reference["tuned_for"]}
    runs = runs[at_settings(runs, study, usual) & runs.arm.isin(style.PAIR)]
    rate, seeds = study.defaults.learning_rate, study.study_seeds
    runs = runs[np.where(runs.learning_rate == rate, runs.seed.isin(seeds), ~runs.seed.isin(seeds))]
    threshold = f"{primary.threshold:g}"
    titles = {
        "final_test_loss": "final test loss",
        f"epochs_to_{threshold}": f"epochs to a train loss of {threshold}",
    }
    figure, panels = style.subplots(1, 2, figsize=(style.PAGE, 2.8))
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        got = runs.get(f"reached_{column.removeprefix('epochs_to_')}", runs.status == "finished")
        _lines(axes, runs.assign(value=runs[column].where(got.astype(bool))))
        axes.axvline(rate, color="0.5", linewidth=0.6, zorder=1)
        axes.set(title=title, xlabel="learning rate", xscale="log", yscale="log")
    style.legend_above(figure, panels[0], 4)
    return figure


def _lines(axes: Axes, runs: pd.DataFrame) -> None:
    for arm, rows in style.by_arm(runs, style.PAIR):
        for schedule, line in LINES.items():
            by_rate = rows[rows.schedule == schedule].groupby("learning_rate")
            shown = by_rate.filter(lambda cell: cell.value.notna().mean() > 0.5)
            look: style.Style = {"linestyle": line, "marker": arm.marker, "markersize": 3}
            look |= {"label": f"{arm.label}, {schedule}"}
            if len(shown):
                style.band(axes, shown.groupby("learning_rate").value, arm.colour, **look)
