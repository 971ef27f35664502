"""What the figures share: sizes, colours, the preview mark, and saving without time stamps.

Figures are drawn at the size at which the paper prints them. Colours are safe for the colour-blind
and differ in brightness; where that is not enough in grey, lines or markers differ as well.
"""

from collections.abc import Collection
from itertools import cycle
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bnstudy.files import atomic

COLUMN, PAGE = 3.3, 6.9  # widths in inches: a column of the paper, both of them
STYLE = Path(__file__).with_name("bnstudy.mplstyle")
# The article's colours, where its own figure is repeated.
ORIGINAL_COLOURS = {"batch": "red", "none": "blue"}
# An arm keeps its look (after Okabe & Ito).
ARM_COLOURS = {"none": "#003B6F", "batch": "#D55E00", "batch-matched": "#E69F00",
               "none-standardized": "#56B4E9", "dropout": "#009E73"}  # fmt: skip
ARM_LINES = {"none": "-", "batch": "-", "batch-matched": "--", "none-standardized": ":",
             "dropout": "-."}  # fmt: skip
ARM_MARKERS = {"none": "s", "batch": "o", "batch-matched": "^", "none-standardized": "D",
               "dropout": "v"}  # fmt: skip
ARM_LABELS = {"none": "without BN", "batch": "with BN", "batch-matched": "BN, start of none",
              "none-standardized": "no BN, start of BN", "dropout": "dropout"}  # fmt: skip
SEQUENCE = ["#E69F00", "#009E73", "#0072B2", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
# No dates, so that the same tables give the same bytes.
METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def subplots(rows: int = 1, columns: int = 1, *, sharey: bool = False, **options):
    """A new figure in the house style and its axes; `options` go to `Figure`."""
    matplotlib.style.use(STYLE)
    figure = Figure(layout="constrained", **options)
    return figure, figure.subplots(rows, columns, sharey=sharey)


def width_styles(widths: Collection[int]) -> dict[int, dict]:
    """Colour, the darker the wider, and marker of each width."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.75, 0, max(len(widths), 2)))
    shades = [to_hex(shade) for shade in shades[-len(widths) :]]
    return {
        width: {"color": shade, "marker": marker}
        for width, shade, marker in zip(sorted(widths), shades, cycle("os^Dv"), strict=False)
    }


def band(axes, values, colour: str, label: str | None = None, **line) -> None:
    """Median and quartiles of grouped `values` (a pandas groupby) against the group's key."""
    low, middle, high = (values.quantile(q) for q in (0.25, 0.5, 0.75))
    axes.plot(middle.index, middle, color=colour, label=label, **line)
    axes.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)


def grid_of_panels(count: int):
    """A figure with `count` panels, two a row, sharing both axes; the panels as a list."""
    columns = max(1, min(count, 2))
    rows = max(1, -(-count // columns))
    matplotlib.style.use(STYLE)
    figure = Figure(layout="constrained", figsize=(COLUMN, 0.8 + 1.15 * rows))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for unused in panels.flat[max(count, 1) :]:
        unused.set_visible(False)
    return figure, list(panels.flat[: max(count, 1)])


def plain_log_ticks(axis, ticks: list[float]) -> None:
    """Ticks at these values only, written as plain numbers."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def log_ticks(axis, low: float, high: float) -> None:
    """Decades on a log axis, and 2 and 5 between them where the range is short."""
    exponents = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = [1.0] if high > 200 * low else [1.0, 2.0, 5.0]
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    plain_log_ticks(axis, [tick for tick in ticks if low <= tick <= high])


def ratio_ticks(axis, low: float, high: float) -> None:
    """Plain ticks on a log axis of ratios, a finer ladder around 1 where the range is short."""
    ladder = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2]
    if high > 30 * low:
        ladder = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    elif high > 4 * low:
        ladder = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100]
    plain_log_ticks(axis, [value for value in ladder if low <= value <= high])


def save(figure: Figure, path: str | Path, preview: bool) -> None:
    """Write PDF, SVG or PNG by the path's suffix; a preview says so across the figure."""
    if preview:
        figure.text(0.5, 0.5, "PREVIEW\nnot the study", color="0.5", alpha=0.3, fontsize=22,
                    rotation=20, ha="center", va="center")  # fmt: skip
    with atomic(path) as temporary:
        figure.savefig(temporary, metadata=METADATA[Path(path).suffix[1:]])
