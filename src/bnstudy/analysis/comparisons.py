"""The study's hypotheses: from tables of runs to one row a test, with verdicts.

All comparisons are paired by seed: d = ln(batch) - ln(none), and exp of its mean is the ratio that
is reported. A hypothesis with several parts is a conjunction.

| | claim (the article's) | parts | rule |
|---|---|---|---|
| H1 | C1 | epochs until the train loss is at or below a threshold; never: the budget | lower |
| H2 | C2 | a: final test loss; b: final mean ‖J - J*‖_F, J the Jacobian, J* the target's | same |
| H3 | C3 | a: share of saturated hidden values; b: effective rank of the features, both at the end,
  on the test points | moved |
| H4 | C4 | per-layer factor of the gradient at initialisation in deep stacks: |ln factor|; a: with
  unscaled weights, b: scaled by 1/√fan-in | lower |
| H5 | C5 | epochs until the validation loss is at or below a threshold; a: dense network, b:
  convolutional | lower |

Rules: *lower* is tested by the sign-flip test of mean d, one-sided: supported if p < α and the
interval of the ratio lies below 1, refuted if it lies above. *Moved*: the same, two-sided:
supported if p < α and the interval excludes 1. *Same*: TOST within ± ln(margin): equivalent if
p < α, refuted if the interval lies wholly outside the margin. Else: inconclusive.

The primary cell's hypotheses make one family of five: a conjunction enters Holm with the largest p
of its parts, what is not estimable with p = 1, and is supported (equivalent) if its adjusted p is
below α and all parts are, refuted if any part is. All other cells are secondary, adjusted within
each part. Parts of a conjunction are judged by their own p.

A run that diverged counts against its arm: of a loss and of the Jacobian's error it has the worst
value of its cell (bnstudy.measures.failures_as_worst), of epochs the budget. Features have no worst
value: its pair is left out. Each row counts these runs, and its sentence names their number.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from bnstudy import statistics
from bnstudy.measures import (
    digits_pairs,
    failures,
    gradient_pairs,
    log_ratio,
    paired,
    threshold_columns,
)
from bnstudy.statistics import Interval, NotEstimable
from bnstudy.study import Analysis

# The article's claims: number, its words, hypothesis, rule, figure.
CLAIMS = {
    "H1": ("C1", "BN makes the model converge faster", "lower", "epochs_ratio"),
    "H2": ("C2", "BN has little influence on the value it converges to: model complexity hardly "
           "changes", "same", "final_loss_ratio"),
    "H3": ("C3", "BN changes the distribution of the features and so can adjust model complexity",
           "moved", "features"),
    "H4": ("C4", "BN keeps features near the origin, so gradients are less prone to vanish or "
           "explode", "lower", "gradient_depth"),
    "H5": ("C5", "BN suits fully connected and convolutional layers alike", "lower", "digits"),
}  # fmt: skip
ALTERNATIVES = {"lower": "batch lower", "same": "equivalent", "moved": "different"}


@dataclass(frozen=True)
class Part:
    """One paired comparison: `none` and `batch` (n,) each, and d (n,), ordered by seed."""

    name: str  # H1, H2a, …: what the parts of a hypothesis are called
    quantity: str
    none: np.ndarray
    batch: np.ndarray
    d: np.ndarray
    width: int | None = None
    threshold: float | None = None
    failed: tuple[int, int] = (0, 0)  # diverged runs of none and batch

    @property
    def rule(self) -> str:
        """How it decides: lower, same or moved."""
        return CLAIMS[self.name[:2]][2]


@dataclass(frozen=True)
class Choice:
    """How the primary hypotheses are decided; the defaults are what was stated in advance."""

    name: str = "as stated in advance"
    final: str = "final_test_loss"
    margin: float | None = None  # None: analysis.equivalence_margin
    test: str = "sign-flip"
    half: bool = False  # the first half of the seeds only


def alternatives(analysis: Analysis) -> list[Choice]:
    """What a reviewer would ask for instead."""
    return [
        Choice(),
        Choice("last epoch instead of the closing median", final="last_test_loss"),
        Choice("train instead of test loss", final="final_train_loss"),
        *(Choice(f"margin {m:g}", margin=m) for m in analysis.sensitivity_margins),
        Choice("Wilcoxon instead of permutation", test="Wilcoxon"),
        Choice("half of the seeds", half=True),
    ]


def significance(
    tables: Mapping[str, pd.DataFrame], analysis: Analysis, preview: bool = False
) -> pd.DataFrame:
    """One row a test. `tables`: runs, gradients and digits, as in results/tables.

    Roles: primary (decides a claim), secondary (the same at other widths), descriptive (other
    thresholds), sensitivity (other margins), beside (another test of the same d), trend (over
    widths), exploratory (the other arms against none).
    """
    runs = tables["runs"][tables["runs"].in_grid]
    widths = sorted({analysis.primary.width, *runs.width})
    rows = [
        row for width in widths for threshold in analysis.thresholds
        for row in _speed(runs, width, threshold, analysis)
    ]  # fmt: skip
    for width in widths:
        role = "primary" if width == analysis.primary.width else "secondary"
        for part in cell_parts(runs, width, analysis, Choice()):
            if part.rule == "same":
                rows += _equivalence(part, role, analysis)
            elif part.name != "H1":
                rows.append(_row(part, role, "sign-flip", analysis))
    rows += [_row(part, "primary", "sign-flip", analysis) for part in probe_parts(tables)]
    rows += _trends(runs, widths, analysis) + _exploratory(runs, analysis)
    table = pd.DataFrame(rows)
    table["width"] = table.width.astype("Int64")
    table["p_holm"] = _adjust(table)
    table["verdict"] = [_verdict(row, analysis.alpha) for row in table.itertuples()]
    faster = _faster_everywhere(table, analysis)
    prefix = "Preview, not the study: " if preview else ""
    table["sentence"] = [
        prefix + sentence(row, analysis, faster) if row.verdict else ""
        for row in table.itertuples()
    ]
    return table.sort_values("hypothesis", kind="stable", ignore_index=True)


def claims(rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """One row a claim, from the primary `rows` of a significance table.

    Numbers are those of the part that decides: a refuted one, else the one with the largest p.
    """
    decided = []
    for hypothesis, (claim, words, _, figure) in CLAIMS.items():
        parts = rows[rows.hypothesis.str.startswith(hypothesis)]
        refuted = parts[parts.verdict == "refuted"]
        deciding = (refuted if len(refuted) else parts).sort_values("p", na_position="last")
        p = parts.p.max(skipna=False)
        numbers = ["n_pairs", "ratio", "ratio_low", "ratio_high", "hypothesis"]
        values = (
            deciding.iloc[-1][numbers].to_dict() if len(parts) else dict.fromkeys(numbers, math.nan)
        )
        decided.append({
            "claim": claim, "words": words, "hypothesis": hypothesis,
            "deciding_part": values.pop("hypothesis"), **values, "p": p, "figure": figure,
            "parts": list(parts.verdict),
        })  # fmt: skip
    table = pd.DataFrame(decided)
    adjusted = statistics.holm(table.p.fillna(1).to_numpy(), m=len(CLAIMS))
    table["p_holm"] = np.where(table.p.isna(), math.nan, adjusted)
    table["verdict"] = [_conjunction(row, alpha) for row in table.itertuples()]
    return table.drop(columns="parts")


def primary_rows(
    tables: Mapping[str, pd.DataFrame], analysis: Analysis, choice: Choice
) -> pd.DataFrame:
    """The primary rows of `significance`, decided by `choice`."""
    runs = tables["runs"][tables["runs"].in_grid]
    parts = cell_parts(runs, analysis.primary.width, analysis, choice) + probe_parts(tables)
    if choice.half:
        parts = [replace(p, **{k: getattr(p, k)[: math.ceil(len(p.d) / 2)]
                               for k in ("none", "batch", "d")}) for p in parts]  # fmt: skip
    rows = pd.DataFrame([
        _row(part, "primary", "TOST" if part.rule == "same" else choice.test, analysis,
             margin=choice.margin)
        for part in parts
    ])  # fmt: skip
    rows["p_holm"] = math.nan  # belongs to the conjunction; see `claims`
    rows["verdict"] = [_verdict(row, analysis.alpha) for row in rows.itertuples()]
    return rows


def sensitivity(tables: Mapping[str, pd.DataFrame], analysis: Analysis) -> pd.DataFrame:
    """One row a claim and choice: its verdict, and whether that differs from the stated one's."""
    frames = []
    for choice in alternatives(analysis):
        decided = claims(primary_rows(tables, analysis, choice), analysis.alpha)
        frames.append(decided.drop(columns=["words", "figure"]).assign(choice=choice.name))
    stated = frames[0].set_index("claim").verdict
    table = pd.concat(frames, ignore_index=True)
    table["changed"] = table.verdict != table.claim.map(stated)
    return table[["choice", *(column for column in table if column != "choice")]]


