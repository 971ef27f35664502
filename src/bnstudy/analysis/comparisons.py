"""From tables of runs to one row per comparison: significance.csv and sensitivity.csv.

All comparisons are paired by seed: d = ln(arm) - ln(reference), and exp of its mean is the ratio
that is reported, with a t interval. What is compared is said by the claims
(bnstudy.analysis.hypotheses), what follows from it by bnstudy.analysis.decisions.

A run that diverged counts against its arm: of a loss it has the worst value of its cell, of epochs
the budget. Features have no worst value: its pair is left out. Each row counts these runs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped

from bnstudy.analysis import statistics
from bnstudy.analysis.decisions import CENSORED, Tails, decide, direction, estimable, three_way
from bnstudy.analysis.hypotheses import (
    ARTICLE,
    FINAL_LOSS,
    TUNED,
    Claim,
    Comparison,
    all_claims,
    epochs_to,
)
from bnstudy.analysis.outcomes import (
    PAIR,
    REFERENCE,
    LogRatios,
    cell_pairs,
    censored_pairs,
    digits_pairs,
    each_row,
    failures,
    gradient_pairs,
    grid_runs,
    log_ratio_of,
)
from bnstudy.analysis.statistics import NotEstimable
from bnstudy.analysis.tasks import CENSORED_RUNS, task_effects, task_pairs, task_runs
from bnstudy.analysis.trends import trends
from bnstudy.analysis.tuning import at_edge, network_at_edge, task_at_edge
from bnstudy.analysis.wording import sentence
from bnstudy.config.cell import UNTUNED
from bnstudy.config.models import Analysis, StudySettings

Tables = Mapping[str, pd.DataFrame]
Row = dict[str, Any]
# Tables with pairs of their own, beside runs.csv: how they are read.
PAIRS = {"gradients": gradient_pairs, "digits": digits_pairs, "mnist1d": digits_pairs}
# The settings of a tuned cell that are not chosen, and those that a row names beside arm and width.
TUNED_CELL = ["task", "inputs", "width", "optimizer", "batch_size", "epochs", "label_noise"]
TUNED_CELL += ["tuned_for"]
CELL = ("width", "task", "inputs", "optimizer", "batch_size", "epochs")
AT_EDGE = "a rate was chosen at the edge of those tried"


@dataclass(frozen=True)
class Measured:
    """A comparison's pairs, ordered by seed: both values, d, and which runs are censored."""

    reference: Shaped[np.ndarray, " pair"]
    arm: Shaped[np.ndarray, " pair"]
    d: LogRatios
    censored: tuple[Bool[np.ndarray, " pair"], Bool[np.ndarray, " pair"]]
    failed: tuple[int, int] = (0, 0)  # diverged runs
    reason: str = ""  # why nothing can be said of them, if there is one
    pooled: statistics.RandomEffects | None = None  # of tasks, each of which is a pair here

    def first_half(self) -> "Measured":
        """Of the pairs."""
        half = slice(math.ceil(len(self.d) / 2))
        reference, arm = (censored[half] for censored in self.censored)
        return replace(
            self,
            reference=self.reference[half],
            arm=self.arm[half],
            d=self.d[half],
            censored=(reference, arm),
        )


@dataclass(frozen=True)
class Choice:
    """How comparisons are decided; the defaults are what was stated."""

    name: str = "as stated"
    columns: Mapping[str, str] = field(default_factory=dict)  # one column instead of another
    power: float = 1.0  # of the margins
    test: str = "sign-flip"
    half: bool = False  # the first half of the seeds only
    rank: int = 1  # of what tuning tried

    def acts_on(self, comparison: Comparison) -> bool:
        """Whether it can change anything there."""
        if self.rank > 1:
            return "tuned_for" in comparison.settings and comparison.table == "runs"
        if self.half or self.test != "sign-flip":
            return comparison.table != "tasks"
        return not self.columns or comparison.column in self.columns

    def of(self, comparison: Comparison) -> Comparison:
        """The comparison by this choice."""
        column = self.columns.get(comparison.column, comparison.column)
        rank = {"tuned_rank": self.rank} if self.rank > 1 else {}
        return replace(comparison, column=column, settings={**comparison.settings, **rank})


