"""What the figures share: sizes, colours, the preview mark, and saving without time stamps.

Figures are drawn at the size at which the paper prints them. Colours are safe for the colour-blind
and differ in brightness; where that is not enough in grey, lines or markers differ as well.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from pandas.api.typing import SeriesGroupBy

from bnstudy.analysis.outcomes import REFERENCE, TREATMENT
from bnstudy.config import members
from bnstudy.files import atomic

COLUMN, PAGE = 3.3, 6.9  # widths in inches: a column of the paper, both of them
PAIR = (REFERENCE, TREATMENT)  # the two arms that the article compares come first in any legend
Style = dict[str, Any]  # keywords of Matplotlib
# The house style: drawn at the size it is printed at, no random ids in the files.
TEXT: Style = {"font.family": "DejaVu Sans", "font.size": 7.5, "figure.labelsize": 7.5}
LABELS: Style = {"axes.titlesize": 8, "axes.labelsize": 7.5, "legend.fontsize": 7}
TICKS: Style = {"xtick.labelsize": 7, "ytick.labelsize": 7}
FRAME: Style = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
LINES: Style = {"axes.linewidth": 0.6, "lines.linewidth": 1.2}
PATHS: Style = {"path.simplify": True, "path.simplify_threshold": 0.2}
SIZE: Style = {"figure.figsize": (PAGE, 2.7), "figure.dpi": 200, "savefig.dpi": 200}
FILES: Style = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "bnstudy"}
STYLE: Style = {**TEXT, **LABELS, **TICKS, **FRAME, **LINES, **PATHS, **SIZE, **FILES}
# No dates, so that the same tables give the same bytes.
METADATA: dict[str, Style] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


class Look(NamedTuple):
    """How an arm appears in every figure."""

    label: str
    colour: str = "black"
    marker: str = "o"
    line: str = "-"


# How the kinds of inputs appear where tasks are shown.
INPUTS = {
    look.label: look
    for look in (
        Look("plain", "black", "o"),
        Look("shifted", "#D55E00", "^"),
        Look("stretched", "#0072B2", "s"),
    )
}


def look(arm: str) -> Look:
    """The look that the arm's own file declares (experiment/arms); PyTorch is not imported."""
    said = members.declared("arms", arm)
    own = {name.lower(): said[name] for name in members.LOOKS if name in said}
    return Look(**{"label": arm, **own})


def points(arm: str) -> Style:
    """How `errorbar` shows an arm's estimates and intervals."""
    shown = look(arm)
    own: Style = {"fmt": shown.marker, "color": shown.colour, "label": shown.label}
    return own | {"capsize": 2, "markersize": 3.5, "linewidth": 1}


def ordered(arms: Iterable[str]) -> list[str]:
    """Each of `arms` once: the study's pair first, then in the order in which they come."""
    present = list(dict.fromkeys(arms))
    return [arm for arm in dict.fromkeys([*PAIR, *present]) if arm in present]


def by_arm(rows: pd.DataFrame, arms: Iterable[str]) -> Iterator[tuple[Look, pd.DataFrame]]:
    """The look of each of `arms` that `rows` have, and the rows of it."""
    for arm in arms:
        of_arm = rows[rows.arm == arm]
        if len(of_arm):
            yield look(arm), of_arm


def new_figure(**options: Any) -> Figure:
    """An empty figure in the house style; `options` go to `Figure`."""
    matplotlib.style.use(STYLE)
    return Figure(layout="constrained", **options)


def subplots(rows: int = 1, columns: int = 1, figsize: Any = None, **options: Any) -> Any:
    """A new figure and its axes: one, or an array of them as `Figure.subplots` returns it."""
    figure = new_figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, **options)


def nothing_to_draw() -> Figure:
    """Stands in for a figure for which no experiment of the study has runs."""
    figure = new_figure(figsize=(COLUMN, 0.5))
    figure.text(0.5, 0.5, "No experiment of this study is for this figure.", ha="center")
    return figure