# --- the comparisons -------------------------------------------------------------------------


def cell_parts(runs: pd.DataFrame, width: int, analysis: Analysis, choice: Choice) -> list[Part]:
    """What is compared in a cell of the grid, at the primary threshold."""
    threshold = analysis.primary.threshold
    columns = {
        "H1": (f"epochs to train loss {threshold:g}", threshold_columns(threshold)[0]),
        "H2a": (choice.final.replace("_", " "), choice.final),
        "H2b": ("error of the Jacobian", "final_jacobian_error"),
        "H3a": ("share of saturated hidden values", "final_saturated_share"),
        "H3b": ("effective rank of the hidden features", "final_effective_rank"),
    }
    return [
        Part(name, quantity, *paired(runs, width, column), log_ratio(runs, width, column), width,
             threshold if name == "H1" else None, failures(runs, width))
        for name, (quantity, column) in columns.items()
    ]  # fmt: skip


def probe_parts(tables: Mapping[str, pd.DataFrame]) -> list[Part]:
    """What is compared in the probes."""
    depth = [
        Part(name, f"per-layer factor of the gradient, {words} weights",
             *gradient_pairs(tables["gradients"], initialization))
        for name, initialization, words in (
            ("H4a", "unscaled", "unscaled"), ("H4b", "fan-in", "1/√fan-in scaled"))
    ]  # fmt: skip
    digits = [
        Part(name, f"epochs to the validation loss, {network} network on digits",
             *digits_pairs(tables["digits"], network))
        for name, network in (("H5a", "dense"), ("H5b", "convolutional"))
    ]  # fmt: skip
    return depth + digits


