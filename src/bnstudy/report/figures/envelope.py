"""The best loss that any constant rate reaches by each epoch, beside the article's curves."""

import pandas as pd
from matplotlib.figure import Figure

from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "The best loss within a budget"
CAPTION = (
    "Above: the least test loss that one of the constant rates tried has reached by an epoch, "
    "geometric mean over the tuning seeds (solid), and the loss at the article's rate, over the "
    "study's (dotted); width {width}. Below: the rate that reaches it. A budget is read as a "
    "vertical line: what each arm can do with so many epochs once its rate is chosen for them."
)
TABLES = ("envelope.csv",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`envelope`: its curves `best` and `article`."""
    curves = tables["envelope"]
    curves = curves[curves.test_loss < float("inf")]
    figure, (losses, rates) = style.subplots(
        2, 1, figsize=(style.COLUMN, 3.4), sharex=True, height_ratios=[3, 1]
    )
    for arm, rows in style.by_arm(curves[curves.curve == "best"], style.PAIR):
        losses.plot(rows.epochs, rows.test_loss, color=arm.colour, label=f"{arm.label}, best rate")
        look = {"color": arm.colour, "linestyle": arm.line}
        rates.step(rows.epochs, rows.learning_rate, where="post", **look)
    for arm, rows in style.by_arm(curves[curves.curve == "article"], style.PAIR):
        label = f"{arm.label}, the article's rate"
        losses.plot(rows.epochs, rows.test_loss, ":", color=arm.colour, label=label)
    losses.set(yscale="log", ylabel="test loss")
    rates.set(xscale="log", yscale="log", xlabel="epochs", ylabel="rate")
    style.legend_above(figure, losses, 2)
    return figure
