"""From differences of pairs to directions of comparisons, and from those to verdicts on claims.

**A comparison** has a margin m, the smallest ratio of interest, and three tests of the mean of
d = ln(arm) - ln(reference): that it is *lower*, below -ln m; *higher*, above ln m; or the *same*,
between the two (two one-sided tests, of which the larger p counts; Schuirmann 1987). Lower and
higher are doubled, since both are looked at. The least of the three is the comparison's p. Holm
adjusts it over the family of all primary comparisons, those that are absent or not estimable with
p = 1; below α the direction is that one's, else it is *open*. So a refutation is tested and
adjusted as a support is. A mean at a margin makes both neighbours right.

A claim that allows lower and same has one test against ln m instead of those two: *not higher*.

Censoring must not make a direction: a run that never got to its threshold counts with the budget,
so *same* needs pairs of which at most a tenth hold such a run, *lower* (*higher*) that no run of
the arm (of the reference) is one.

**A claim in a regime** *holds* if all of its comparisons there have a direction that it allows,
*fails* if one has another, is *not estimable* if one of them is, else *open*.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from bnstudy.analysis.hypotheses import HIGHER, LOWER, SAME

NOT_HIGHER = "not higher"
OPEN, NOT_ESTIMABLE = "open", "not estimable"
CENSORED = 0.1  # share of pairs
# Of d and shifts: p of the one-sided tests that d + shift lies below 0, and above; see sign_flips.
Tails = Callable[[Any, Any], Float64[np.ndarray, "shift 2"]]


def three_way(
    d: Float64[np.ndarray, " pair"], margin: float, allows: tuple[str, ...], tails: Tails
) -> dict[str, float]:
    """p of each direction. Raises NotEstimable as `tails` does."""
    m = math.log(margin)
    [below, above_low], [below_high, above] = tails(d, np.array([m, -m]))
    lower, higher = min(1.0, 2 * below), min(1.0, 2 * above)
    if set(allows) == {LOWER, SAME}:
        return {NOT_HIGHER: float(below_high), HIGHER: float(higher)}
    return {LOWER: float(lower), SAME: float(max(above_low, below_high)), HIGHER: float(higher)}


def estimable(
    p: Mapping[str, float], censored: tuple[Bool[np.ndarray, " pair"], Bool[np.ndarray, " pair"]]
) -> dict[str, float]:
    """Those of `p` that censoring leaves; `censored`: which runs of reference and arm are."""
    reference, arm = censored
    share = np.mean(reference | arm) if len(reference) else 0.0
    left = dict(p)
    if share > CENSORED:
        left.pop(SAME, None)
    if arm.any():
        left.pop(LOWER, None)
        left.pop(NOT_HIGHER, None)
    if reference.any():
        left.pop(HIGHER, None)
    return left


def direction(row: Any, alpha: float) -> str:
    """What a row of significance.csv shows."""
    if math.isnan(row.p_holm):
        return NOT_ESTIMABLE
    return row.nearest if row.p_holm < alpha else OPEN


def verdict(directions: list[str], allows: list[tuple[str, ...]]) -> str:
    """On a claim in a regime, from the directions of its comparisons and what each is allowed."""
    allowed = [found in (*each, NOT_HIGHER) for found, each in zip(directions, allows, strict=True)]
    decided = [found not in (OPEN, NOT_ESTIMABLE) for found in directions]
    if any(known and not fits for known, fits in zip(decided, allowed, strict=True)):
        return "fails"
    if NOT_ESTIMABLE in directions or not directions:
        return NOT_ESTIMABLE
    return "holds" if all(allowed) else OPEN


def decide(tests: pd.DataFrame) -> pd.DataFrame:
    """claims.csv's verdicts: one row per claim and regime of the primary rows of significance.csv,
    in their order, with the numbers of the comparison that decides: one that the claim excludes,
    else the one with the largest p."""
    rows = []
    for (claim, regime), parts in tests[tests.role == "primary"].groupby(
        ["claim", "regime"], sort=False
    ):
        allows = [tuple(text.split(" or ")) for text in parts.allows]
        directions = list(parts.direction)
        excluded = [
            verdict([one], [each]) == "fails" for one, each in zip(directions, allows, strict=True)
        ]
        candidates = parts[excluded] if any(excluded) else parts
        deciding = candidates.sort_values("p_holm", na_position="last").iloc[-1]
        numbers = ["arm", "width", "quantity", "n_pairs", "ratio", "ratio_low", "ratio_high"]
        rows.append(
            {
                "claim": claim,
                "regime": regime,
                "verdict": verdict(directions, allows),
                "comparisons": len(parts),
                **deciding[[*numbers, "bound", "margin", "p_holm", "direction"]].to_dict(),
            }
        )
    return pd.DataFrame(rows)