# --- the tests -------------------------------------------------------------------------------


def generator_of(analysis: Analysis, *name) -> np.random.Generator:
    """A generator of each test's own, so that adding a test leaves the others' results alone."""
    return np.random.default_rng([analysis.seed, *" ".join(map(str, name)).encode()])


def attempt(test: Callable):
    """(result, "") or, where the data cannot answer, (None, reason)."""
    try:
        return test(), ""
    except NotEstimable as reason:
        return None, str(reason)


def effect_of(d: np.ndarray, analysis: Analysis, *name) -> dict:
    """Size of the effect, as ratios: geometric mean with BCa interval, Hodges-Lehmann with its;
    the spread of d and the ratio that so many pairs show with a power of 0.8."""
    confidence = 1 - analysis.alpha
    mean, _ = attempt(partial(
        statistics.bca_mean, d, confidence,
        resamples=analysis.bootstraps, rng=generator_of(analysis, "bootstrap", *name),
    ))  # fmt: skip
    middle, _ = attempt(partial(statistics.hodges_lehmann, d, confidence))
    ratios = {}
    for prefix, interval in (("ratio", mean), ("hl_ratio", middle)):
        interval = interval or Interval(math.nan, math.nan, math.nan)
        ratios[prefix] = math.exp(interval.estimate)
        ratios[f"{prefix}_low"] = math.exp(interval.low)
        ratios[f"{prefix}_high"] = math.exp(interval.high)
    spread = d.std(ddof=1) if len(d) > 1 and np.isfinite(d).all() else math.nan
    detectable, _ = attempt(partial(
        statistics.smallest_detectable_difference, spread, len(d), analysis.alpha
    )) if spread > 0 else (None, "")  # fmt: skip
    return {
        "n_pairs": len(d), **ratios, "sd_log_ratio": spread,
        "detectable_ratio": math.nan if detectable is None else math.exp(detectable),
    }  # fmt: skip