RUNNER_UP = Choice("the tuning's runner-up", rank=2)


def alternatives(analysis: Analysis, runs: pd.DataFrame) -> list[Choice]:
    """What a reviewer would ask for instead; the tuning's runner-up as far as `runs` have it."""
    last, train = ({"final_test_loss": name} for name in ("last_test_loss", "final_train_loss"))
    primary = f"epochs_to_{analysis.primary.threshold:g}"
    others = [t for t in analysis.thresholds if t != analysis.primary.threshold]
    return [
        Choice(),
        Choice("margins' square roots", power=0.5),
        Choice("margins squared", power=2.0),
        Choice("last epoch instead of the closing median", columns=last),
        Choice("train instead of test loss", columns=train),
        *(Choice(f"threshold {t:g}", columns={primary: f"epochs_to_{t:g}"}) for t in others),
        Choice("Wilcoxon", test="Wilcoxon"),
        Choice("t test", test="t"),
        Choice("half of the seeds", half=True),
        *([RUNNER_UP] if RUNNER_UP.rank in set(runs.get("tuned_rank", ())) else []),
    ]


def significance(tables: Tables, study: StudySettings) -> pd.DataFrame:
    """One row per comparison. `tables`: runs, gradients, digits, mnist1d, and those of tunings; a
    missing one has nothing to tell.

    Roles: primary (the family that decides the claims), secondary (the article's settings at other
    widths and thresholds), exploratory (other arms against none; MNIST-1D), tuned (every arm
    against none, both tuned), trend (over widths, budgets, batch sizes). Holm adjusts within each.
    """
    claims, runs = all_claims(study.analysis), tables.get("runs", pd.DataFrame())
    every = [comparison for claim in claims for comparison in claim.comparisons]
    rows = [
        _row(comparison, measure(comparison, tables, study), "primary", study.analysis)
        for comparison in every
    ]
    if len(runs):
        grid = grid_runs(runs, study)
        for role, comparisons in {
            "secondary": _at_other_widths(claims, grid, study),
            "exploratory": _of_other_arms(grid, study),
            "tuned": _of_tuned(runs, study),
        }.items():
            rows += [_row(c, measure(c, tables, study), role, study.analysis) for c in comparisons]
        rows += [_slope_row(*trend, study.analysis) for trend in trends(claims, runs, study)]
    if not tables.get("mnist1d", runs[:0]).empty:
        mnist1d = map(_on_mnist1d, (one for one in every if one.table == "digits"))
        rows += [_row(c, measure(c, tables, study), "exploratory", study.analysis) for c in mnist1d]
    table = pd.DataFrame(rows)
    table["width"] = table.width.astype("Int64")
    return _decided(table, study)


def adjusted(table: pd.DataFrame) -> pd.Series:
    """Holm-adjusted p of the rows of significance.csv, over all rows of a role; NaN stays NaN."""
    result = pd.Series(math.nan, index=table.index)
    for _, rows in table.groupby("role"):
        result[rows.index] = statistics.holm(rows.p.fillna(1).to_numpy())
    return result.where(table.p.notna())


def _decided(table: pd.DataFrame, study: StudySettings) -> pd.DataFrame:
    table["p_holm"] = adjusted(table)
    table["direction"] = [direction(row, study.analysis.alpha) for row in table.itertuples()]
    prefix = "Preview, not the study: " if study.preview else ""
    table["sentence"] = [prefix + sentence(row) for row in table.itertuples()]
    return table.drop(columns="nearest")


