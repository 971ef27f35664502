"""BN's effect on the epochs to a loss, task by task, and what that says of tasks in general."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.hypotheses import MEAN_TASK, NEW_TASK, epochs_to
from bnstudy.analysis.outcomes import each_row, tests_of_tasks
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "BN's effect, task by task"
CAPTION = (
    "Ratio, with BN over without, of the epochs to a train loss of {share} of the targets' "
    "variance, each arm tuned for it: geometric mean and {level} interval over the seeds, for each "
    "target on three kinds of inputs. Hollow: some runs never got there, the ratio is a bound or "
    "says nothing. Below: the mean over tasks with its interval, and the interval for a new one, "
    "of the tasks that are estimable. Grey: the ratios that count as the same."
)
TABLES = ("significance.csv",)

SIZE: style.Style = {"markersize": 3, "linewidth": 0.9}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`significance`: a row per task of the tuned comparisons, a point per kind of inputs."""
    tests, rows = tables["significance"], tests_of_tasks(tables["significance"], study)
    column = epochs_to(study.analysis.primary.threshold)["column"]
    rows = rows[rows.column == column].dropna(subset="ratio")
    if rows.empty:
        return style.nothing_to_draw()
    pooled = tests[tests.regime.isin([MEAN_TASK, NEW_TASK])].dropna(subset="ratio")
    middle = rows[rows.inputs == "plain"].set_index("task").ratio
    names = [*middle.sort_values().index, *pooled.regime]
    figure, axes = style.subplots(figsize=(style.COLUMN, 0.9 + 0.24 * len(names)))
    for index, (inputs, shown) in enumerate(style.INPUTS.items()):
        look: style.Style = {"marker": shown.marker, "color": shown.colour}
        axes.plot([], [], linestyle="", markersize=3.5, label=inputs, **look)
        for row in each_row(rows[rows.inputs == inputs]):
            censored = row.censored_reference + row.censored_arm > 0
            place = names.index(row.task) + 0.22 * (index - 1)
            hollow: style.Style = {"markerfacecolor": "white"} if censored else {}
            style.estimate(axes, row, place, **SIZE | look | hollow)
    for row in each_row(pooled):
        style.estimate(axes, row, names.index(row.regime), marker="D", color="black", **SIZE)
    style.ratios_on_x(axes, study.analysis.margins.epochs, pd.concat([rows, pooled]))
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="ratio of epochs")
    style.legend_above(figure, axes, 3)
    return figure