def _row(
    part: Part, role: str, test: str, analysis: Analysis, *,
    margin: float | None = None, effect: dict | None = None, p: Callable | None = None,
) -> dict:  # fmt: skip
    """One row: `test` of `part`; `effect` and `p` where they are not the ordinary ones."""
    name = [part.name, part.width] + ([part.threshold] if part.threshold else [])
    same = part.rule == "same"
    margin = (margin or analysis.equivalence_margin) if same else math.nan
    side = "less" if part.rule == "lower" else "two-sided"
    ordinary = {
        "sign-flip": lambda: statistics.sign_flip(
            part.d, side, rng=generator_of(analysis, *name, "sign-flip"),
            resamples=analysis.permutations, alpha=analysis.alpha,
        ),
        "Wilcoxon": lambda: statistics.wilcoxon(part.d, side, alpha=analysis.alpha),
        "TOST": lambda: statistics.tost(part.d, math.log(margin), analysis.alpha)[0],
    }  # fmt: skip
    value, reason = attempt(p or ordinary[test])
    return {
        "hypothesis": part.name, "role": role, "arm": "batch", "reference": "none",
        "width": part.width, "quantity": part.quantity,
        "threshold": part.threshold or math.nan, "margin": margin, "test": test,
        "alternative": ALTERNATIVES[part.rule], "median_none": _median(part.none),
        "median_batch": _median(part.batch), **(effect or effect_of(part.d, analysis, *name)),
        "reached_none": math.nan, "reached_batch": math.nan,
        "failed_none": part.failed[0], "failed_batch": part.failed[1],
        "p": math.nan if value is None else value, "reason": reason,
    }  # fmt: skip


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _speed(runs: pd.DataFrame, width: int, threshold: float, analysis: Analysis) -> list[dict]:
    """The tests on epochs to one threshold: sign-flip decides, the other two stand beside it."""
    epochs, reached = threshold_columns(threshold)
    none, batch = paired(runs, width, epochs)
    got_none, got_batch = (got.astype(bool) for got in paired(runs, width, reached))
    part = Part("H1", f"epochs to train loss {threshold:g}", none, batch,
                log_ratio(runs, width, epochs), width, threshold,
                failures(runs, width))  # fmt: skip
    effect_d, tests = part.d, {"sign-flip": None, "Wilcoxon": None, "paired log-rank": partial(
        statistics.paired_logrank, batch, got_batch, none, got_none, "greater",
        rng=generator_of(analysis, "H1", width, threshold, "log-rank"),
        resamples=analysis.permutations, alpha=analysis.alpha,
    )}  # fmt: skip
    if not got_none.any() and not got_batch.any():
        tests, effect_d = dict.fromkeys(tests, _never_reached), part.d[:0]
    effect = effect_of(effect_d, analysis, "H1", width, threshold) | {"n_pairs": len(none)}
    if threshold != analysis.primary.threshold:
        decisive = "descriptive"
    else:
        decisive = "primary" if width == analysis.primary.width else "secondary"
    counts = {"reached_none": int(got_none.sum()), "reached_batch": int(got_batch.sum())}
    return [
        _row(part, decisive if test == "sign-flip" else "beside", test, analysis,
             effect=effect, p=p) | counts
        for test, p in tests.items()
    ]  # fmt: skip


def _never_reached():
    raise NotEstimable("no run reached the threshold")


def _equivalence(part: Part, role: str, analysis: Analysis) -> list[dict]:
    """The equivalence tests of one part, a margin each; the first decides."""
    margins = (analysis.equivalence_margin, *analysis.sensitivity_margins)
    return [
        _row(part, role if margin == analysis.equivalence_margin else "sensitivity", "TOST",
             analysis, margin=margin)
        for margin in margins
    ]  # fmt: skip


