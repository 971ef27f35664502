"""C2: to the same end. The final test loss; what training converges to is 0 in either arm, so
this is the value after a budget."""

from typing import Any

from bnstudy.analysis.hypotheses import ARTICLE, FINAL_LOSS, MINIBATCHES, SAME, TUNED, Comparison
from bnstudy.config.models import Analysis

CLAIM = "C2"
WORDS = "BN has little influence on the value it converges to: model complexity hardly changes"
FIGURE = "final_loss_ratio"


def comparisons(analysis: Analysis) -> list[Comparison]:
    """At the article's settings; each arm at its best; with minibatches."""
    loss: dict[str, Any] = {**FINAL_LOSS, "allows": (SAME,)}
    width = {"width": analysis.primary.width}
    tuned = {"tuned_for": loss["column"]}
    return [
        Comparison(ARTICLE, settings=width, **loss),
        Comparison(TUNED, settings=width | tuned, **loss),
        Comparison(MINIBATCHES, settings=analysis.minibatches.model_dump() | tuned, **loss),
    ]
