"""The best loss that any constant rate reaches by each epoch, beside the article's curves."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnstudy.analysis.outcomes import at_settings
from bnstudy.config.models import StudySettings
from bnstudy.report import style

TITLE = "The best loss within a budget"
CAPTION = (
    "Above: the least test loss that one of the constant rates tried has reached by an epoch, "
    "geometric mean over the tuning seeds (solid), and the loss at the article's rate, over the "
    "study's (dotted); width {width}. Below: the rate that reaches it. A budget is read as a "
    "vertical line: what each arm can do with so many epochs once its rate is chosen for them."
)
TABLES = ("curves_thinned.parquet",)


def draw(tables: dict[str, pd.DataFrame], study: StudySettings) -> Figure:
    """`curves_thinned`: those of constant rates at the primary width."""
    curves, seeds = tables["curves_thinned"], study.study_seeds
    usual = {"width": study.analysis.primary.width, "tuned_for": study.reference["tuned_for"]}
    curves = curves[at_settings(curves, study, usual) & (curves.schedule == "constant")]
    article = curves.learning_rate == study.defaults.learning_rate
    figure, (losses, rates) = style.subplots(
        2, 1, figsize=(style.COLUMN, 3.4), sharex=True, height_ratios=[3, 1]
    )
    for arm, rows in style.by_arm(curves[~curves.seed.isin(seeds) & ~article], style.PAIR):
        epochs, loss, rate = envelope(rows)
        losses.plot(epochs, loss, color=arm.colour, label=f"{arm.label}, best rate")
        rates.step(epochs, rate, color=arm.colour, where="post", linestyle=arm.line)
    for arm, rows in style.by_arm(curves[curves.seed.isin(seeds) & article], style.PAIR):
        mean = np.exp(np.log(rows.test_loss).groupby(rows.epoch).mean())
        label = f"{arm.label}, the article's rate"
        losses.plot(mean.index + 1, mean, ":", color=arm.colour, label=label)
    losses.set(yscale="log", ylabel="test loss")
    rates.set(xscale="log", yscale="log", xlabel="epochs", ylabel="rate")
    style.legend_above(figure, losses, 2)
    return figure


def envelope(curves: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(epochs, the least mean loss by then, the rate that reached it) of an arm's `curves`.

    The mean is geometric, over seeds; a rate with a run that diverged is none.
    """
    logs = np.log(curves.test_loss.fillna(np.inf))
    logs = logs.groupby([curves.epoch, curves.learning_rate]).mean().unstack(fill_value=np.inf)
    best = logs.min(axis=1).cummin()
    new = best < best.shift(fill_value=np.inf)
    rate = logs.idxmin(axis=1).where(new).ffill()
    return best.index.to_numpy() + 1, np.exp(best.to_numpy()), rate.to_numpy()
