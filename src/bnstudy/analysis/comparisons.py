"""From tables of runs to one row per test: significance.csv and sensitivity.csv.

All comparisons are paired by seed: d = ln(batch) - ln(none), and exp of its mean is the ratio that
is reported. What is compared is said by the claims (bnstudy.analysis.hypotheses), what follows from
it by bnstudy.analysis.decisions.

A run that diverged counts against its arm: of a loss and of the Jacobian's error it has the worst
value of its cell, of epochs the budget. Features have no worst value: its pair is left out. Each
row counts these runs, and its sentence names their number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped

from bnstudy.analysis import statistics
from bnstudy.analysis.decisions import adjusted, decide, verdict
from bnstudy.analysis.hypotheses import Claim, Part, all_claims
from bnstudy.analysis.outcomes import (
    REFERENCE,
    TREATMENT,
    digits_pairs,
    each_row,
    failures,
    gradient_pairs,
    grid_runs,
    log_ratio_of,
    paired,
    threshold_columns,
)
from bnstudy.analysis.statistics import Alternative, Interval, NotEstimable
from bnstudy.analysis.wording import sentence
from bnstudy.config.models import Analysis, StudySettings

Tables = Mapping[str, pd.DataFrame]
Row = dict[str, Any]
Name = tuple[Any, ...]
# Tables with pairs of their own, beside runs.csv: how they are read.
PAIRS = {"gradients": gradient_pairs, "digits": digits_pairs}


@dataclass(frozen=True)
class Comparison:
    """A part of a hypothesis, measured: the arms' values and d for each pair, ordered by seed."""

    part: Part
    none: Shaped[np.ndarray, " pair"]
    batch: Shaped[np.ndarray, " pair"]
    d: Float64[np.ndarray, " pair"]
    arm: str = TREATMENT
    width: int | None = None
    threshold: float | None = None
    failed: tuple[int, int] = (0, 0)  # diverged runs of none and batch

    @property
    def name(self) -> tuple[Any, ...]:
        """What sets its random numbers apart from those of other comparisons."""
        return (self.part.name, self.width, *([self.threshold] if self.threshold else []))

    @property
    def quantity(self) -> str:
        """What is compared."""
        return self.part.quantity.format(threshold=self.threshold)


@dataclass(frozen=True)
class Choice:
    """How the primary hypotheses are decided; the defaults are what was stated in advance."""

    name: str = "as stated in advance"
    columns: Mapping[str, str] = field(default_factory=dict)  # one column instead of another
    margin: float | None = None  # None: analysis.equivalence_margin
    test: str = "sign-flip"
    half: bool = False  # the first half of the seeds only


def alternatives(analysis: Analysis) -> list[Choice]:
    """What a reviewer would ask for instead."""
    last, train = ({"final_test_loss": name} for name in ("last_test_loss", "final_train_loss"))
    return [
        Choice(),
        Choice("last epoch instead of the closing median", columns=last),
        Choice("train instead of test loss", columns=train),
        *(Choice(f"margin {m:g}", margin=m) for m in analysis.sensitivity_margins),
        Choice("Wilcoxon instead of permutation", test="Wilcoxon"),
        Choice("half of the seeds", half=True),
    ]


def significance(tables: Tables, study: StudySettings) -> pd.DataFrame:
    """One row per test. `tables`: runs, gradients and digits; a missing one has nothing to tell.

    Roles: primary (decides a claim), secondary (the same at other widths), descriptive (other
    thresholds), sensitivity (other margins), supporting (another test of the same d), trend (over
    widths), exploratory (the other arms against none).
    """
    claims, analysis, runs = all_claims(), study.analysis, _runs(tables, study)
    widths = sorted({analysis.primary.width, *runs.width})
    rows = [
        row
        for claim in claims
        for part in claim.parts
        for row in _rows_of_part(part, tables, runs, widths, study)
    ]
    table = pd.DataFrame(rows + _exploratory(runs, analysis))
    table["width"] = table.width.astype("Int64")
    table["p_holm"] = adjusted(table, claims)
    parts = {part.name: part for claim in claims for part in claim.parts}
    parts[ARMS.name] = ARMS
    table["verdict"] = _verdicts(table, parts, analysis)
    faster = _faster_everywhere(table, analysis)
    prefix = "Preview, not the study: " if study.preview else ""
    table["sentence"] = [
        prefix + sentence(row, parts[row.hypothesis], analysis, faster) if row.verdict else ""
        for row in each_row(table)
    ]
    return table