def sensitivity(tables: Tables, study: StudySettings) -> pd.DataFrame:
    """One row per claim, regime and choice: its verdict, and whether that differs from the stated
    one's; empty where the choice cannot act."""
    claims = all_claims(study.analysis)
    every = [comparison for claim in claims for comparison in claim.comparisons]
    measured: dict[str, Measured] = {}  # most choices look at the same pairs

    def row_by(comparison: Comparison, choice: Choice) -> Row:
        chosen = choice.of(comparison)
        if chosen.name not in measured:
            measured[chosen.name] = measure(chosen, tables, study)
        pairs = measured[chosen.name].first_half() if choice.half else measured[chosen.name]
        return _row(chosen, pairs, "primary", study.analysis, choice)

    stated, frames = [row_by(comparison, Choice()) for comparison in every], []
    for choice in alternatives(study.analysis, tables.get("runs", pd.DataFrame())):
        rows = [
            row_by(comparison, choice) if choice.acts_on(comparison) else row
            for comparison, row in zip(every, stated, strict=True)
        ]
        busy = {(c.claim, c.regime) for c in every if choice.acts_on(c)}
        decided = decide(_decided(pd.DataFrame(rows), study)).assign(choice=choice.name)
        verdicts = [
            row.verdict if (row.claim, row.regime) in busy else "" for row in each_row(decided)
        ]
        frames.append(decided.assign(verdict=verdicts))
    table = pd.concat(frames, ignore_index=True)
    as_stated = np.tile(frames[0].verdict, len(frames))
    table["changed"] = (table.verdict != as_stated) & (table.verdict != "")
    return table[["choice", *(column for column in table if column != "choice")]]


# --- what is compared -----------------------------------------------------------------------------


def measure(comparison: Comparison, tables: Tables, study: StudySettings) -> Measured:
    """The pairs of a comparison; none where a table lacks its cells."""
    nothing = pd.DataFrame()
    over_tasks = comparison.table == "tasks"
    table = tables.get("runs" if over_tasks else comparison.table, nothing)
    if table.empty:
        none = np.empty(0)
        return Measured(none, none, none, (none > 0, none > 0))
    if over_tasks:
        return _over_tasks(comparison, table, tables.get("tuning", nothing), study)
    if comparison.table != "runs":
        reference, arm, d, censored = PAIRS[comparison.table](table, comparison.of)
        edge = network_at_edge(tables.get(f"{comparison.table}_tuning", nothing), comparison.of)
        return Measured(reference, arm, d, censored, reason=AT_EDGE if edge else "")
    arms = comparison.arm, comparison.reference
    runs = cell_pairs(table, study, comparison.settings, *arms)
    values, censored = censored_pairs(runs, comparison.column, *arms, comparison.diverged)
    reference, arm = (values[name].to_numpy(float) for name in reversed(arms))
    edge = at_edge(tables.get("tuning", nothing), study, comparison.settings, arms)
    d, failed = log_ratio_of(reference, arm), failures(runs, *arms)
    return Measured(reference, arm, d, censored, failed, AT_EDGE if edge else "")


def _over_tasks(
    comparison: Comparison, runs: pd.DataFrame, tuning: pd.DataFrame, study: StudySettings
) -> Measured:
    """The tasks as pairs, and what they say of the mean task or of a new one."""
    settings = dict(comparison.settings)
    runs = task_runs(runs, study, settings)
    effects = task_effects(task_pairs(runs, comparison.column), CENSORED)
    reference, arm = (np.exp(effects[name].to_numpy(float)) for name in ("reference", "arm"))
    first, second = (effects[name].to_numpy(bool) for name in CENSORED_RUNS)
    d, variances = effects.d.to_numpy(float), effects.variance.to_numpy()
    options: Any = {"new": comparison.of == "new", "alpha": study.analysis.alpha}
    pooled, reason = attempt(partial(statistics.random_effects, d, variances, **options))
    if task_at_edge(tuning, settings, PAIR):
        reason = AT_EDGE
    return Measured(reference, arm, d, (first, second), failures(runs), reason, pooled)