def _trends(runs: pd.DataFrame, widths: list[int], analysis: Analysis) -> list[dict]:
    """Does BN's advantage grow with the width? Page's test of d, and the slope of d on log₁₀ width.

    Both one-sided: d falls with the width. Over the seeds that every width has.
    """
    rows = []
    for name, quantity, column in (
        ("H1", "epochs to the primary threshold",
         threshold_columns(analysis.primary.threshold)[0]),
        ("H2a", "final test loss", "final_test_loss"),
    ):  # fmt: skip
        by_width = [log_ratio(runs, width, column) for width in widths]
        count = min(map(len, by_width))
        whole = len({len(d) for d in by_width}) == 1 and len(widths) > 2
        d = np.stack([d[:count] for d in by_width], axis=1) if whole else np.empty((0, 0))
        slope = statistics.slopes(np.log10(widths), d) if whole else np.empty(0)
        part = Part(name, f"{quantity}: d against width", np.empty(0), np.empty(0), slope)
        effect = effect_of(slope, analysis, name, "trend")
        for test, p in (
            ("Page", partial(statistics.page_trend, -d, analysis.alpha)),
            ("slope sign-flip", partial(
                statistics.sign_flip, slope, "less", rng=generator_of(analysis, name, "trend"),
                resamples=analysis.permutations, alpha=analysis.alpha)),
        ):  # fmt: skip
            row = _row(part, "trend", test, analysis, effect=effect, p=p)
            rows.append(row | {"alternative": "d falls with width", "margin": math.nan})
    return rows


def _exploratory(runs: pd.DataFrame, analysis: Analysis) -> list[dict]:
    """Every arm but none against none: epochs to each threshold, and the final test loss."""
    rows = []
    quantities = [
        *((f"epochs to train loss {t:g}", threshold_columns(t)[0], t) for t in analysis.thresholds),
        ("final test loss", "final_test_loss", None),
    ]
    other = runs[~runs.arm.isin(["none", "batch"])]
    for width in sorted(set(other.width)):
        for arm in ("batch", *sorted(set(other[other.width == width].arm))):
            for quantity, column, threshold in quantities:
                pair = paired(runs, width, column, arm)
                d = log_ratio(runs, width, column, arm)
                part = Part("H1", quantity, *pair, d, width, threshold,
                            failures(runs, width, arm))  # fmt: skip
                row = _row(
                    part, "exploratory", "sign-flip", analysis,
                    effect=effect_of(d, analysis, "arms", arm, width, quantity),
                    p=partial(statistics.sign_flip, d, "two-sided", alpha=analysis.alpha,
                              rng=generator_of(analysis, "arms", arm, width, quantity),
                              resamples=analysis.permutations),
                )  # fmt: skip
                rows.append(row | {"hypothesis": "arms", "arm": arm, "alternative": "different"})
    return rows


# --- the decisions ---------------------------------------------------------------------------


def _adjust(table: pd.DataFrame) -> pd.Series:
    """Holm-adjusted p where a test decides something by it; NaN elsewhere."""
    adjusted = pd.Series(math.nan, index=table.index)
    primary = table[table.role == "primary"]
    largest = primary.p.groupby(primary.hypothesis.str[:2]).agg(lambda p: p.max(skipna=False))
    family = statistics.holm(largest.fillna(1).to_numpy(), m=len(CLAIMS))
    for hypothesis, p in zip(largest.index, family, strict=True):
        if (single := primary.index[primary.hypothesis == hypothesis]).size:
            adjusted[single] = p if not math.isnan(largest[hypothesis]) else math.nan
    for role in ("secondary", "descriptive", "sensitivity"):
        for _, rows in table[table.role == role].groupby("hypothesis"):
            known = rows.p.dropna()
            if len(known):
                adjusted[known.index] = statistics.holm(known.to_numpy(), m=len(rows))
    return adjusted


def _verdict(row, alpha: float) -> str:
    """The rules of the module's docstring; empty for tests that decide nothing."""
    if row.role in ("beside", "trend", "exploratory"):
        return ""
    part = row.role == "primary" and len(row.hypothesis) > 2  # of a conjunction
    p = row.p if part or math.isnan(row.p_holm) else row.p_holm
    if math.isnan(row.p) or math.isnan(row.ratio):
        return "not estimable"
    match CLAIMS[row.hypothesis[:2]][2]:
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


