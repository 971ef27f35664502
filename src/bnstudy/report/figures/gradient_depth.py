"""Size of the loss's gradient against depth at initialisation, with and without BN."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import layer_factors
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Gradients against depth at initialisation"
CAPTION = (
    "Norm of the loss's gradient at the input of each tanh of a stack of {deepest} hidden layers "
    "of {depth.width} units, relative to the last layer's; median and quartiles over "
    "{depth_seeds}. A flat line neither vanishes nor explodes. The numbers are the factor per "
    "layer on the way back (geometric mean)."
)
TABLES = ("gradients.csv",)

PANELS = {"unscaled": "weights N(0, 1)", "fan-in": "weights N(0, 1/inputs)"}


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`gradients`: median and quartiles over seeds, relative to the last hidden layer.

    The labels give the factor per layer, from the last to the first: geometric mean over seeds.
    """
    gradients = tables["gradients"]
    gradients = gradients[gradients.depth == gradients.depth.max()]
    gradients = gradients[(gradients.initialization == "unscaled") | (gradients.scale == 1)]
    initializations = list(dict.fromkeys(gradients.initialization)) or [""]
    size = (style.COLUMN, 2.4)
    figure, [panels] = style.subplots(1, len(initializations), size, sharey=True, squeeze=False)
    for axes, initialization in zip(panels, initializations, strict=True):
        axes.axhline(1, color="0.5", linewidth=0.6, zorder=1)
        rows = gradients[gradients.initialization == initialization]
        for place, arm in enumerate(style.PAIR):
            _line(axes, rows[rows.arm == arm], arm, label_at=0.97 - 0.15 * place)
        axes.set(title=PANELS.get(initialization, ""), xlabel="hidden layer", yscale="log")
    panels[0].set_ylabel("gradient norm, layer / last layer")
    return figure


def _line(axes: Axes, rows: pd.DataFrame, arm: str, label_at: float) -> None:
    """Band and line of one arm, and its label in the panel's right upper corner."""
    if rows.empty:
        return
    norms = rows.pivot(index="seed", columns="layer", values="gradient_norm")
    layers = norms.columns
    relative = norms.div(norms[layers.max()], axis=0)
    colour, label = style.look(arm).colour, style.look(arm).label
    style.band(axes, pd.Series(relative.stack()).groupby("layer"), colour)
    axes.set_xticks(sorted({1, len(layers) // 2, len(layers)}))
    factor = np.exp(np.log(layer_factors(rows)).mean())
    text: style.Style = {"color": colour, "ha": "right", "va": "top", "fontsize": 7}
    label = f"{label}:\n× {factor:.2f} per layer"
    axes.text(0.99, label_at, label, transform=axes.transAxes, **text)
