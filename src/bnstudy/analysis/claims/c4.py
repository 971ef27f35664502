"""C4: steadier gradients. How far the per-layer factor of the gradient is from 1, at initialisation
in the deepest stacks: max(f, 1/f)."""

from bnstudy.analysis.hypotheses import ARTICLE, LOWER, Comparison
from bnstudy.config.models import Analysis

CLAIM = "C4"
WORDS = "BN keeps features near the origin, so gradients are less prone to vanish or explode"
FIGURE = "gradient_depth"


def comparisons(analysis: Analysis) -> list[Comparison]:
    """With the article's weights; with those that keep activations at their size; and, since
    "prone" is about what may happen, at the worst of the sizes tried: of that range only."""
    words = "factor of the gradient per layer, or its inverse"
    return [
        Comparison(regime, "factor", words, "gradients", (LOWER,), table="gradients", of=of)
        for regime, of in (
            (ARTICLE, "unscaled"),
            ("critical weights", "fan-in"),
            ("worst over the sizes of the weights", "worst"),
        )
    ]
