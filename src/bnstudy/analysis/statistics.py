"""Tests and intervals for paired comparisons: arrays in, results out.

`d` are the differences of the pairs, one number per pair. Nothing here knows what they measure.
Where data cannot answer, `NotEstimable` is raised with the reason; wrong arguments (shapes, levels,
names) raise a plain `ValueError`. Random numbers come from the caller's generator only.

Every test asks for at least `fewest_pairs(alpha)` pairs, and for differences that differ, also
where its own formula would give a number: so the tests and intervals of one comparison are
estimable together or not at all.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import ceil, log2
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Num, Shaped
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

Alternative = Literal["two-sided", "less", "greater"]
Differences = Num[np.ndarray, " pair"]
Times = Num[np.ndarray, " run"]
Events = Shaped[np.ndarray, " run"]  # false where a time is right-censored
Share = Float64[np.ndarray, " limit"]

# Two numbers computed in different orders count as equal where they differ by less than this share
# of the largest one around.
_ROUNDING = 1e-12
FEWEST_POINTS = 4  # of a rank correlation: with three it is one of four numbers


class NotEstimable(ValueError):
    """The data cannot answer the question; the message is a short reason, fit for a table cell."""


@dataclass(frozen=True)
class Interval:
    """A point estimate and the ends of its interval."""

    estimate: float
    low: float
    high: float


def fewest_pairs(alpha: float) -> int:
    """Smallest n with 2/2**n <= alpha: with fewer pairs no sign-flip p, two-sided, can reach alpha.

    6 at 0.05, 8 at 0.01.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    return ceil(1 - log2(alpha))