def _conjunction(claim, alpha: float) -> str:
    """The verdict on a claim from its parts' and its adjusted p."""
    if "refuted" in claim.parts:
        return "refuted"
    if math.isnan(claim.p):
        return "not estimable"
    as_claimed = "equivalent" if CLAIMS[claim.hypothesis][2] == "same" else "supported"
    whole = claim.p_holm < alpha and all(verdict == as_claimed for verdict in claim.parts)
    return as_claimed if whole else "inconclusive"


def _faster_everywhere(table: pd.DataFrame, analysis: Analysis) -> dict[int, tuple[int, int]]:
    """Width → (thresholds at which BN is faster, thresholds), by unadjusted p and interval.

    "Faster at all" is a conjunction: its p is the largest of the parts', without adjustment.
    """
    decisive = table[(table.hypothesis == "H1") & (table.test == "sign-flip")]
    faster = (decisive.p < analysis.alpha) & (decisive.ratio_high < 1)
    return {w: (int(g.sum()), len(g)) for w, g in faster.groupby(decisive.width)}


# --- the sentences ---------------------------------------------------------------------------

# What a ratio is a ratio of, after "With BN, … was {size} that without".
PHRASES = {
    "H1": "the number of epochs needed to reach a train loss of {threshold:g}",
    "H2a": "the {quantity}",
    "H2b": "the error of the Jacobian (mean Frobenius norm over the test points)",
    "H3a": "the share of saturated hidden values (median {median_batch:.3g} against "
    "{median_none:.3g})",
    "H3b": "the effective rank of the hidden features (median {median_batch:.3g} against "
    "{median_none:.3g})",
    "H4a": "the gradient's growth or decay a layer (the factor, or its inverse where that is above "
    "1) in deep stacks with unscaled weights (median factor {median_batch:.2f} against "
    "{median_none:.2f})",
    "H4b": "the same with weights scaled by 1/√fan-in (median factor {median_batch:.2f} against "
    "{median_none:.2f})",
    "H5a": "the number of epochs a dense network needed on digits",
    "H5b": "the number of epochs a convolutional network needed on digits",
}


def sentence(row, analysis: Analysis, faster: Mapping[int, tuple[int, int]]) -> str:
    """One plain sentence on one decided test."""
    where = "" if pd.isna(row.width) else f"At width {row.width}, "
    what = PHRASES[row.hypothesis].format(**row._asdict())
    if row.verdict == "not estimable":
        reason = row.reason or "no interval"
        return _capital(
            f"{where}the effect of BN on {what} is not estimable: {reason}{_failed(row)}."
        )
    p = f"Holm p = {row.p_holm:.2g}" if not math.isnan(row.p_holm) else f"p = {row.p:.2g}"
    size = (
        f"{row.ratio:.2f} times ({100 * (1 - analysis.alpha):g} % interval {row.ratio_low:.2f} to "
        f"{row.ratio_high:.2f}, {row.n_pairs} pairs, {p})"
    )
    text = f"{where}with BN {what} was {size} that without: {_judged(row)}"
    if row.hypothesis == "H1":
        count, total = faster[row.width]
        text += f"; faster at {count} of {total} thresholds"
    return _capital(f"{text}{_failed(row)}.")


def _failed(row) -> str:
    """How many runs diverged and what that means here; empty where none did."""
    if not row.failed_none and not row.failed_batch:
        return ""
    counted = (
        "their pairs are left out" if row.hypothesis.startswith("H3")
        else "they count as the slowest" if row.hypothesis == "H1" else "they count as the worst"
    )  # fmt: skip
    return f"; diverged runs: {row.failed_batch} with BN, {row.failed_none} without; {counted}"


def _judged(row) -> str:
    """What the verdict says of this comparison."""
    rule = CLAIMS[row.hypothesis[:2]][2]
    margin = f"counting a ratio within {row.margin:g} as the same, "
    return {
        ("lower", "supported"): "lower, as claimed",
        ("lower", "refuted"): "higher, against the claim",
        ("moved", "supported"): "it moved, as claimed",
        ("same", "equivalent"): margin + "equivalent",
        ("same", "refuted"): margin + "not the same",
        ("same", "inconclusive"): margin + "inconclusive",
    }.get((rule, row.verdict), "inconclusive")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
