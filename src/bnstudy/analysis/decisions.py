"""From tested comparisons to verdicts, on each comparison and on each claim.

Rules: *lower* is tested by the sign-flip test of mean d = ln(batch) - ln(none), one-sided:
supported if p < α and the interval of the ratio lies below 1, refuted if it lies above. *Moved*:
the same, two-sided: supported if p < α and the interval excludes 1. *Same*: TOST within
± ln(margin): equivalent if p < α, refuted if the interval lies wholly outside the margin. Else:
inconclusive.

The primary cell's hypotheses make one family, one hypothesis per claim: a conjunction enters Holm
with the largest p of its parts, what is not estimable with p = 1, and is supported (equivalent) if
its adjusted p is below α and all parts are, refuted if any part is. All other cells are secondary,
adjusted within each part. Parts of a conjunction are judged by their own p.
"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bnstudy.analysis import statistics
from bnstudy.analysis.hypotheses import Claim, Part
from bnstudy.analysis.outcomes import each_row

# Rows that are evidence, but decide nothing.
UNDECIDED = ("supporting", "trend", "exploratory")


def adjusted(table: pd.DataFrame, claims: Sequence[Claim]) -> pd.Series:
    """Holm-adjusted p of the rows of significance.csv by which something is decided; else NaN."""
    result = pd.Series(math.nan, index=table.index)
    primary = table[table.role == "primary"]
    family = holm_of_claims(primary.p.groupby(primary.claim).agg(_largest), len(claims))
    for claim in claims:
        if len(claim.parts) == 1:
            result[primary.index[primary.claim == claim.name]] = family.get(claim.name, math.nan)
    for role in ("secondary", "descriptive", "sensitivity"):
        for _, rows in table[table.role == role].groupby("hypothesis"):
            known = rows.p.dropna()
            if len(known):
                result[known.index] = statistics.holm(known.to_numpy(), m=len(rows))
    return result


def holm_of_claims(p: pd.Series, count: int) -> pd.Series:
    """Holm-adjusted p of `count` claims from the `p` of those that were tested; NaN stays NaN."""
    family = statistics.holm(p.fillna(1).to_numpy(), m=count)
    return pd.Series(family, index=p.index).where(p.notna())


def _largest(p: pd.Series) -> float:
    """NaN where one is: a conjunction with an unknown part is unknown."""
    return float(p.max(skipna=False))


def verdict(row: Any, part: Part, alpha: float) -> str:
    """The verdict on one row of significance.csv by its part's rule; empty where it decides
    nothing."""
    if row.role in UNDECIDED:
        return ""
    own = (row.role == "primary" and not part.alone) or math.isnan(row.p_holm)
    p = row.p if own else row.p_holm
    if math.isnan(row.p) or math.isnan(row.ratio):
        return "not estimable"
    match part.rule.name:
        case "lower":
            if p < alpha and row.ratio_high < 1:
                return "supported"
            return "refuted" if row.ratio_low > 1 else "inconclusive"
        case "moved":
            moved = p < alpha and not row.ratio_low <= 1 <= row.ratio_high
            return "supported" if moved else "inconclusive"
    if p < alpha:
        return "equivalent"
    outside = row.ratio_low > row.margin or row.ratio_high < 1 / row.margin
    return "refuted" if outside else "inconclusive"


def decide(rows: pd.DataFrame, claims: Sequence[Claim], alpha: float) -> pd.DataFrame:
    """One row per claim, from the primary `rows` of a significance table.

    Numbers are those of the part that decides: a refuted one, else the one with the largest p.
    """
    numbers = ["n_pairs", "ratio", "ratio_low", "ratio_high"]
    decided = []
    for claim in claims:
        parts = rows[rows.claim == claim.name]
        refuted = parts[parts.verdict == "refuted"]
        deciding = (
            (refuted if len(refuted) else parts).sort_values("p", na_position="last").iloc[-1]
        )
        decided.append(
            {
                "claim": claim.name,
                "words": claim.words,
                "hypothesis": claim.hypothesis,
                "deciding_part": deciding.hypothesis,
                **deciding[numbers].to_dict(),
                "p": _largest(parts.p),
                "figure": claim.figure,
            }
        )
    table = pd.DataFrame(decided)
    table["p_holm"] = holm_of_claims(table.p, len(claims))
    table["verdict"] = [
        _conjunction(claim, set(rows[rows.claim == claim.name].verdict), row, alpha)
        for claim, row in zip(claims, each_row(table), strict=True)
    ]
    return table


def _conjunction(claim: Claim, verdicts: set[str], row: Any, alpha: float) -> str:
    """The verdict on a claim from its parts' verdicts and its adjusted p."""
    if "refuted" in verdicts:
        return "refuted"
    if math.isnan(row.p):
        return "not estimable"
    whole = row.p_holm < alpha and verdicts == {claim.rule.as_claimed}
    return claim.rule.as_claimed if whole else "inconclusive"