def panels_by_width(runs: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel per width (one at least), two per row, which share both axes; and of
    each width the panel, titled, and the `runs`."""
    cells = list(runs.groupby("width"))
    rows = max(1, math.ceil(len(cells) / 2))
    size, columns = (COLUMN, 0.8 + 1.15 * rows), 2 if len(cells) > 1 else 1
    figure, panels = subplots(rows, columns, size, sharex=True, sharey=True, squeeze=False)
    for unused in panels.flat[max(len(cells), 1) :]:
        unused.set_visible(False)
    shown = []
    for axes, (width, cell) in zip(panels.flat, cells, strict=False):
        axes.set_title(f"width {width}, n = {cell.seed.nunique()}")
        shown.append((axes, cell))
    return figure, shown


def ratio_panel(height: float, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """A figure of a column's width for ratios, both axes logarithmic, with a line at 1."""
    figure, axes = subplots(figsize=(COLUMN, height))
    axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def width_styles(widths: Collection[Any]) -> dict[Any, Style]:
    """Colour, the darker the wider, and marker of each width."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.75, 0, max(len(widths), 2)))
    looks = zip(sorted(widths), shades[-len(widths) :], cycle("os^Dv"), strict=False)
    return {width: {"color": to_hex(shade), "marker": marker} for width, shade, marker in looks}


def band(axes: Axes, values: SeriesGroupBy, colour: str, **line: Any) -> None:
    """Median and quartiles of grouped values against the group's key."""
    low, middle, high = (values.quantile(q) for q in (0.25, 0.5, 0.75))
    axes.plot(middle.index, middle, color=colour, **line)
    axes.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)


def errors(rows: pd.DataFrame, ratio: str = "ratio") -> list[pd.Series]:
    """Lengths of the error bars below and above the ratios of `rows`, as `errorbar` takes them."""
    return [rows[ratio] - rows[f"{ratio}_low"], rows[f"{ratio}_high"] - rows[ratio]]


def estimate(axes: Axes, row: Any, place: float, **look: Any) -> None:
    """The ratio of a row with its interval, at a height."""
    low, high = row.ratio - row.ratio_low, row.ratio_high - row.ratio
    axes.errorbar(row.ratio, place, xerr=[[low], [high]], **look)


def ratios_on_x(axes: Axes, margin: float, rows: pd.DataFrame) -> None:
    """The horizontal axis for the ratios of `rows`: the margin in grey, a line at 1."""
    axes.axvspan(1 / margin, margin, color="0.88", linewidth=0, zorder=0)
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    axes.set_xscale("log")
    ratio_ticks(axes.xaxis, [1 / margin, margin, *rows.ratio_low, *rows.ratio_high])


def legend_above(place: Axes | Figure, panel: Axes, columns: int) -> None:
    """The legend of `panel` above a figure or above the panel; none where nothing is labelled."""
    handles, labels = panel.get_legend_handles_labels()
    where: Style = {"loc": "outside upper center"}
    if place is panel:
        where = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    if handles:
        place.legend(handles, labels, ncols=columns, **where)


def plain_log_ticks(axis: Axis, ticks: Collection[float]) -> None:
    """Ticks at these values only, written as plain numbers."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Decades on a log axis, and 2 and 5 between them where the range is short."""
    exponents = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = [1.0] if high > 50 * low else [1.0, 2.0, 5.0]
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    plain_log_ticks(axis, [tick for tick in ticks if low <= tick <= high])


def ratio_ticks(axis: Axis, shown: Iterable[float], margin: float = 1.1) -> None:
    """Plain ticks on a log axis of ratios, over the finite ones of `shown` and `margin` beyond; a
    finer ladder around 1 where the range is short."""
    finite = [value for value in shown if np.isfinite(value) and value > 0]
    low, high = min(finite) / margin, max(finite) * margin
    if high > 30 * low:
        log_ticks(axis, low, high)
        return
    ladder = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2]
    if high > 4 * low:
        ladder = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
    plain_log_ticks(axis, [value for value in ladder if low <= value <= high])


def save(figure: Figure, path: str | Path, preview: bool) -> None:
    """Write PDF, SVG or PNG by the path's suffix; a preview says so across the figure."""
    if preview:
        mark: Style = {"color": "0.5", "alpha": 0.3, "fontsize": 22, "rotation": 20}
        figure.text(0.5, 0.5, "PREVIEW\nnot the study", ha="center", va="center", **mark)
    with atomic(path) as temporary:
        figure.savefig(temporary, metadata=METADATA[Path(path).suffix[1:]])
