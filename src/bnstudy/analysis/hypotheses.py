"""The article's claims as data: in which regimes each is asked, what is compared there, and which
outcomes it allows.

One file per claim in claims/; a further file there is a further claim, whose comparisons join the
family that is tested (see bnstudy.analysis.decisions).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnstudy.analysis.outcomes import REFERENCE, TREATMENT, Diverged
from bnstudy.config import members
from bnstudy.config.models import Analysis

# Regimes that several claims are asked in; others stand in the claims' files.
ARTICLE, TUNED, MINIBATCHES = "as the article ran it", "tuned", "minibatches"
MEAN_TASK, NEW_TASK = "the mean task", "a new task"
LOWER, SAME, HIGHER = "lower", "same", "higher"
# Fields of a `Comparison` of final test losses.
FINAL_LOSS: dict[str, Any] = {
    "column": "final_test_loss",
    "quantity": "final test loss",
    "margin": "losses",
}


@dataclass(frozen=True)
class Comparison:
    """Two arms under the same settings, in one quantity.

    `regime`: the claim's; `column`: of runs.csv; `quantity`: how a sentence calls it. `settings`:
    those of both cells that are not as in `defaults`; of tuned cells `tuned_for`, each arm's rate
    and schedule being its own. Or `of` one setting of a table of its own (see
    bnstudy.analysis.comparisons.PAIRS), or over tasks, `of` their mean or of a new one. `margin`:
    which of analysis.margins counts as the same. `allows`: the directions that the claim allows.
    """

    regime: str
    column: str
    quantity: str
    margin: str
    allows: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    diverged: Diverged = "worst"
    arm: str = TREATMENT
    reference: str = REFERENCE
    table: str = "runs"
    of: str = ""
    claim: str = ""

    @property
    def name(self) -> str:
        """What sets it, and its random numbers, apart from others."""
        settings = (f"{name} {value}" for name, value in self.settings.items())
        parts = [self.claim, self.regime, self.arm, self.column, self.of, *settings]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Claim:
    """A claim of the article: its words, the figure that is about it, what it is decided by."""

    name: str
    words: str
    figure: str
    comparisons: tuple[Comparison, ...]

    @property
    def regimes(self) -> list[str]:
        """Those that it is asked in, in order."""
        return list(dict.fromkeys(comparison.regime for comparison in self.comparisons))


def all_claims(analysis: Analysis) -> list[Claim]:
    """The claims in claims/, sorted by their files' names, for a study's primary settings."""
    found = []
    for module in (members.load("claims", name) for name in members.names("claims")):
        comparisons = (
            Comparison(**vars(comparison) | {"claim": module.CLAIM})
            for comparison in module.comparisons(analysis)
        )
        found.append(Claim(module.CLAIM, module.WORDS, module.FIGURE, tuple(comparisons)))
    return found


def epochs_to(threshold: float, **others: Any) -> dict[str, Any]:
    """Epochs until the train loss is at or below a threshold, as fields of a `Comparison`."""
    column, words = f"epochs_to_{threshold:g}", f"epochs to a train loss of {threshold:g}"
    return {
        "column": column,
        "quantity": words,
        "margin": "epochs",
        "diverged": "slowest",
        **others,
    }
