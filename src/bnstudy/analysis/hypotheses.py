"""The article's claims as data: what each of them compares, and by which rule it is decided.

One file per claim in claims/; a further file there is a further claim, and one more hypothesis in
the family that is tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from bnstudy.analysis.outcomes import Diverged
from bnstudy.analysis.statistics import Alternative
from bnstudy.config import members


@dataclass(frozen=True)
class Rule:
    """How a comparison is tested and decided. See bnstudy.analysis.decisions for the verdicts."""

    name: str
    alternative: str  # what a small p speaks for
    side: Alternative
    test: str
    as_claimed: str  # the verdict where the claim holds
    judged: Mapping[str, str]  # what a verdict says of a comparison; the others: inconclusive


RULES = {
    "lower": Rule(
        name="lower",
        alternative="batch lower",
        side="less",
        test="sign-flip",
        as_claimed="supported",
        judged={"supported": "lower, as claimed", "refuted": "higher, against the claim"},
    ),
    "moved": Rule(
        name="moved",
        alternative="different",
        side="two-sided",
        test="sign-flip",
        as_claimed="supported",
        judged={"supported": "it moved, as claimed"},
    ),
    "same": Rule(
        name="same",
        alternative="equivalent",
        side="two-sided",
        test="TOST",
        as_claimed="equivalent",
        judged={
            verdict: f"counting a ratio within {{margin:g}} as the same, {words}"
            for verdict, words in {
                "equivalent": "equivalent",
                "refuted": "not the same",
                "inconclusive": "inconclusive",
            }.items()
        },
    ),
}


@dataclass(frozen=True)
class Part:
    """One comparison of a hypothesis: what is compared, and how a sentence speaks of it.

    `column` of runs.csv, `epochs_to` standing for the epochs to each of the study's thresholds, of
    which the primary one decides; or `of` one setting of a table of its own (see
    bnstudy.analysis.comparisons.PAIRS). `phrase` completes "with BN … was 0.7 times that without"
    from the columns of significance.csv. `trend`: what its trend over widths is called, if that is
    tested.
    """

    name: str
    quantity: str
    phrase: str = ""
    table: str = "runs"
    column: str = ""
    of: str = ""
    diverged: Diverged = "worst"
    trend: str = ""
    claim: str = ""
    rule: Rule = field(default=RULES["moved"])
    alone: bool = True  # no other part belongs to its hypothesis

    @property
    def by_threshold(self) -> bool:
        """Whether it is measured at each threshold."""
        return self.column == "epochs_to"


@dataclass(frozen=True)
class Claim:
    """A claim of the article. A hypothesis with several parts is their conjunction."""

    name: str
    words: str
    hypothesis: str
    rule: Rule
    figure: str
    parts: tuple[Part, ...]


def all_claims() -> list[Claim]:
    """The claims in claims/, sorted by their files' names."""
    return [_claim(members.load("claims", name)) for name in members.names("claims")]


def _claim(module: ModuleType) -> Claim:
    rule = RULES[module.RULE]
    common = {"claim": module.CLAIM, "rule": rule, "alone": len(module.PARTS) == 1}
    parts = tuple(Part(name, **part, **common) for name, part in module.PARTS.items())
    return Claim(module.CLAIM, module.WORDS, module.HYPOTHESIS, rule, module.FIGURE, parts)
