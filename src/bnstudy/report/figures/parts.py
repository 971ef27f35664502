"""Parts of BN, and what might do as well: every arm against none, each tuned."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import each_row, has_settings
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Parts of BN, tuned"
CAPTION = (
    "Ratio to the network without BN, each arm tuned for what is shown: geometric mean and {level} "
    "interval over the seeds, on the article's task with the full batch, at width {tuned_width}. "
    "Filled: Adam; hollow: the other optimizer. In brackets: the budget, where it is not {epochs} "
    "epochs. Grey: the ratios that count as the same."
)
TABLES = ("significance.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`significance`: the tuned comparisons at the width for minibatches, two panels."""
    tests, usual, analysis = tables["significance"], study.reference, study.analysis
    wanted: dict[str, Any] = {"role": "tuned", "width": analysis.minibatches.width}
    wanted |= {name: usual[name] for name in ("task", "inputs")} | {"batch_size": "full"}
    budgets = tests.epochs.isin([usual["epochs"], analysis.tasks.epochs])
    rows = tests[has_settings(tests, wanted) & budgets].dropna(subset="ratio")
    rows = rows.assign(name=[_name(row, usual["epochs"]) for row in each_row(rows)])
    columns = [f"epochs_to_{analysis.primary.threshold:g}", "final_test_loss"]
    rows = rows[rows.column.isin(columns)].sort_values(["epochs", "arm"], ascending=[False, True])
    if rows.empty:
        return style.nothing_to_draw()
    names = list(dict.fromkeys(rows.name))
    size = style.PAGE, 0.8 + 0.22 * len(names)
    figure, panels = style.subplots(1, 2, size, sharey=True)
    margins = analysis.margins.epochs, analysis.margins.losses
    for axes, column, margin in zip(panels, columns, margins, strict=True):
        shown = rows[rows.column == column]
        for row in each_row(shown):
            own = row.optimizer == study.defaults.optimizer
            look = style.points(row.arm) | {"label": None}
            look |= {} if own else {"markerfacecolor": "white"}
            style.estimate(axes, row, names.index(row.name) + (-0.15 if own else 0.15), **look)
        quantity = shown.quantity.iloc[0] if len(shown) else column
        axes.set(xlabel="ratio to none", title=quantity)
        style.ratios_on_x(axes, margin, shown)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _name(row: Any, usual: int) -> str:
    """The arm, and its budget where that is another one."""
    return style.look(row.arm).label + ("" if row.epochs == usual else f" ({row.epochs:g})")