def _finite(values: np.ndarray, what: str) -> Float64[np.ndarray, " value"]:
    """`values` as floats, shape (n,); NotEstimable where there are none or one is not finite."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"{what} must have shape (n,), not {values.shape}")
    if not values.size:
        raise NotEstimable(f"no {what}")
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise NotEstimable(f"{bad} of {values.size} {what} not finite")
    return values


def _differences(d: Differences, alpha: float) -> Float64[np.ndarray, " pair"]:
    """`d` checked: finite, enough of them for alpha, neither all zero nor all equal."""
    d, fewest = _finite(d, "differences"), fewest_pairs(alpha)
    largest = np.abs(d).max()
    if d.size < fewest:
        raise NotEstimable(f"too few pairs: {d.size}, {fewest} needed")
    if largest == 0:
        raise NotEstimable("all differences are zero")
    if not 1e-100 < largest < 1e100:
        raise NotEstimable("cubed differences leave the range of floating point")
    if np.ptp(d) <= _ROUNDING * largest:
        raise NotEstimable("all differences are equal")
    return d


def _flippable(d: Differences, alpha: float) -> Float64[np.ndarray, " pair"]:
    """`_differences`, of which enough are not zero: flipping the sign of a zero changes nothing."""
    d, fewest = _differences(d, alpha), fewest_pairs(alpha)
    nonzero = np.count_nonzero(np.abs(d) > _ROUNDING * np.abs(d).max())
    if nonzero < fewest:
        raise NotEstimable(f"too few pairs differ: {nonzero} of {d.size}, {fewest} needed")
    return d


def sign_flips(
    d: Differences,
    shifts: Num[np.ndarray, " shift"],
    *,
    rng: np.random.Generator,
    resamples: int = 99_999,
    alpha: float = 0.05,
) -> Float64[np.ndarray, "shift 2"]:
    """p of the paired permutation tests that d + shift is symmetric about 0, by its mean (Fisher
    1935, §21), for each of `shifts`: one-sided, that it lies below 0 and that it lies above.

    Exact, over all 2**n sign patterns, where 2**n <= resamples (n <= 16 by default); else
    `resamples` random patterns with the observed one counted, p = (b+1)/(B+1) (Phipson & Smyth
    2010). All shifts share the patterns S: S (d + shift) = S d + shift · S 1.

    Raises NotEstimable: d not finite, all zero or all equal, or fewer than `fewest_pairs(alpha)`.
    """
    d = _differences(d, alpha)
    exact = 2**d.size <= resamples
    if exact:
        bits = np.arange(2**d.size)[:, None] >> np.arange(d.size) & 1
    else:
        bits = rng.integers(2, size=(resamples, d.size), dtype=np.int8)
    flipped = (2.0 * bits - 1) @ np.column_stack([d, np.ones_like(d)])
    p = []
    for shift in shifts:
        null, moved = flipped @ [1, shift], d + shift
        near = _ROUNDING * np.abs(moved).sum()
        counts = [(null <= moved.sum() + near).sum(), (null >= moved.sum() - near).sum()]
        p.append((np.array(counts) + (not exact)) / (len(null) + (not exact)))
    return np.array(p).reshape(-1, 2)


def sign_flip(
    d: Differences,
    alternative: Alternative = "two-sided",
    *,
    rng: np.random.Generator,
    resamples: int = 99_999,
    alpha: float = 0.05,
) -> float:
    """p of one of `sign_flips`, of d itself; two-sided: twice the smaller one-sided p.

    Raises NotEstimable as that does, and for fewer than `fewest_pairs(alpha)` non-zero differences.
    """
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f"unknown alternative {alternative!r}")
    d = _flippable(d, alpha)
    options: Any = {"rng": rng, "resamples": resamples, "alpha": alpha}
    [[less, greater]] = sign_flips(d, np.zeros(1), **options)
    p = {"less": less, "greater": greater, "two-sided": min(1, 2 * less, 2 * greater)}
    return float(p[alternative])


def _signed_rank_null(
    ranks: Iterable[int] | Int[np.ndarray, " pair"],
) -> Float64[np.ndarray, " sum"]:
    """P(R₊ = k) for k = 0 … Σ ranks, where each rank (an integer) counts with probability 1/2.

    A convolution over the ranks; 1 … n give Wilcoxon's null distribution (R's dsignrank).
    """
    pmf = np.ones(1)
    for rank in ranks:
        pmf = (np.pad(pmf, (0, rank)) + np.pad(pmf, (rank, 0))) / 2
    return pmf


def _tied_signed_rank_p(d: Differences, alternative: Alternative) -> float:
    """p of R₊ given the observed midranks: all sign patterns of the non-zero d, exactly."""
    doubled = np.rint(2 * stats.rankdata(np.abs(d))).astype(int)  # midranks are multiples of 1/2
    pmf, r_plus = _signed_rank_null(doubled[d != 0]), doubled[d > 0].sum()
    less, greater = pmf[: r_plus + 1].sum(), pmf[r_plus:].sum()
    p = {"less": less, "greater": greater, "two-sided": 2 * min(less, greater)}
    return float(min(p[alternative], 1.0))


def wilcoxon(
    d: Differences, alternative: Alternative = "two-sided", *, alpha: float = 0.05
) -> float:
    """p of Wilcoxon's signed-rank test that d is symmetric about 0; always exact.

    Without ties in |d| and zeros: scipy's exact test. With them scipy would turn to the normal
    approximation (n > 13), so the exact null distribution given the midranks is convolved here.
    Zeros take part in the ranking, but have no sign (Pratt 1959; the same p as with zeros split
    evenly between the signs). Ties are exact equalities: round d where its last digits mean
    nothing.

    Raises NotEstimable as `sign_flip` does.
    """
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f"unknown alternative {alternative!r}")
    d = _flippable(d, alpha)
    if np.unique(np.abs(d)).size < d.size or (d == 0).any():
        return _tied_signed_rank_p(d, alternative)
    return float(stats.wilcoxon(d, alternative=alternative, method="exact").pvalue)


def wilcoxon_tails(
    d: Differences, shifts: Num[np.ndarray, " shift"], *, alpha: float = 0.05
) -> Float64[np.ndarray, "shift 2"]:
    """p of `wilcoxon` on d + shift for each of `shifts`, below 0 and above: as `sign_flips`."""
    sides: tuple[Alternative, ...] = ("less", "greater")
    return np.array([[wilcoxon(d + s, side, alpha=alpha) for side in sides] for s in shifts])


def t_tails(
    d: Differences, shifts: Num[np.ndarray, " shift"], *, alpha: float = 0.05
) -> Float64[np.ndarray, "shift 2"]:
    """p of the paired t tests that d + shift has a mean below 0, and above; as `sign_flips`."""
    described = DescrStatsW(_differences(d, alpha))
    sides = ("smaller", "larger")
    return np.array([[described.ttest_mean(-s, side)[1] for side in sides] for s in shifts])


def t_mean(d: Differences, confidence: float = 0.95) -> Interval:
    """Mean of d with its t interval, by statsmodels.

    Raises NotEstimable: d not finite or all equal, or fewer than `fewest_pairs(1 - confidence)`.
    """
    described = DescrStatsW(_differences(d, 1 - confidence))
    low, high = described.tconfint_mean(alpha=1 - confidence)
    return Interval(float(described.mean), float(low), float(high))


class RandomEffects(NamedTuple):
    """A mean of effects that differ from study to study, its standard error and the degrees of
    freedom of its t; and the standard deviation of the effects between the studies."""

    mean: float
    error: float
    freedom: int
    between: float

    def tails(
        self, d: Differences, shifts: Num[np.ndarray, " shift"]
    ) -> Float64[np.ndarray, "shift 2"]:
        """p of the t tests that mean + shift lies below 0, and above; as `sign_flips`. `d`, which
        it was estimated from, is not looked at again."""
        t = (self.mean + np.asarray(shifts)) / self.error
        return np.column_stack([stats.t.cdf(t, self.freedom), stats.t.sf(t, self.freedom)])

    def interval(self, confidence: float = 0.95) -> Interval:
        """The mean with its t interval."""
        low, high = stats.t.interval(confidence, self.freedom, self.mean, self.error)
        return Interval(self.mean, float(low), float(high))


def random_effects(
    effects: Differences, variances: Differences, new: bool = False, alpha: float = 0.05
) -> RandomEffects:
    """The mean of the effects of a random sample of studies: variance between them by Paule &
    Mandel (1982), standard error of the mean by Hartung & Knapp (2001), k - 1 degrees of freedom.
    `variances`: of the estimates of the effects. Not by statsmodels, whose iteration takes the
    variance for 0 where its last step ends below the root by a rounding error: one time in ten.

    `new`: the effect in a new study instead, with error √(τ² + error²) and k - 2 degrees of freedom
    (Higgins, Thompson & Spiegelhalter 2009); of 11 studies its 95 % interval covers 95 % where the
    variances are small beside τ², 92 % where they are a third of it. Raises NotEstimable as
    `t_mean` does, and where a variance is not above 0.
    """
    effects, variances = _differences(effects, alpha), _finite(variances, "variances")
    if not (variances > 0).all():
        raise NotEstimable("an effect has no variance")

    def pooled(tau2: float) -> tuple[float, float, float]:
        """Mean, sum of weights, and weighted mean square about the mean less its expectation."""
        weights = 1 / (variances + tau2)
        mean = weights @ effects / weights.sum()
        return mean, weights.sum(), weights @ (effects - mean) ** 2 / (effects.size - 1) - 1

    # It falls with τ²; at the largest squared deviation between effects it is below 0.
    tau2 = 0.0
    if pooled(0.0)[2] > 0:
        tau2 = float(brentq(lambda t: pooled(t)[2], 0.0, np.ptp(effects) ** 2, xtol=1e-300))
    mean, total, excess = pooled(tau2)
    error = float(np.sqrt((1 + excess) / total))
    if new:
        error = float(np.hypot(np.sqrt(tau2), error))
    freedom = effects.size - (2 if new else 1)
    return RandomEffects(float(mean), error, freedom, float(np.sqrt(tau2)))


def skewness(d: Differences, alpha: float = 0.05) -> float:
    """Sample skewness of d, corrected for its bias, by scipy. Raises NotEstimable as `t_mean`."""
    return float(stats.skew(_differences(d, alpha), bias=False))


def holm(p: Num[np.ndarray, " test"], m: int | None = None) -> Float64[np.ndarray, " test"]:
    """Holm's (1979) adjusted p, in the order of `p`. Not by statsmodels, whose function collects
    garbage at every call: up to half a second, where this takes microseconds.

    `m` >= k is the size of the family where only k of its hypotheses are estimable; the others
    count as p = 1. ValueError where a p is not in [0, 1] or m < k.
    """
    p = np.asarray(p, dtype=float)
    m = p.size if m is None else m
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p must have shape (k,) and values in [0, 1]")
    if m < p.size:
        raise ValueError(f"a family of {m} cannot hold {p.size} hypotheses")
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (m - np.arange(p.size)))
    return np.minimum(adjusted, 1)[np.argsort(order)]


def _observations(
    times: Times, events: Events
) -> tuple[Float64[np.ndarray, " run"], Bool[np.ndarray, " run"]]:
    """Times as finite floats and events as bools."""
    times, events = _finite(times, "times"), np.asarray(events, dtype=bool)
    if times.shape != events.shape:
        raise ValueError(f"times {times.shape} and events {events.shape} differ in shape")
    return times, events


def slopes(
    x: Num[np.ndarray, " column"], values: Num[np.ndarray, "row column"]
) -> Float64[np.ndarray, " row"]:
    """Least-squares slope of each row of `values` on x."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return values @ centred / (centred @ centred)


