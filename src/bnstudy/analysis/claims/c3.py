"""C3: other features. The share of saturated hidden values and the effective rank of the features,
both at the end, on the test points."""

from typing import Any

from bnstudy.analysis.hypotheses import ARTICLE, HIGHER, LOWER, TUNED, Comparison
from bnstudy.config.models import Analysis

CLAIM = "C3"
WORDS = "BN changes the distribution of the features and so can adjust model complexity"
FIGURE = "features"
FEATURES = {
    "final_saturated_share": "share of saturated hidden values",
    "final_effective_rank": "effective rank of the features",
}


def comparisons(analysis: Analysis) -> list[Comparison]:
    """At the article's settings; each arm at its best; and of BN's parametrisation alone."""
    found = []
    regimes: dict[str, Any] = {
        ARTICLE: {},
        TUNED: {"tuned_for": "final_test_loss"},
        "the parametrisation alone": {"arm": "batch-matched"},
    }
    for regime, others in regimes.items():
        settings = {"width": analysis.primary.width, **others}
        fields: dict[str, Any] = {"margin": "features", "allows": (LOWER, HIGHER)}
        fields |= {"arm": settings.pop("arm", "batch"), "settings": settings}
        found += [
            Comparison(regime, column, words, diverged="left out", **fields)
            for column, words in FEATURES.items()
        ]
    return found
