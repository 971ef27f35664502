"""Claims against regimes: where each holds, where it fails, with the ratio that shows it."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bnstudy.analysis.hypotheses import ARTICLE, MINIBATCHES, TUNED
from bnstudy.analysis.outcomes import each_row
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Claims against regimes"
CAPTION = (
    "Each row is a claim of the article, each box a regime: the verdict, and of the comparison "
    "that decides the ratio (dot) with its {level} interval, on an axis from 1/4 to 4 whose middle "
    "line is 1; beyond it an arrow points. Grey: the ratios that count as the same. Ratios are "
    "with BN over without, of the quantity named below the verdict."
)
TABLES = ("claims.csv",)

COLOURS = {"holds": "#c6dbef", "fails": "#fdd0a2", "open": "0.93", "not estimable": "white"}
COLUMNS = (ARTICLE, TUNED, MINIBATCHES, "and")
REACH = 4.0  # the axis of a box


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`claims`: a box per row, other regimes than the first three below each other in the last
    column."""
    claims = tables["claims"]
    names = list(dict.fromkeys(claims.claim))
    place = claims.regime.map({regime: i for i, regime in enumerate(COLUMNS[:-1])}).fillna(3)
    shared = claims.assign(column=place).groupby(["claim", "column"]).regime.transform("size")
    heights = {name: max([1, *shared[claims.claim == name]]) for name in names}
    figure, axes = style.subplots(figsize=(style.PAGE, 0.4 + 0.72 * sum(heights.values())))
    top = 0.0
    for name in names:
        rows = claims[claims.claim == name]
        text: style.Style = {"va": "center", "ha": "right", "fontsize": 7, "wrap": True}
        axes.text(-0.08, top + heights[name] / 2, fill(f"{name}: {rows.words.iloc[0]}", 30), **text)
        for column, cells in rows.groupby(place):
            size = heights[name] / len(cells)
            for index, row in enumerate(each_row(cells)):
                _box(axes, row, float(column), top + index * size, size)
        top += heights[name]
    for column, regime in enumerate(COLUMNS if names else ()):
        axes.text(column + 0.48, -0.08, regime, ha="center", va="bottom", fontsize=7.5)
    axes.set(xlim=(-1.35, len(COLUMNS)), ylim=(max(top, 1), -0.3))
    axes.axis("off")
    return figure


def _box(axes: Axes, row: Any, left: float, top: float, height: float) -> None:
    """A cell: verdict, quantity, and the interval on its own axis."""
    unknown = row.verdict == "not estimable"
    box: style.Style = {"facecolor": COLOURS[row.verdict], "edgecolor": "0.4", "linewidth": 0.5}
    box |= {"hatch": "////" if unknown else None}
    axes.add_patch(Rectangle((left, top + 0.03), 0.96, height - 0.06, **box))
    middle: style.Style = {"ha": "center", "va": "top"}
    if unknown:
        middle["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(left + 0.48, top + 0.08, row.verdict, fontsize=7, weight="bold", **middle)
    what = row.quantity if left < 3 else f"{row.regime}: {row.quantity}"
    what += "" if np.isnan(row.width) else f", width {row.width:g}"
    what = what.replace("a train loss of ", "").replace(", or its inverse", "")
    axes.text(left + 0.48, top + 0.29, fill(what, 31), fontsize=5.3, linespacing=1, **middle)
    if np.isnan(row.ratio):
        return

    def at(ratio: float) -> float:
        share = np.log(np.clip(ratio, 1 / REACH, REACH)) / np.log(REACH)
        return left + 0.38 + 0.33 * share

    y = top + height - 0.2
    same = at(1 / row.margin), at(row.margin)
    axes.fill_betweenx([y - 0.09, y + 0.09], *same, color="0.75", linewidth=0)
    axes.plot([at(1)] * 2, [y - 0.11, y + 0.11], color="0.3", linewidth=0.6)
    axes.plot([at(row.ratio_low), at(row.ratio_high)], [y, y], color="black", linewidth=1)
    beyond = "<" if row.ratio < 1 / REACH else ">" if row.ratio > REACH else "o"
    axes.plot(at(row.ratio), y, beyond, color="black", markersize=3)
    number: style.Style = {"ha": "right", "va": "center", "fontsize": 6}
    axes.text(left + 0.94, y, f"{row.ratio:.3g}", **number)