def sensitivity(tables: Tables, study: StudySettings) -> pd.DataFrame:
    """One row per claim and choice: its verdict, and whether that differs from the stated one's."""
    claims, frames = all_claims(), []
    for choice in alternatives(study.analysis):
        decided = decide(primary_rows(tables, study, claims, choice), claims, study.analysis.alpha)
        frames.append(decided.drop(columns=["words", "figure"]).assign(choice=choice.name))
    stated = frames[0].set_index("claim").verdict
    table = pd.concat(frames, ignore_index=True)
    table["changed"] = table.verdict != table.claim.map(stated)
    return table[["choice", *(column for column in table if column != "choice")]]


def primary_rows(
    tables: Tables, study: StudySettings, claims: Sequence[Claim], choice: Choice
) -> pd.DataFrame:
    """The primary rows of `significance`, decided by `choice`."""
    analysis, runs = study.analysis, _runs(tables, study)
    parts = {part.name: part for claim in claims for part in claim.parts}
    rows = []
    for part in parts.values():
        chosen = replace(part, column=choice.columns.get(part.column, part.column))
        comparison = _measured(chosen, tables, runs, analysis)
        if choice.half:
            comparison = _first_half(comparison)
        test = choice.test if part.rule.test == "sign-flip" else part.rule.test
        rows.append(_row(comparison, "primary", test, analysis, margin=choice.margin))
    table = pd.DataFrame(rows)
    table["p_holm"] = math.nan  # belongs to the conjunction; see `decide`
    table["verdict"] = _verdicts(table, parts, analysis)
    return table


def _runs(tables: Tables, study: StudySettings) -> pd.DataFrame:
    runs = tables.get("runs", pd.DataFrame())
    if runs.empty:
        return pd.DataFrame(columns=["arm", "width", "seed", "status"])
    return grid_runs(runs, study)


def _verdicts(table: pd.DataFrame, parts: Mapping[str, Part], analysis: Analysis) -> list[str]:
    return [verdict(row, parts[row.hypothesis], analysis.alpha) for row in each_row(table)]


# --- the comparisons ------------------------------------------------------------------------------


def _measured(part: Part, tables: Tables, runs: pd.DataFrame, analysis: Analysis) -> Comparison:
    """What decides a part: in the primary cell of the grid, or in a table of its own."""
    if part.table == "runs":
        primary = analysis.primary
        return _in_cell(part, runs, primary.width, primary.threshold)
    table = tables.get(part.table, pd.DataFrame())
    empty = np.empty(0)
    none, batch, d = (empty,) * 3 if table.empty else PAIRS[part.table](table, part.of)
    return Comparison(part, none, batch, d)


def _in_cell(
    part: Part, runs: pd.DataFrame, width: int, threshold: float, arm: str = TREATMENT
) -> Comparison:
    column, at = part.column, None
    if part.by_threshold:
        column, at = threshold_columns(threshold)[0], threshold
    none, other = paired(runs, width, column, arm, part.diverged)
    d = log_ratio_of(none, other)
    return Comparison(part, none, other, d, arm, width, at, failures(runs, width, arm))


def _first_half(comparison: Comparison) -> Comparison:
    half = slice(math.ceil(len(comparison.d) / 2))
    none, batch, d = comparison.none[half], comparison.batch[half], comparison.d[half]
    return replace(comparison, none=none, batch=batch, d=d)


# --- the tests ------------------------------------------------------------------------------------


def generator_of(analysis: Analysis, *name: Any) -> np.random.Generator:
    """A generator for each test, so that adding a test leaves the others' results alone."""
    return np.random.default_rng([analysis.seed, *" ".join(map(str, name)).encode()])


def attempt(test: Callable[[], Any]) -> tuple[Any, str]:
    """(result, "") or, where the data cannot answer, (None, reason)."""
    try:
        return test(), ""
    except NotEstimable as reason:
        return None, str(reason)


def flip(
    d: Float64[np.ndarray, " pair"], side: Alternative, analysis: Analysis, *name: Any
) -> Callable[[], float]:
    """The sign-flip test of d, with random numbers by `name`, ready to be called."""
    return partial(_flipped, tuple(d), side, analysis.model_dump_json(), name)


@cache
def _flipped(d: tuple[float, ...], side: Alternative, settings: str, name: Name) -> float:
    """Cached, since most choices of the sensitivity analysis leave most tests as they are."""
    analysis = Analysis.model_validate_json(settings)
    return statistics.sign_flip(np.array(d), side, **_resampling(analysis, *name))


def _resampling(analysis: Analysis, *name: Any) -> dict[str, Any]:
    """What the tests by random resampling are told."""
    rng = generator_of(analysis, *name)
    return {"rng": rng, "resamples": analysis.permutations, "alpha": analysis.alpha}


