"""BN's effect split into parametrisation and initialisation: every arm against none."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Parametrisation against initialisation"
CAPTION = (
    "Ratio to the network without BN of the epochs needed to each threshold (left of the line) "
    "and of the final test loss (right); geometric mean over the seeds and {level} interval. Two "
    "arms split BN's effect: BN that starts from the function of the network without BN (its "
    "parametrisation alone), and no BN started from the function of the network with BN (its "
    "initialisation alone)."
)
TABLES = ("significance.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`significance`: geometric mean ratio to none and its interval, for each arm and quantity.

    A panel per width; epochs to each threshold from left to right, then the final test loss.
    """
    tests = tables["significance"]
    tests = tests[(tests.role == "exploratory") & tests.width.notna()]
    widths = sorted(set(tests.width))
    count = max(len(widths), 1)
    size = (1.3 + 2.8 * count, 2.6)
    figure, [panels] = style.subplots(1, count, sharey=True, squeeze=False, figsize=size)
    for axes, width in zip(panels, widths, strict=False):
        axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
        _arms(axes, tests[tests.width == width])
        axes.set_title(f"width {width:.0f}")
    panels[0].set(yscale="log", ylabel="ratio to the arm without BN")
    style.ratio_ticks(panels[0].yaxis, [0.7, 1.5, *tests.ratio_low, *tests.ratio_high])
    style.legend_above(figure, panels[0], 3)
    return figure


def _arms(axes: Axes, tests: pd.DataFrame) -> None:
    quantities = list(dict.fromkeys(tests.quantity))
    arms = style.ordered(tests.arm)
    step = min(0.18, 0.8 / len(arms))
    for index, arm in enumerate(arms):
        rows = tests[tests.arm == arm].dropna(subset="ratio")
        shift = step * (index - (len(arms) - 1) / 2)
        place = rows.quantity.map(quantities.index).astype(float) + shift
        axes.errorbar(place, rows.ratio, style.errors(rows), **style.points(arm))
    labels = [quantity.replace("epochs to a train loss of ", "") for quantity in quantities]
    labels = [label.replace("final test loss", "final\ntest\nloss") for label in labels]
    axes.set_xticks(range(len(quantities)), labels, fontsize=6)
    axes.tick_params(axis="x", length=2)
    axes.axvline(len(quantities) - 1.5, color="0.8", linewidth=0.6)
    axes.set_xlabel("epochs to train loss …", fontsize=7)