def rank_correlation(
    x: Num[np.ndarray, " point"],
    y: Num[np.ndarray, " point"],
    *,
    rng: np.random.Generator,
    resamples: int = 9999,
    confidence: float = 0.95,
) -> Interval:
    """Spearman's rank correlation of x and y with its BCa bootstrap interval, both by scipy.

    Points are resampled, pairs of x and y together; a resample all of whose x or y are equal has no
    correlation, which counts as 0. BCa has no interval, NaN here, where leaving out any one point
    makes the same difference, such as none where the correlation is perfect. Raises NotEstimable:
    fewer than FEWEST_POINTS, or all x or all y equal.
    """
    if len(x) < FEWEST_POINTS:
        raise NotEstimable(f"too few points: {len(x)}, {FEWEST_POINTS} needed")
    if np.ptp(stats.rankdata(x)) == 0 or np.ptp(stats.rankdata(y)) == 0:
        raise NotEstimable("all values are equal")
    options: Any = {"n_resamples": resamples, "confidence_level": confidence, "rng": rng}
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap((x, y), _spearman, paired=True, method="BCa", **options)
    return Interval(float(_spearman(x, y)), *map(float, found.confidence_interval))


def _spearman(x: Any, y: Any, axis: int = -1) -> Any:
    """Correlation of the ranks along an axis; 0 where there is none."""
    mean = (x.shape[axis] + 1) / 2
    x, y = (stats.rankdata(values, axis=axis) - mean for values in (x, y))
    scale = np.sqrt((x**2).sum(axis=axis) * (y**2).sum(axis=axis))
    return (x * y).sum(axis=axis) / np.where(scale > 0, scale, 1.0)


