"""The article's five claims and what became of them: a table and a page, generated."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bnstudy.figures.captions import Caption
from bnstudy.hypotheses import claims
from bnstudy.study import Analysis

JUDGEMENTS = {
    "supported": "supported",
    "refuted": "refuted",
    "equivalent": "supported: equivalent",
    "inconclusive": "left open: the evidence is inconclusive",
    "not estimable": "left open: it is not estimable from these runs",
}


def claims_table(tests: pd.DataFrame, analysis: Analysis, preview: bool = False) -> pd.DataFrame:
    """claims.csv: one row a claim, from significance.csv.

    Columns: claim, words (the article's), hypothesis, deciding_part with its n_pairs, ratio and
    interval, p and p_holm (of the conjunction), verdict, sentence, evidence (the parts' own
    sentences), figure.
    """
    rows = tests[tests.role == "primary"]
    table = claims(rows, analysis.alpha)
    prefix = "Preview, not the study: " if preview else ""
    table["sentence"] = [prefix + _sentence(claim, analysis.alpha) for claim in table.itertuples()]
    table["evidence"] = [
        " ".join(rows[rows.hypothesis.str.startswith(hypothesis)].sentence)
        for hypothesis in table.hypothesis
    ]
    order = ["claim", "words", "hypothesis", "n_pairs", "deciding_part", "ratio", "ratio_low",
             "ratio_high", "p", "p_holm", "verdict", "sentence", "evidence", "figure"]  # fmt: skip
    return table[order]


def _sentence(claim, alpha: float) -> str:
    """One plain sentence on a claim."""
    words = f"“{claim.words}” is {JUDGEMENTS[claim.verdict]}"
    if claim.verdict == "not estimable":
        return words + "."
    return (
        f"{words} (deciding: {claim.deciding_part}, ratio {claim.ratio:.2f}, "
        f"{100 * (1 - alpha):g} % interval {claim.ratio_low:.2f} to {claim.ratio_high:.2f}, "
        f"{claim.n_pairs} pairs; Holm p = {claim.p_holm:.2g})."
    )


def claims_page(
    table: pd.DataFrame, sensitivity: pd.DataFrame, captions: Mapping[str, Caption]
) -> str:
    """claims.md: the verdicts, their evidence, and where another analysis changes them."""
    lines = [
        "# The article's five claims", "",
        "Generated from `tables/claims.csv` and `tables/sensitivity.csv`; every number is this "
        "study's. Ratios are with BN over without, paired by seed.", "",
        "| | the article's words | verdict | ratio (interval) | pairs | p | Holm p |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for claim in table.itertuples():
        lines.append(
            f"| {claim.claim} | {claim.words} | **{claim.verdict}** | {interval(claim)} | "
            f"{claim.n_pairs} | {p_text(claim.p)} | {p_text(claim.p_holm)} |"
        )
    for claim in table.itertuples():
        title, text = captions[claim.figure]
        lines += [
            "", f"## {claim.claim}: {claim.verdict}", "", f"> {claim.words}", "",
            f"{claim.sentence}", "", f"Evidence ({claim.hypothesis}): {claim.evidence}", "",
            changes(sensitivity[sensitivity.claim == claim.claim]), "",
            f"![{title}](figures/{claim.figure}.svg)", "", f"*{title}.* {text}",
        ]  # fmt: skip
    lines += ["", "## Sensitivity", "",
              "What the verdicts would be had the analysis been chosen otherwise.", ""]  # fmt: skip
    return "\n".join([*lines, *_sensitivity_table(sensitivity), ""])


def changes(rows: pd.DataFrame) -> str:
    """Which of a claim's `rows` of the sensitivity table have another verdict."""
    changed = rows[rows.changed]
    if changed.empty:
        return "None of the alternative analyses below changes this verdict."
    parts = (f"{row.choice}: {row.verdict}" for row in changed.itertuples())
    return f"**The verdict changes** with another analysis: {'; '.join(parts)}."


def _sensitivity_table(rows: pd.DataFrame) -> Sequence[str]:
    wide = rows.pivot(index="choice", columns="claim", values="verdict")
    changed = rows.pivot(index="choice", columns="claim", values="changed")
    lines = ["| analysis | " + " | ".join(wide.columns) + " |",
             "|---" * (len(wide.columns) + 1) + "|"]  # fmt: skip
    for choice in dict.fromkeys(rows.choice):
        cells = [f"**{v}**" if c else v
                 for v, c in zip(wide.loc[choice], changed.loc[choice], strict=True)]  # fmt: skip
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
    return lines


def interval(row, ratio: str = "ratio") -> str:
    """A ratio and its interval: the columns `ratio`, `ratio`_low and `ratio`_high of a row."""
    estimate, low, high = (getattr(row, ratio + end) for end in ("", "_low", "_high"))
    return "–" if pd.isna(estimate) else f"{estimate:.2f} ({low:.2f} to {high:.2f})"


def p_text(value: float) -> str:
    """A p-value to two digits."""
    return "–" if pd.isna(value) else f"{value:.2g}"
