"""C1: faster. Epochs until the train loss is at or below a threshold; never: the budget.

Minibatches: the train loss in evaluation mode, after each epoch. Tasks: the same share of their
targets' variance; a mean over targets, and what it says of a new one.
"""

from dataclasses import replace

from bnstudy.analysis.hypotheses import (
    ARTICLE,
    LOWER,
    MEAN_TASK,
    MINIBATCHES,
    NEW_TASK,
    TUNED,
    Comparison,
    epochs_to,
)
from bnstudy.config.models import Analysis

CLAIM = "C1"
WORDS = "BN makes the model converge faster"
FIGURE = "epochs_ratio"


def comparisons(analysis: Analysis) -> list[Comparison]:
    """At the article's settings; each arm at its best for the threshold; with minibatches; over
    tasks."""
    primary, minibatches = analysis.primary, analysis.minibatches

    def faster(regime: str, threshold: float, **settings: object) -> Comparison:
        to = epochs_to(threshold)
        if regime != ARTICLE:
            settings["tuned_for"] = to["column"]
        return Comparison(regime, allows=(LOWER,), settings=settings, **to)

    tasks = faster(MEAN_TASK, primary.threshold, **analysis.tasks.model_dump())
    mean = replace(tasks, table="tasks", of="mean")
    return [
        faster(ARTICLE, primary.threshold, width=primary.width),
        faster(TUNED, primary.threshold, width=primary.width),
        faster(TUNED, primary.strict_threshold, width=primary.width),
        faster(MINIBATCHES, primary.threshold, **minibatches.model_dump()),
        mean,
        replace(mean, regime=NEW_TASK, of="new"),
    ]
