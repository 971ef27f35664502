"""The study's hypotheses: from one row a run to one row a test, with verdicts.

All comparisons are paired by seed: d = ln(batch) - ln(none), and exp of its mean is the ratio that
is reported, below 1 where BN needs fewer epochs or ends lower.

H1 (claim C1, "BN makes the model converge faster"): epochs until the train loss is at or below a
threshold, a run that never gets there counted with the budget. Decided by the sign-flip test of
mean d, one-sided: supported if p < α after Holm and the interval lies below 1, refuted if the
interval lies above 1.

H2a (claim C2, "BN has little influence on the value it converges to"): final test losses, TOST
within ± ln(margin): equivalent if p < α after Holm, refuted if the 95 % interval of the ratio lies
wholly outside the margin.

Holm: the primary cell's family has five hypotheses (H1-H5); those not tested or not estimable count
as p = 1. All other cells are secondary, adjusted within each claim and role.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from bnstudy import statistics
from bnstudy.measures import log_ratio, paired, threshold_columns
from bnstudy.statistics import Interval, NotEstimable
from bnstudy.study import Analysis

PRIMARY_FAMILY = 5  # H1-H5
WORDS = {"H1": "BN makes the model converge faster",
         "H2a": "BN has little influence on the value it converges to"}  # fmt: skip


def significance(runs: pd.DataFrame, analysis: Analysis, preview: bool = False) -> pd.DataFrame:
    """One row a test, H1 then H2a, every width (see the module), for the runs of the grid."""
    runs = runs[runs.in_grid]
    widths = sorted({analysis.primary.width, *runs.width})
    rows = [
        row for width in widths for threshold in analysis.thresholds
        for row in _speed(runs, width, threshold, analysis)
    ] + [row for width in widths for row in _final(runs, width, analysis)]  # fmt: skip
    table = pd.DataFrame(rows)
    table["p_holm"] = _adjust(table)
    table["verdict"] = [_verdict(row, analysis.alpha) for row in table.itertuples()]
    faster = _faster_everywhere(table, analysis)
    prefix = "Preview, not the study: " if preview else ""
    table["sentence"] = [
        prefix + _sentence(row, faster, analysis.alpha) if row.verdict else ""
        for row in table.itertuples()
    ]
    return table


def _generator(analysis: Analysis, *name) -> np.random.Generator:
    """A generator of each test's own, so that adding a test leaves the others' results alone."""
    return np.random.default_rng([analysis.seed, *" ".join(map(str, name)).encode()])


def _effect(d: np.ndarray, analysis: Analysis, *name) -> dict:
    """Size of the effect, as ratios: geometric mean with BCa interval, Hodges-Lehmann with its."""
    confidence = 1 - analysis.alpha
    mean, _ = _attempt(partial(
        statistics.bca_mean, d, confidence,
        resamples=analysis.bootstraps, rng=_generator(analysis, "bootstrap", *name),
    ))  # fmt: skip
    middle, _ = _attempt(partial(statistics.hodges_lehmann, d, confidence))
    ratios = {}
    for prefix, interval in (("ratio", mean), ("hl_ratio", middle)):
        interval = interval or Interval(math.nan, math.nan, math.nan)
        ratios[prefix] = math.exp(interval.estimate)
        ratios[f"{prefix}_low"] = math.exp(interval.low)
        ratios[f"{prefix}_high"] = math.exp(interval.high)
    spread = d.std(ddof=1) if len(d) > 1 and np.isfinite(d).all() else math.nan
    return {"n_pairs": len(d), **ratios, "sd_log_ratio": spread}


def _attempt(test: Callable):
    """(result, "") or, where the data cannot answer, (None, reason)."""
    try:
        return test(), ""
    except NotEstimable as reason:
        return None, str(reason)


def _speed(runs: pd.DataFrame, width: int, threshold: float, analysis: Analysis) -> list[dict]:
    """The tests on epochs to one threshold: sign-flip decides, the other two stand beside it."""
    epochs, reached = threshold_columns(threshold)
    d = log_ratio(runs, width, epochs)
    (none, batch), (got_none, got_batch) = paired(runs, width, epochs), paired(runs, width, reached)
    got_none, got_batch = got_none.astype(bool), got_batch.astype(bool)
    options = {"resamples": analysis.permutations, "alpha": analysis.alpha}
    rng = partial(_generator, analysis, "H1", width, threshold)
    tests = {
        "sign-flip": partial(statistics.sign_flip, d, "less", rng=rng("sign-flip"), **options),
        "Wilcoxon": partial(statistics.wilcoxon, d, "less", alpha=analysis.alpha),
        "paired log-rank": partial(
            statistics.paired_logrank, batch, got_batch, none, got_none, "greater",
            rng=rng("log-rank"), **options,
        ),
    }  # fmt: skip
    if not got_none.any() and not got_batch.any():
        tests = dict.fromkeys(tests, _never_reached)
        d = d[:0]
    if threshold != analysis.primary.threshold:
        decisive = "descriptive"
    else:
        decisive = "primary" if width == analysis.primary.width else "secondary"
    effect = _effect(d, analysis, "H1", width, threshold) | {"n_pairs": len(none)}
    rows = []
    for name, test in tests.items():
        p, reason = _attempt(test)
        rows.append({
            "hypothesis": "H1", "role": decisive if name == "sign-flip" else "beside",
            "width": width, "quantity": "epochs to train loss", "threshold": threshold,
            "margin": math.nan, "test": name, "alternative": "batch faster", **effect,
            "reached_none": int(got_none.sum()), "reached_batch": int(got_batch.sum()),
            "p": math.nan if p is None else p, "reason": reason,
        })  # fmt: skip
    return rows


def _never_reached():
    raise NotEstimable("no run reached the threshold")


def _final(runs: pd.DataFrame, width: int, analysis: Analysis) -> list[dict]:
    """The equivalence tests on final test losses, a margin each; the first decides."""
    d = log_ratio(runs, width, "final_test_loss")
    effect = _effect(d, analysis, "H2a", width)
    rows = []
    for margin in (analysis.equivalence_margin, *analysis.sensitivity_margins):
        result, reason = _attempt(partial(statistics.tost, d, math.log(margin), analysis.alpha))
        role = "primary" if width == analysis.primary.width else "secondary"
        rows.append({
            "hypothesis": "H2a", "role": role if margin == analysis.equivalence_margin
            else "sensitivity", "width": width, "quantity": "final test loss",
            "threshold": math.nan, "margin": margin, "test": "TOST",
            "alternative": "equivalent", **effect,
            "p": math.nan if result is None else result[0], "reason": reason,
        })  # fmt: skip
    return rows


def _adjust(table: pd.DataFrame) -> pd.Series:
    """Holm-adjusted p, where a test decides something; NaN beside it."""
    adjusted = pd.Series(math.nan, index=table.index)
    primary = table.role == "primary"
    families = [(table.index[primary], PRIMARY_FAMILY)]
    for role in ("secondary", "descriptive", "sensitivity"):
        for _, rows in table[table.role == role].groupby("hypothesis"):
            families.append((rows.index, len(rows)))
    for index, size in families:
        known = table.p[index].dropna()
        if len(known):
            adjusted[known.index] = statistics.holm(known.to_numpy(), m=size)
    return adjusted


def _verdict(row, alpha: float) -> str:
    """The decision rules of the module's docstring; empty for tests that stand beside one."""
    if row.role == "beside":
        return ""
    if math.isnan(row.p_holm) or math.isnan(row.ratio):
        return "not estimable"
    if row.hypothesis == "H1":
        if row.p_holm < alpha and row.ratio_high < 1:
            return "supported"
        return "refuted" if row.ratio_low > 1 else "inconclusive"
    if row.p_holm < alpha:
        return "equivalent"
    outside = row.ratio_low > row.margin or row.ratio_high < 1 / row.margin
    return "refuted" if outside else "inconclusive"