def _at_other_widths(
    claims: Sequence[Claim], grid: pd.DataFrame, study: StudySettings
) -> list[Comparison]:
    """What the claims ask at the article's settings, at all widths and thresholds but those."""
    primary = [c for claim in claims for c in claim.comparisons if c.regime == ARTICLE]
    found = []
    for comparison in (c for c in primary if c.table == "runs"):
        by_threshold = comparison.column.startswith("epochs_to_")
        fields = map(epochs_to, study.analysis.thresholds) if by_threshold else [{}]
        every = [replace(comparison, **each) for each in fields]
        found += [
            replace(each, settings={"width": width})
            for each in every
            for width in sorted(set(grid.width))
        ]
    return [each for each in found if each not in primary]


def _of_other_arms(grid: pd.DataFrame, study: StudySettings) -> list[Comparison]:
    """Every arm against none, where there are others than batch: epochs, and the final loss."""
    quantities = [*map(epochs_to, study.analysis.thresholds), FINAL_LOSS]
    regime, found = "start and parametrisation", []
    for width, runs in grid.groupby("width"):
        arms = [arm for arm in dict.fromkeys(runs.arm) if arm != REFERENCE]
        if arms != ["batch"]:
            found += [
                Comparison(regime, allows=(), settings={"width": width}, arm=arm, **quantity)
                for arm in arms
                for quantity in quantities
            ]
    return found


def _on_mnist1d(comparison: Comparison) -> Comparison:
    """What a claim asks on digits, of the same networks on MNIST-1D."""
    quantity = comparison.quantity.replace(" on digits", "")
    return replace(comparison, table="mnist1d", regime=f"{TUNED} on MNIST-1D", quantity=quantity)


def _of_tuned(runs: pd.DataFrame, study: StudySettings) -> list[Comparison]:
    """Every arm against none in what both are tuned for, wherever they are."""
    ours = runs[(runs.tuned_for != UNTUNED["tuned_for"]) & (runs.tuned_rank == 1)]
    ours = ours[ours.seed.isin(study.study_seeds)].astype({"batch_size": str})
    found = []
    for values, cells in ours.groupby(TUNED_CELL, sort=False, observed=True):
        settings = dict(zip(TUNED_CELL, values, strict=True))
        column = settings["tuned_for"]
        fields: dict[str, Any] = FINAL_LOSS
        if column.startswith("epochs_to_"):
            fields = epochs_to(float(column.removeprefix("epochs_to_")))
        found += [
            Comparison(TUNED, allows=(), settings=settings, arm=arm, **fields)
            for arm in dict.fromkeys(cells.arm)
            if arm != REFERENCE and REFERENCE in set(cells.arm)
        ]
    return found


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


def flip(d: LogRatios, analysis: Analysis, *name: Any) -> Callable[[], float]:
    """The two-sided sign-flip test of d, with random numbers by `name`, ready to be called."""
    options: Any = {"resamples": analysis.permutations, "alpha": analysis.alpha}
    return lambda: statistics.sign_flip(d, rng=generator_of(analysis, *name), **options)


def effect_of(d: LogRatios, analysis: Analysis) -> Row:
    """Size of the effect, as ratios: geometric mean with its t interval; spread and skewness of d;
    the ratio that so many pairs show with a power of 0.8."""
    mean, _ = attempt(partial(statistics.t_mean, d, 1 - analysis.alpha))
    numbers = [math.nan] * 3 if mean is None else [mean.estimate, mean.low, mean.high]
    ratios = dict(zip(("ratio", "ratio_low", "ratio_high"), map(math.exp, numbers), strict=True))
    spread = d.std(ddof=1) if len(d) > 1 and np.isfinite(d).all() else math.nan
    detectable = None
    if spread > 0:
        detectable, _ = attempt(
            lambda: statistics.smallest_detectable_difference(spread, len(d), analysis.alpha)
        )
    skewness, _ = attempt(partial(statistics.skewness, d, analysis.alpha))
    return {
        "n_pairs": len(d),
        **ratios,
        "sd_log_ratio": spread,
        "skewness": math.nan if skewness is None else skewness,
        "detectable_ratio": math.nan if detectable is None else math.exp(detectable),
    }