def performance_profile(
    values: Num[np.ndarray, " run"], limits: Num[np.ndarray, " limit"], confidence: float = 0.95
) -> tuple[Share, Share, Share]:
    """Share of `values` at or below each of `limits`, and its interval.

    The score distribution of Agarwal et al. 2021 (rliable), with the interval of `share`,
    pointwise. A value that is not finite is above every limit.
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        raise NotEstimable("no values")
    return share((values[:, None] <= limits).sum(axis=0), values.size, confidence)


def share(count: Any, total: int, confidence: float = 0.95) -> tuple[Share, Share, Share]:
    """`count` of `total`, and its exact (Clopper-Pearson) interval, by statsmodels."""
    count = np.asarray(count)
    low, high = proportion_confint(count, total, alpha=1 - confidence, method="beta")
    return count / total, low, high


def kaplan_meier(
    times: Times, events: Events
) -> tuple[Float64[np.ndarray, " time"], Float64[np.ndarray, " time"]]:
    """Kaplan–Meier estimate of P(T > t): the distinct times, and survival at each.

    By scipy's ecdf. Survival steps down at each time and holds until the next; it is 1 before the
    first, and 1 throughout where all are censored. Raises NotEstimable: no or non-finite times.
    """
    times, events = _observations(times, events)
    survival = stats.ecdf(stats.CensoredData.right_censored(times, ~events)).sf
    return survival.quantiles, survival.probabilities


def smallest_detectable_difference(
    sd: float, n: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Mean difference that n pairs with standard deviation `sd` show with the given power.

    For the two-sided paired t test, by statsmodels; the sign-flip test is about as powerful.
    """
    return sd * _detectable_effect(n, alpha, power)


@cache
def _detectable_effect(n: int, alpha: float, power: float) -> float:
    """In standard deviations; cached, since all comparisons of a study ask the same."""
    options = {"alpha": alpha, "power": power, "alternative": "two-sided"}
    return float(TTestPower().solve_power(nobs=n, **options))
