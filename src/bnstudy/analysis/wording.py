"""What became of the article's claims, in words: a sentence per comparison, tables and a page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bnstudy.analysis.decisions import NOT_ESTIMABLE, OPEN, decide
from bnstudy.analysis.hypotheses import ARTICLE, MEAN_TASK, NEW_TASK, TUNED, all_claims
from bnstudy.analysis.outcomes import REFERENCE, each_row
from bnstudy.config.models import StudySettings

RATES_MATTER = ("C1", "C2")  # the claims on what a learning rate is chosen for
VERDICTS = ("holds", "fails", OPEN, NOT_ESTIMABLE)  # as a summary names them


def sentence(row: Any) -> str:
    """One plain sentence on a row of significance.csv."""
    where = "" if pd.isna(row.width) else f", width {row.width}"
    what = f"{row.regime}{where}: {row.quantity}"
    if row.direction == NOT_ESTIMABLE:
        return _capital(f"{what} is not estimable: {row.reason or 'no interval'}{_runs(row)}.")
    others = (
        "" if (row.arm, row.reference) == ("batch", "none") else f" ({row.arm} / {row.reference})"
    )
    unit = "tasks" if row.regime in (MEAN_TASK, NEW_TASK) else "pairs"
    text = (
        f"{what} with BN over without{others} {interval(row)}, {row.n_pairs} {unit}, Holm "
        f"p {p_text(row.p_holm, row.at_floor)}: {_judged(row)}"
    )
    return _capital(f"{text}{_runs(row)}.")


def _judged(row: Any) -> str:
    margin = f" within a factor of {row.margin:.3g}"
    text = row.direction + (margin if row.direction in ("same", "not higher") else "")
    if not row.allows or row.direction == OPEN:
        return text
    fits = row.direction in (*row.allows.split(" or "), "not higher")
    return f"{text}, {'as claimed' if fits else 'against the claim'}"


def _runs(row: Any) -> str:
    """How many runs never got to a threshold, or diverged; empty where none did."""
    parts = []
    for kind, what in (("censored", "never got there"), ("failed", "diverged")):
        arm, reference = getattr(row, f"{kind}_arm"), getattr(row, f"{kind}_reference")
        if arm or reference:
            parts.append(f"; {arm} runs of {row.arm} and {reference} of {row.reference} {what}")
    return "".join(parts)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def claims_table(tests: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    """claims.csv: one row per claim and regime, from significance.csv.

    Columns: claim, words (the article's), regime, verdict; of the comparison that decides: arm,
    width, quantity, n_pairs, ratio with interval and bound, margin, p_holm, direction; evidence
    (the sentences of all its comparisons), summary (of the claim, over its regimes), figure.
    """
    table, claims = decide(tests), {claim.name: claim for claim in all_claims(study.analysis)}
    primary = tests[tests.role == "primary"]
    evidence = primary.groupby(["claim", "regime"], sort=False).sentence.agg(" ".join)
    table["evidence"] = [evidence[row.claim, row.regime] for row in each_row(table)]
    table["summary"] = [summary(table[table.claim == claim]) for claim in table.claim]
    table["figure"] = [claims[claim].figure for claim in table.claim]
    table.insert(1, "words", [claims[claim].words for claim in table.claim])
    return table


def summary(rows: pd.DataFrame) -> str:
    """A claim in one sentence: where it holds, where it fails, where it is open."""
    parts = []
    for verdict in VERDICTS:
        cells = [f"{row.regime} ({_short(row)})" for row in each_row(rows[rows.verdict == verdict])]
        if cells:
            parts.append(f"{verdict}: {', '.join(cells)}")
    return _capital("; ".join(parts)) + "."


def _short(row: Any) -> str:
    """The one number that shows it."""
    where = "" if pd.isna(row.width) else f"width {row.width:g}, "
    number = "none" if pd.isna(row.ratio) else f"{_bound(row)}{row.ratio:.2f}"
    return f"{where}{row.quantity}: ratio {number}"


def tuning_beside_bn(tests: pd.DataFrame) -> list[str]:
    """What choosing the rate does to the network without BN, beside what BN does: a sentence for
    each quantity of significance.csv that decides as the article ran it and tuned."""
    primary = tests[(tests.role == "primary") & (tests.reference == REFERENCE)]
    both = primary[primary.regime == ARTICLE].merge(
        primary[primary.regime == TUNED],
        on=["claim", "column", "arm", "width", "quantity"],
        suffixes=("", "_tuned"),
    )
    both = both.dropna(subset=["ratio", "ratio_tuned"])
    return [
        f"{_capital(row.quantity)}, width {row.width:g}: choosing rate and schedule takes the "
        f"median without BN from {plain(row.median_reference)} to "
        f"{plain(row.median_reference_tuned)}; BN's ratio is {row.ratio:.2f} at the article's "
        f"rate, and {row.ratio_tuned:.2f} where both arms choose."
        for row in each_row(both[both.claim.isin(RATES_MATTER)])
    ]


def tally(claims: pd.DataFrame) -> list[str]:
    """Of each claim in claims.csv, how many of its regimes have which verdict."""
    lines = []
    for claim, rows in claims.groupby("claim", sort=False):
        counts = rows.verdict.value_counts()
        parts = [f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if verdict in counts]
        lines.append(f"{claim}, of {len(rows)} regimes: {', '.join(parts)}.")
    return lines


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
        *("", *matrix(table)),
    ]
    for claim, rows in table.groupby("claim", sort=False):
        first = rows.iloc[0]
        lines += ["", f"## {claim}", "", f"> {first.words}", "", f"{first.summary}"]
        for row in each_row(rows):
            lines += ["", f"**{_capital(row.regime)}: {row.verdict}.** {row.evidence}"]
        lines += ["", changes(sensitivity[sensitivity.claim == claim])]
        if first.figure in captions:
            title, text = captions[first.figure]
            lines += ["", f"![{title}](figures/{first.figure}.svg)", "", f"*{title}.* {text}"]
    lines += ["", "## Sensitivity", ""]
    lines += ["What the verdicts would be had the analysis been chosen otherwise.", ""]
    return "\n".join([*lines, *_sensitivity_table(sensitivity), ""])


def matrix(table: pd.DataFrame) -> list[str]:
    """Claims against regimes, as a table in markdown: verdict and ratio."""
    regimes = list(dict.fromkeys(table.regime))
    lines = ["| | " + " | ".join(regimes) + " |", "|---" * (len(regimes) + 1) + "|"]
    for claim, rows in table.groupby("claim", sort=False):
        cells = {row.regime: f"**{row.verdict}** {interval(row)}" for row in each_row(rows)}
        of_regimes = " | ".join(cells.get(regime, "") for regime in regimes)
        lines.append(f"| {claim}: {rows.iloc[0].words} | {of_regimes} |")
    return lines


def changes(rows: pd.DataFrame) -> str:
    """Which of a claim's `rows` of the sensitivity table have another verdict."""
    changed = rows[rows.changed]
    if changed.empty:
        return "None of the alternative analyses below changes a verdict on it."
    parts = (f"{row.choice}: {row.verdict} {row.regime}" for row in each_row(changed))
    return f"**A verdict changes** with another analysis: {'; '.join(parts)}."


def _sensitivity_table(rows: pd.DataFrame) -> list[str]:
    verdicts = rows.verdict.fillna("")
    shown = verdicts.where(~rows.changed, "**" + verdicts + "**")
    rows = rows.assign(shown=shown, cell=rows.claim + ", " + rows.regime)
    wide = rows.pivot(index="cell", columns="choice", values="shown")
    choices = list(dict.fromkeys(rows.choice))
    lines = ["| | " + " | ".join(choices) + " |", "|---" * (len(choices) + 1) + "|"]
    for cell in dict.fromkeys(rows.cell):
        lines.append(f"| {cell} | " + " | ".join(wide.loc[cell, choices]) + " |")
    return lines


def interval(row: Any) -> str:
    """The ratio of a row with its interval; a bound, where runs never got to the threshold."""
    if pd.isna(row.ratio):
        return "–"
    return f"{_bound(row)}{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"


def _bound(row: Any) -> str:
    bound = getattr(row, "bound", "")
    return "" if pd.isna(bound) or not bound else f"{bound} "


def plain(value: float) -> str:
    """Three significant digits, none after the point from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def p_text(value: float, at_floor: bool = False) -> str:
    """A p-value to two digits, as "= …", or as "≤ …" at the least that the permutations give."""
    return "–" if pd.isna(value) else f"{'≤' if at_floor else '='} {value:.2g}"
