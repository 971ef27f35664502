"""The explorer's charts: specifications of Vega-Lite, made with Altair.

The page gives each chart its data, named `rows`, and sets its parameters; charts with a line for
each row are as high as one line, until the page says how many there are. Series differ by colour,
and by markers or dashes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import altair as alt
import vl_convert

from bnstudy.report import style
from bnstudy.report.style import Look

# Vega's names of Matplotlib's markers, and its dashes; of others a circle and a whole line.
MARKERS = {"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down"}
MARKERS |= {"<": "triangle-left", ">": "triangle-right", "D": "diamond", "P": "cross"}
MARKERS |= {"d": "wedge", "X": "arrow"}
DASHES = {"-": [1, 0], "--": [6, 3], ":": [2, 2], "-.": [6, 2, 2, 2]}
# Colour and marker of the kinds of inputs; `all` of what is said of tasks in general.
INPUTS = {kind: (look.colour, MARKERS[look.marker]) for kind, look in style.INPUTS.items()}
INPUTS |= {"all": ("#666666", "diamond")}
SAME = "#dddddd"  # the ratios that count as the same
ROWS = alt.NamedData("rows")
CONFIG = alt.Config(
    font="system-ui, sans-serif",
    axis=alt.AxisConfig(labelFontSize=12, titleFontSize=12, titleFontWeight=400, gridColor="#eee"),
    legend=alt.LegendConfig(labelFontSize=12, titleFontSize=12, labelLimit=0, orient="top"),
)
Layers = alt.LayerChart | alt.FacetChart  # what `alt.layer` is said to return


def charts(arms: Sequence[Look]) -> dict[str, dict[str, Any]]:
    """The specifications, by name. `arms`: how the arms look that may appear."""
    made = {"evidence": evidence(), "rates": rates(arms), "curves": curves(arms), "tasks": tasks()}
    sized = {name: chart.properties(width="container") for name, chart in made.items()}
    return {name: chart.properties(config=CONFIG).to_dict() for name, chart in sized.items()}


def library() -> str:
    """Vega-Embed with all that it needs, of the version that the specifications are of, as
    JavaScript that defines `vegaEmbed`."""
    version = alt.SCHEMA_VERSION.rpartition(".")[0]
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


# --- ratios ---------------------------------------------------------------------------------------


def evidence() -> Layers:
    """Ratios with intervals, each below its `label`."""
    rows = alt.Chart(ROWS).encode(y=alt.Y("label:N", sort=None, axis=None))
    text = rows.mark_text(align="left", dy=-36, fontSize=12, lineBreak="\n", lineHeight=15)
    words = text.encode(x=alt.value(0), text="label:N")
    return alt.layer(*_intervals(rows, rows, 16), words).properties(height=80)


def tasks() -> Layers:
    """Ratios with intervals by `task`, one below the other for each kind of `inputs`."""
    colours, shapes = ([look[i] for look in INPUTS.values()] for i in (0, 1))
    colour, shape = (alt.Scale(domain=list(INPUTS), range=each) for each in (colours, shapes))
    rows = alt.Chart(ROWS).encode(y=alt.Y("task:N", sort=None, title=None))
    middle = "datum.inputs == 'all' ? 'shifted' : datum.inputs"
    each = rows.transform_calculate(place=middle).encode(
        yOffset=alt.YOffset("place:N", sort=list(INPUTS)),
        color=alt.Color("inputs:N", title="inputs", scale=colour),
    )
    dots = {"shape": alt.Shape("inputs:N", title="inputs", scale=shape)}
    return alt.layer(*_intervals(rows, each, 50, **dots)).properties(height=50)


def _intervals(rows: alt.Chart, each: alt.Chart, height: int, **dots: Any) -> list[alt.Chart]:
    """The layers of `ratio` (dot, with the encodings `dots`) from `low` to `high`, of `each`; for
    `rows` the range that counts as the same, `height` pixels high, and a line at 1."""
    x = partial(alt.X, title="ratio", scale=alt.Scale(type="log", nice=False, padding=24))
    dots |= {"x": x("ratio:Q"), "tooltip": "label:N"}
    return [
        rows.mark_bar(color=SAME, height=height).encode(x=x("same_low:Q"), x2="same_high:Q"),
        alt.Chart(alt.InlineData([{}])).mark_rule(color="#888888").encode(x=alt.datum(1)),
        each.mark_rule(strokeWidth=2).encode(x=x("low:Q"), x2="high:Q"),
        each.mark_point(filled=True, size=60, opacity=1).encode(**dots),
    ]


# --- losses ---------------------------------------------------------------------------------------


def rates(arms: Sequence[Look]) -> Layers:
    """Loss against `learning_rate`, a line per arm and schedule; the axis of losses reaches from
    the parameter `low` to `high`, so that it stays while the epoch changes."""
    ends = {"domainMin": alt.ExprRef("low"), "domainMax": alt.ExprRef("high")}
    legend = alt.Legend(symbolStrokeColor="black", orient="bottom")
    dash = alt.StrokeDash("schedule:N", title=None, legend=legend)
    x = partial(alt.X, "learning_rate:Q", title="learning rate")
    chart = _losses(arms, x, alt.Scale(type="log", **ends), dash)
    return chart.add_params(alt.param("low", value=1e-3), alt.param("high", value=1))


def curves(arms: Sequence[Look]) -> Layers:
    """Loss against `epoch`, a line per arm."""
    dashes = _by_arm(arms, [DASHES.get(arm.line, DASHES["-"]) for arm in arms])
    x = partial(alt.X, "epoch:Q", title="epochs done")
    return _losses(arms, x, alt.Scale(type="log"), alt.StrokeDash("arm:N", **dashes))


def _losses(arms: Sequence[Look], x: Any, scale: alt.Scale, dash: alt.StrokeDash) -> Layers:
    """Median loss, `middle`, in the band of its quartiles, `low` to `high`, on logarithmic axes."""
    colours = _by_arm(arms, [arm.colour for arm in arms])
    shapes = _by_arm(arms, [MARKERS.get(arm.marker, "circle") for arm in arms])
    rows = alt.Chart(ROWS).encode(
        x=x(scale=alt.Scale(type="log", nice=False, padding=10)),
        color=alt.Color("arm:N", **colours),
        detail="schedule:N",
    )
    y = partial(alt.Y, title="loss", scale=scale, axis=alt.Axis(format="~g"))
    points = rows.mark_point(filled=True, size=36, clip=True, opacity=1)
    numbers = ["learning_rate:Q", "epoch:Q", "low:Q", "middle:Q", "high:Q"]
    layers = alt.layer(
        rows.mark_area(opacity=0.2, clip=True).encode(y=y("low:Q"), y2="high:Q"),
        rows.mark_line(clip=True).encode(y=y("middle:Q"), strokeDash=dash),
        points.encode(
            y=y("middle:Q"),
            shape=alt.Shape("arm:N", **shapes),
            tooltip=["arm:N", "schedule:N", *numbers],
        ),
    )
    every = alt.param("arms", value=[arm.label for arm in arms])
    return layers.add_params(every).properties(height=380)


def _by_arm(arms: Sequence[Look], values: Sequence[Any]) -> dict[str, Any]:
    """Options of an encoding that gives each of `arms` one of `values`, with a legend of those that
    the parameter `arms` names."""
    scale = alt.Scale(domain=[arm.label for arm in arms], range=values)
    legend = alt.Legend(values=alt.ExprRef("arms"), columns=2, symbolOpacity=1)
    return {"title": None, "scale": scale, "legend": legend}
