"""Each arm's effect under other settings: task, optimizer, learning rate, noise, minibatches …"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "BN's effect under other settings"
CAPTION = (
    "Ratio to the network without BN when settings are changed, of the final test loss and of "
    "the epochs to the primary threshold: geometric mean and {level} interval over the seeds. On "
    "top, for comparison, the default settings on the same seeds."
)
TABLES = ("effects.csv",)

PANELS = {"final_test_loss": "final test loss", "epochs_to": "epochs to the primary threshold"}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`effects`: ratio to none and its interval, a row per label (setting and width) and in it
    every arm in its own colour."""
    effects = tables["effects"]
    if effects.empty:
        return style.nothing_to_draw()
    labels = list(dict.fromkeys(effects.label))
    lines = effects.groupby("label").arm.nunique().clip(lower=1.7).sum()
    figure, panels = style.subplots(1, 2, sharey=True, figsize=(style.PAGE, 1 + 0.1 * lines))
    for axes, (quantity, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, effects[effects.quantity == quantity], labels)
        axes.set(title=title, xlabel="ratio to the arm without BN")
    panels[0].set_yticks(range(len(labels)), labels, fontsize=6.5)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    style.legend_above(figure, panels[0], 4)
    return figure


def _panel(axes: Axes, effects: pd.DataFrame, labels: list[str]) -> None:
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    known = effects.dropna(subset="ratio")
    for arm in style.ordered(known.arm):
        rows = known[known.arm == arm]
        place = [_place(known, label, arm, labels) for label in rows.label]
        axes.errorbar(rows.ratio, place, xerr=style.errors(rows), **style.points(arm))
    axes.set_xscale("log")
    style.ratio_ticks(axes.xaxis, [0.7, 1.5, *known.ratio_low, *known.ratio_high])


def _place(effects: pd.DataFrame, label: str, arm: str, labels: list[str]) -> float:
    """The height of an arm's point in the row `label`: the row's arms lie around its middle."""
    arms = style.ordered(effects.arm[effects.label == label])
    step = min(0.25, 0.8 / len(arms))
    return labels.index(label) + step * (arms.index(arm) - (len(arms) - 1) / 2)