def effect_of(d: Float64[np.ndarray, " pair"], analysis: Analysis, *name: Any) -> Row:
    """Size of the effect, as ratios: geometric mean with BCa interval, Hodges-Lehmann with its;
    the spread of d and the ratio that so many pairs show with a power of 0.8."""
    return _effect_of(tuple(d), analysis.model_dump_json(), name)


@cache
def _effect_of(pairs: tuple[float, ...], settings: str, name: Name) -> Row:
    d, analysis = np.array(pairs), Analysis.model_validate_json(settings)
    confidence = 1 - analysis.alpha
    rng = generator_of(analysis, "bootstrap", *name)
    mean, _ = attempt(
        lambda: statistics.bca_mean(d, confidence, resamples=analysis.bootstraps, rng=rng)
    )
    middle, _ = attempt(partial(statistics.hodges_lehmann, d, confidence))
    ratios = {}
    for prefix, interval in (("ratio", mean), ("hl_ratio", middle)):
        interval = interval or Interval(math.nan, math.nan, math.nan)
        ratios[prefix] = math.exp(interval.estimate)
        ratios[f"{prefix}_low"] = math.exp(interval.low)
        ratios[f"{prefix}_high"] = math.exp(interval.high)
    spread = d.std(ddof=1) if len(d) > 1 and np.isfinite(d).all() else math.nan
    detectable = None
    if spread > 0:
        detectable, _ = attempt(
            lambda: statistics.smallest_detectable_difference(spread, len(d), analysis.alpha)
        )
    return {
        "n_pairs": len(d),
        **ratios,
        "sd_log_ratio": spread,
        "detectable_ratio": math.nan if detectable is None else math.exp(detectable),
    }


def _row(
    comparison: Comparison,
    role: str,
    test: str,
    analysis: Analysis,
    *,
    margin: float | None = None,
    effect: Row | None = None,
    p: Callable[[], float] | None = None,
) -> Row:
    """One row: `test` of a comparison; `effect` and `p` where they are not the ordinary ones."""
    part, d, rule = comparison.part, comparison.d, comparison.part.rule
    margin = (margin or analysis.equivalence_margin) if rule.name == "same" else math.nan
    ordinary: dict[str, Callable[[], float]] = {
        "sign-flip": flip(d, rule.side, analysis, *comparison.name, "sign-flip"),
        "Wilcoxon": partial(statistics.wilcoxon, d, rule.side, alpha=analysis.alpha),
        "TOST": lambda: statistics.tost(d, math.log(margin), analysis.alpha)[0],
    }
    value, reason = attempt(p or ordinary[test])
    return {
        "claim": part.claim,
        "hypothesis": part.name,
        "role": role,
        "arm": comparison.arm,
        "reference": REFERENCE,
        "width": comparison.width,
        "quantity": comparison.quantity,
        "threshold": comparison.threshold or math.nan,
        "margin": margin,
        "test": test,
        "alternative": rule.alternative,
        "median_none": _median(comparison.none),
        "median_batch": _median(comparison.batch),
        **(effect or effect_of(d, analysis, *comparison.name)),
        "reached_none": math.nan,
        "reached_batch": math.nan,
        "failed_none": comparison.failed[0],
        "failed_batch": comparison.failed[1],
        "p": math.nan if value is None else value,
        "reason": reason,
    }


def _median(values: Shaped[np.ndarray, " pair"]) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _rows_of_part(
    part: Part, tables: Tables, runs: pd.DataFrame, widths: Sequence[int], study: StudySettings
) -> list[Row]:
    """All tests of one part: at every width, at every threshold or margin, and its trend."""
    analysis = study.analysis
    if part.table != "runs":
        measured = _measured(part, tables, runs, analysis)
        return [_row(measured, "primary", part.rule.test, analysis)]
    rows = []
    for width in widths:
        role = "primary" if width == analysis.primary.width else "secondary"
        if part.by_threshold:
            for threshold in analysis.thresholds:
                decisive = role if threshold == analysis.primary.threshold else "descriptive"
                rows += _speed(part, runs, width, threshold, decisive, analysis)
            continue
        measured = _in_cell(part, runs, width, analysis.primary.threshold)
        rows.append(_row(measured, role, part.rule.test, analysis))
        if part.rule.name == "same":
            rows += [
                _row(measured, "sensitivity", part.rule.test, analysis, margin=margin)
                for margin in analysis.sensitivity_margins
            ]
    return rows + (_trend(part, runs, widths, study) if part.trend else [])


