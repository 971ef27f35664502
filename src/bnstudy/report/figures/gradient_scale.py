"""Factor per layer of the gradient against the size of the weights, with and without BN."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import layer_factors
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "Factor per layer against the size of the weights"
CAPTION = (
    "Factor by which the gradient grows per layer on its way back, at initialisation, in stacks of "
    "{depths} hidden layers of {depth.width} units with weights from N(0, σ_w²/inputs): median and "
    "quartiles over {depth_seeds}. At 1 a gradient neither vanishes nor explodes. Upright line: "
    "σ_w = 1, critical without BN. Open markers: the article's weights, N(0, 1)."
)
TABLES = ("gradients.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`gradients`: a line per depth and arm over the sizes; a marker for the article's weights."""
    factors = layer_factors(tables["gradients"]).reset_index(name="factor")
    figure, axes = style.ratio_panel(2.6, r"size of the weights, $\sigma_w$", "factor per layer")
    axes.axvline(1, color="0.5", linewidth=0.6, zorder=1)
    depths = sorted(set(factors.depth), reverse=True)
    for depth, line in zip(depths, cycle(["-", ":", "--"]), strict=False):
        for shown, of_arm in style.by_arm(factors[factors.depth == depth], style.PAIR):
            article = of_arm.initialization == "unscaled"
            label = f"{shown.label}, {depth} layers"
            values = of_arm[~article].groupby("scale").factor
            style.band(axes, values, shown.colour, label=label, linestyle=line)
            points = of_arm[article].groupby("scale").factor.median()
            marker: style.Style = {"marker": shown.marker, "facecolor": "white", "zorder": 3}
            axes.scatter(points.index, points, s=16, edgecolor=shown.colour, **marker)
    sizes = factors.scale[factors.initialization == "fan-in"]
    style.plain_log_ticks(axes.xaxis, sorted(set(sizes)))
    style.ratio_ticks(axes.yaxis, [1, *factors.factor])
    style.legend_above(axes, axes, 2)
    return figure
