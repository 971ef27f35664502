"""Figure 7: size of the loss's gradient against depth at initialisation, with and without BN."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.figures.style import ARM_COLOURS, ARM_LABELS, COLUMN, subplots
from bnstudy.measures import layer_factors
from bnstudy.study import PAIR, FigureSettings

TITLES = {"unscaled": "weights N(0, 1)", "fan-in": "weights N(0, 1/inputs)"}


def draw(tables: dict[str, pd.DataFrame], study: FigureSettings) -> Figure:
    """`gradients`: median and quartiles over seeds, relative to the last hidden layer.

    The labels give the factor a layer, from the last to the first: geometric mean over seeds.
    """
    gradients = tables["gradients"]
    initializations = list(dict.fromkeys(gradients.initialization)) or [""]
    figure, axes = subplots(1, len(initializations), sharey=True, figsize=(COLUMN, 2.4))
    axes = np.atleast_1d(axes)
    for panel, initialization in zip(axes, initializations, strict=True):
        panel.axhline(1, color="0.5", linewidth=0.6, zorder=1)
        rows = gradients[gradients.initialization == initialization]
        for place, arm in enumerate(PAIR):
            _line(panel, rows[rows.arm == arm], arm, label_at=0.97 - 0.15 * place)
        panel.set(title=TITLES.get(initialization, ""), xlabel="hidden layer", yscale="log")
    axes[0].set_ylabel("gradient norm, layer / last layer")
    return figure


def _line(axes: Axes, rows: pd.DataFrame, arm: str, label_at: float) -> None:
    """Band and line of one arm, and its label in the panel's right upper corner."""
    if rows.empty:
        return
    norms = rows.pivot(index="seed", columns="layer", values="gradient_norm")
    relative = norms.div(norms[norms.columns.max()], axis=0)
    low, middle, high = (relative.quantile(q) for q in (0.25, 0.5, 0.75))
    colour = ARM_COLOURS[arm]
    axes.plot(middle, color=colour)
    axes.set_xticks(sorted({1, len(middle) // 2, len(middle)}))
    axes.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)
    factor = np.exp(np.log(layer_factors(rows)).mean())
    axes.text(0.99, label_at, f"{ARM_LABELS[arm]}:\n× {factor:.2f} a layer", color=colour,
              transform=axes.transAxes, ha="right", va="top", fontsize=7)  # fmt: skip
