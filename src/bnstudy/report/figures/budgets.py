"""BN's effect on the tuned final loss against the budget of epochs."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.hypotheses import FINAL_LOSS
from bnstudy.analysis.outcomes import TREATMENT, has_settings
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "BN's effect against the budget"
CAPTION = (
    "Ratio, with BN over without, of the final test loss after each budget of epochs, each arm "
    "tuned for that budget, on the article's task at width {tuned_width}: geometric mean and "
    "{level} interval over the seeds. Grey: the ratios that count as the same."
)
TABLES = ("significance.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`significance`: the tuned comparisons of final losses, by budget."""
    tests, usual = tables["significance"], study.reference
    wanted: dict[str, Any] = {"role": "tuned", "column": FINAL_LOSS["column"]}
    wanted |= {"arm": TREATMENT, "batch_size": "full"}
    wanted |= {name: usual[name] for name in ("task", "inputs", "optimizer")}
    wanted["width"] = study.analysis.minibatches.width
    rows = tests[has_settings(tests, wanted)].dropna(subset="ratio").sort_values("epochs")
    if rows.empty:
        return style.nothing_to_draw()
    figure, axes = style.ratio_panel(2.4, "budget in epochs", "ratio of final test losses")
    margin = study.analysis.margins.losses
    axes.axhspan(1 / margin, margin, color="0.88", linewidth=0, zorder=0)
    axes.errorbar(rows.epochs, rows.ratio, yerr=style.errors(rows), **style.points(TREATMENT))
    style.plain_log_ticks(axes.xaxis, sorted(set(rows.epochs)))
    style.ratio_ticks(axes.yaxis, [1 / margin, margin, *rows.ratio_low, *rows.ratio_high])
    return figure