def _faster_everywhere(table: pd.DataFrame, analysis: Analysis) -> dict[int, tuple[int, int]]:
    """Width → (thresholds at which BN is faster, thresholds), by unadjusted p and interval.

    "Faster at all" is a conjunction: its p is the largest of the parts', without adjustment.
    """
    decisive = table[(table.hypothesis == "H1") & (table.test == "sign-flip")]
    faster = (decisive.p < analysis.alpha) & (decisive.ratio_high < 1)
    return {w: (int(g.sum()), len(g)) for w, g in faster.groupby(decisive.width)}


def _sentence(row, faster: dict[int, tuple[int, int]], alpha: float) -> str:
    """One plain sentence on one decided test."""
    if row.verdict == "not estimable":
        what = row.quantity if row.hypothesis == "H2a" else f"{row.quantity} {row.threshold:g}"
        reason = row.reason or "no interval"
        return f"At width {row.width}, the effect of BN on the {what} is not estimable: {reason}."
    size = (
        f"{row.ratio:.2f} times ({100 * (1 - alpha):g} % interval {row.ratio_low:.2f} to "
        f"{row.ratio_high:.2f}, {row.n_pairs} pairs, Holm p = {row.p_holm:.2g})"
    )
    claim = f"“{WORDS[row.hypothesis]}” is {row.verdict} here"
    if row.hypothesis == "H1":
        count, total = faster[row.width]
        return (
            f"At width {row.width}, networks with BN needed {size} the epochs of those without to "
            f"reach a train loss of {row.threshold:g}: {claim}"
            f"; they were faster at {count} of {total} thresholds."
        )
    return (
        f"At width {row.width}, the final test loss with BN was {size} that without; counting a "
        f"ratio within {row.margin:g} as the same, {claim}."
    )