def _row(
    comparison: Comparison,
    measured: Measured,
    role: str,
    analysis: Analysis,
    choice: Choice = Choice(),
) -> Row:
    """One row: a comparison's pairs, effect and tests."""
    d, censored = measured.d, measured.censored
    margin = getattr(analysis.margins, comparison.margin) ** choice.power
    resampling: Any = {"resamples": analysis.permutations, "alpha": analysis.alpha}
    flips = partial(
        statistics.sign_flips, rng=generator_of(analysis, comparison.name), **resampling
    )
    tails: Tails = {
        "sign-flip": flips,
        "Wilcoxon": partial(statistics.wilcoxon_tails, alpha=analysis.alpha),
        "t": partial(statistics.t_tails, alpha=analysis.alpha),
    }[choice.test]
    if measured.pooled:
        tails = measured.pooled.tails
    never = len(d) > 0 and all(each.all() for each in censored)
    reason = "no run reached the threshold" if never else measured.reason
    effect = effect_of(np.empty(0) if never else d, analysis)
    if measured.pooled:
        effect |= _pooled(measured.pooled, analysis)
    found: dict[str, float] | None = None
    if not reason:
        found, reason = attempt(partial(three_way, d, margin, comparison.allows, tails))
    left = estimable(found or {}, censored)
    if found and not left:
        reason = "too many runs never reached the threshold"
    nearest = min(left, key=lambda one: left[one]) if left else ""
    reference, arm = (int(each.sum()) for each in censored)
    return {
        "claim": comparison.claim,
        "regime": comparison.regime,
        "role": role,
        "arm": comparison.arm,
        "reference": comparison.reference,
        **{name: comparison.settings.get(name) for name in CELL},
        "quantity": comparison.quantity,
        "column": comparison.column,
        "of": comparison.of,
        "margin": margin,
        "allows": " or ".join(comparison.allows),
        "median_reference": _median(measured.reference),
        "median_arm": _median(measured.arm),
        **effect,
        "n_pairs": len(d),
        "bound": {(True, False): "at most", (False, True): "at least"}.get(
            (reference > 0, arm > 0), "about" if reference else ""
        ),
        "censored_reference": reference,
        "censored_arm": arm,
        "failed_reference": measured.failed[0],
        "failed_arm": measured.failed[1],
        **{f"p_{name.replace(' ', '_')}": p for name, p in (found or {}).items()},
        "p": left[nearest] if left else math.nan,
        "nearest": nearest,
        "at_floor": bool(left) and left[nearest] <= 2 / (analysis.permutations + 1),
        "reason": reason,
    }


def _pooled(pooled: statistics.RandomEffects, analysis: Analysis) -> Row:
    """`effect_of` what tasks say together; the spread is that between them."""
    found = pooled.interval(1 - analysis.alpha)
    numbers = map(math.exp, (found.estimate, found.low, found.high))
    ratios = dict(zip(("ratio", "ratio_low", "ratio_high"), numbers, strict=True))
    return {**ratios, "sd_log_ratio": pooled.between, "detectable_ratio": math.nan}


def _slope_row(comparison: Comparison, slopes: LogRatios, analysis: Analysis) -> Row:
    """A row on slopes, one for each seed."""
    nothing, flags = np.full(len(slopes), np.nan), np.zeros(len(slopes), bool)
    return _row(comparison, Measured(nothing, nothing, slopes, (flags, flags)), "trend", analysis)


def _median(values: Shaped[np.ndarray, " pair"]) -> float:
    return float(np.median(values)) if len(values) else math.nan