def _speed(
    part: Part, runs: pd.DataFrame, width: int, threshold: float, role: str, analysis: Analysis
) -> list[Row]:
    """The tests on epochs to one threshold: sign-flip decides, the other two support it."""
    measured = _in_cell(part, runs, width, threshold)
    reached = paired(runs, width, threshold_columns(threshold)[1])
    got_none, got_batch = (got.astype(bool) for got in reached)
    pairs = measured.batch, got_batch, measured.none, got_none
    options = _resampling(analysis, *measured.name, "log-rank")
    logrank = partial(statistics.paired_logrank, *pairs, "greater", **options)
    d = measured.d
    tests: dict[str, Any] = {"sign-flip": None, "Wilcoxon": None, "paired log-rank": logrank}
    if not got_none.any() and not got_batch.any():
        d, tests = d[:0], dict.fromkeys([*tests], _never_reached)
    effect = effect_of(d, analysis, *measured.name) | {"n_pairs": len(measured.d)}
    counts = {"reached_none": int(got_none.sum()), "reached_batch": int(got_batch.sum())}
    rows = []
    for test, p in tests.items():
        decisive = role if test == part.rule.test else "supporting"
        rows.append(_row(measured, decisive, test, analysis, effect=effect, p=p) | counts)
    return rows


def _never_reached() -> float:
    raise NotEstimable("no run reached the threshold")


def _trend(
    part: Part, runs: pd.DataFrame, widths: Sequence[int], study: StudySettings
) -> list[Row]:
    """Does BN's advantage grow with the width? Page's test of d, and the slope of d on log₁₀ width.

    Both one-sided: d falls with the width. Over the widths that have all of the study's seeds.
    """
    analysis = study.analysis
    by_width = {w: _in_cell(part, runs, w, analysis.primary.threshold).d for w in widths}
    whole = {w: d for w, d in by_width.items() if len(d) == len(study.study_seeds)}
    d, slopes = np.empty((0, 0)), np.empty(0)
    if len(whole) > 2:
        d = np.stack(list(whole.values()), axis=1)
        slopes = statistics.slopes(np.log10(list(whole)), d)
    named = replace(part, quantity=f"{part.trend}: d against width")
    unknown = np.full_like(slopes, math.nan)  # a slope belongs to a seed, not to an arm
    comparison = Comparison(named, unknown, unknown, slopes)
    effect = effect_of(slopes, analysis, part.name, "trend")
    tests: dict[str, Callable[[], float]] = {
        "Page": partial(statistics.page_trend, -d, analysis.alpha),
        "slope sign-flip": flip(slopes, "less", analysis, part.name, "trend"),
    }
    return [
        _row(comparison, "trend", test, analysis, effect=effect, p=p)
        | {"alternative": "d falls with width", "margin": math.nan}
        for test, p in tests.items()
    ]


ARMS = Part("arms", "")  # the exploratory comparisons, which belong to no claim


def _exploratory(runs: pd.DataFrame, analysis: Analysis) -> list[Row]:
    """Every arm but none against none: epochs to each threshold, and the final test loss."""
    speed = replace(ARMS, column="epochs_to", quantity="epochs to train loss {threshold:g}")
    final = replace(ARMS, column="final_test_loss", quantity="final test loss")
    quantities = [*((speed, t) for t in analysis.thresholds), (final, math.nan)]
    rows = []
    other = runs[~runs.arm.isin([REFERENCE, TREATMENT])]
    for width in sorted(set(other.width)):
        for arm in (TREATMENT, *sorted(set(other[other.width == width].arm))):
            for part, threshold in quantities:
                measured = _in_cell(part, runs, width, threshold, arm)
                name = ("arms", arm, width, measured.quantity)
                effect = effect_of(measured.d, analysis, *name)
                p = flip(measured.d, "two-sided", analysis, *name)
                rows.append(
                    _row(measured, "exploratory", "sign-flip", analysis, effect=effect, p=p)
                )
    return rows


def _faster_everywhere(
    table: pd.DataFrame, analysis: Analysis
) -> dict[tuple[str, int], tuple[int, int]]:
    """(Part, width) → (thresholds at which BN is faster, thresholds), by unadjusted p and interval.

    "Faster at all" is a conjunction: its p is the largest of the parts', without adjustment.
    """
    roles = ["primary", "secondary", "descriptive"]
    decisive = table[table.threshold.notna() & table.role.isin(roles)]
    faster = (decisive.p < analysis.alpha) & (decisive.ratio_high < 1)
    groups: Any = faster.groupby([decisive.hypothesis, decisive.width])
    return {key: (int(group.sum()), len(group)) for key, group in groups}
