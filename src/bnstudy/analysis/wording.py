"""What became of the article's claims, in words: a sentence per test, a table and a page."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bnstudy.analysis.decisions import decide
from bnstudy.analysis.hypotheses import Part, all_claims
from bnstudy.analysis.outcomes import each_row
from bnstudy.config.models import Analysis, StudySettings

JUDGEMENTS = {
    "supported": "supported",
    "refuted": "refuted",
    "equivalent": "supported: equivalent",
    "inconclusive": "left open: the evidence is inconclusive",
    "not estimable": "left open: it is not estimable from these runs",
}


# How a diverged run counts, as the sentences say it.
COUNTED = {
    "worst": "they count as the worst",
    "slowest": "they count as the slowest",
    "left out": "their pairs are left out",
}


def sentence(
    row: Any, part: Part, analysis: Analysis, faster: Mapping[tuple[str, int], tuple[int, int]]
) -> str:
    """One plain sentence on one decided row of significance.csv, a test of `part`.

    `faster`: by part and width, at how many of how many thresholds BN is faster.
    """
    where = "" if pd.isna(row.width) else f"At width {row.width}, "
    what = part.phrase.format(**row._asdict())
    if row.verdict == "not estimable":
        reason = row.reason or "no interval"
        text = f"{where}the effect of BN on {what} is not estimable: {reason}"
        return _capital(f"{text}{_diverged(row, part)}.")
    p = f"Holm p = {row.p_holm:.2g}" if not math.isnan(row.p_holm) else f"p = {row.p:.2g}"
    judged = part.rule.judged.get(row.verdict, "inconclusive").format(margin=row.margin)
    text = (
        f"{where}with BN {what} was {row.ratio:.2f} times ({_percent(analysis.alpha)} interval "
        f"{row.ratio_low:.2f} to {row.ratio_high:.2f}, {row.n_pairs} pairs, {p}) that without: "
        f"{judged}"
    )
    if part.by_threshold:
        count, total = faster[part.name, row.width]
        text += f"; faster at {count} of {total} thresholds"
    return _capital(f"{text}{_diverged(row, part)}.")


def _diverged(row: Any, part: Part) -> str:
    """How many runs diverged and what that means here; empty where none did."""
    if not row.failed_none and not row.failed_batch:
        return ""
    counts = f"{row.failed_batch} with BN, {row.failed_none} without"
    return f"; diverged runs: {counts}; {COUNTED[part.diverged]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _percent(alpha: float) -> str:
    return f"{100 * (1 - alpha):g} %"


def claims_table(tests: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """claims.csv: one row per claim, from significance.csv.

    Columns: claim, words (the article's), hypothesis, deciding_part with its n_pairs, ratio and
    interval, p and p_holm (of the conjunction), verdict, sentence, evidence (the parts' own
    sentences), figure.
    """
    rows = tests[tests.role == "primary"]
    table = decide(rows, all_claims(), study.analysis.alpha)
    prefix = "Preview, not the study: " if study.preview else ""
    table["sentence"] = [
        prefix + _sentence(claim, study.analysis.alpha) for claim in each_row(table)
    ]
    table["evidence"] = [" ".join(rows[rows.claim == claim].sentence) for claim in table.claim]
    front = ["claim", "words", "hypothesis", "n_pairs", "deciding_part"]
    numbers = ["ratio", "ratio_low", "ratio_high", "p", "p_holm"]
    return table[[*front, *numbers, "verdict", "sentence", "evidence", "figure"]]


def _sentence(claim: Any, alpha: float) -> str:
    """One plain sentence on a claim."""
    words = f"“{claim.words}” is {JUDGEMENTS[claim.verdict]}"
    if claim.verdict == "not estimable":
        return words + "."
    return (
        f"{words} (deciding: {claim.deciding_part}, ratio {claim.ratio:.2f}, "
        f"{_percent(alpha)} interval {claim.ratio_low:.2f} to {claim.ratio_high:.2f}, "
        f"{claim.n_pairs} pairs; Holm p = {claim.p_holm:.2g})."
    )


def claims_page(
    table: pd.DataFrame, sensitivity: pd.DataFrame, captions: Mapping[str, tuple[str, str]]
) -> str:
    """claims.md: the verdicts, their evidence, and where another analysis changes them.

    `captions`: title and text of the figures that were drawn, by name.
    """
    lines = [
        "# The article's claims",
        "",
        "Generated from `tables/claims.csv` and `tables/sensitivity.csv`; every number is this "
        "study's. Ratios are with BN over without, paired by seed.",
        "",
        "| | the article's words | verdict | ratio (interval) | pairs | p | Holm p |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in each_row(table):
        lines.append(
            f"| {claim.claim} | {claim.words} | **{claim.verdict}** | {interval(claim)} | "
            f"{claim.n_pairs} | {p_text(claim.p)} | {p_text(claim.p_holm)} |"
        )
    for claim in each_row(table):
        lines += [
            *("", f"## {claim.claim}: {claim.verdict}"),
            *("", f"> {claim.words}"),
            *("", f"{claim.sentence}"),
            *("", f"Evidence ({claim.hypothesis}): {claim.evidence}"),
            *("", changes(sensitivity[sensitivity.claim == claim.claim])),
        ]
        if claim.figure in captions:
            title, text = captions[claim.figure]
            lines += ["", f"![{title}](figures/{claim.figure}.svg)", "", f"*{title}.* {text}"]
    lines += ["", "## Sensitivity", ""]
    lines += ["What the verdicts would be had the analysis been chosen otherwise.", ""]
    return "\n".join([*lines, *_sensitivity_table(sensitivity), ""])


def changes(rows: pd.DataFrame) -> str:
    """Which of a claim's `rows` of the sensitivity table have another verdict."""
    changed = rows[rows.changed]
    if changed.empty:
        return "None of the alternative analyses below changes this verdict."
    parts = (f"{row.choice}: {row.verdict}" for row in each_row(changed))
    return f"**The verdict changes** with another analysis: {'; '.join(parts)}."


def _sensitivity_table(rows: pd.DataFrame) -> list[str]:
    rows = rows.assign(shown=rows.verdict.where(~rows.changed, "**" + rows.verdict + "**"))
    wide = rows.pivot(index="choice", columns="claim", values="shown")
    lines = ["| analysis | " + " | ".join(wide.columns) + " |"]
    lines += ["|---" * (len(wide.columns) + 1) + "|"]
    for choice in dict.fromkeys(rows.choice):
        lines.append(f"| {choice} | " + " | ".join(wide.loc[choice]) + " |")
    return lines


def interval(row: Any, ratio: str = "ratio") -> str:
    """A ratio and its interval: the columns `ratio`, `ratio`_low and `ratio`_high of a row."""
    estimate, low, high = (getattr(row, ratio + end) for end in ("", "_low", "_high"))
    return "–" if pd.isna(estimate) else f"{estimate:.2f} ({low:.2f} to {high:.2f})"


def p_text(value: float) -> str:
    """A p-value to two digits."""
    return "–" if pd.isna(value) else f"{value:.2g}"
