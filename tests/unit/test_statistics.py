"""bnstudy.analysis.statistics against published answers, brute force, and simulations.

Scipy and statsmodels warnings are errors here: none may leak out of the module.
"""

from itertools import product

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnstudy.analysis.statistics import (
    Interval,
    NotEstimable,
    fewest_pairs,
    holm,
    kaplan_meier,
    performance_profile,
    random_effects,
    rank_correlation,
    sign_flip,
    sign_flips,
    skewness,
    slopes,
    smallest_detectable_difference,
    t_mean,
    t_tails,
    wilcoxon,
    wilcoxon_tails,
)

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("statistics", derandomize=True, deadline=None, max_examples=40)
properties = settings.get_profile("statistics")

ALTERNATIVES = ("two-sided", "less", "greater")

# Darwin's 15 pairs of maize plants, in eighths of an inch (Fisher 1935, The Design of Experiments).
DARWIN = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def as_tuple(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def tail_p(observed: float, null, alternative: str) -> float:
    """Exact p of `observed` among equally likely `null` values, equal up to 1e-9 counting as ties.

    The definition, for the brute-force checks.
    """
    less = np.mean(np.asarray(null) <= observed + 1e-9)
    greater = np.mean(np.asarray(null) >= observed - 1e-9)
    return {"less": less, "greater": greater, "two-sided": min(1, 2 * min(less, greater))}[
        alternative
    ]


def signs(n: int) -> np.ndarray:
    """All sign patterns, (2**n, n)."""
    return np.array(list(product((1, -1), repeat=n)))


@pytest.fixture
def without_shape_checks(monkeypatch):
    """What users see: signatures are checked in the tests only."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# --- fewest_pairs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "n"), [(0.05, 6), (0.01, 8), (1 - 0.95, 6), (2 / 2**6, 6), (0.5, 2)]
)
def test_fewest_pairs_is_where_the_bound_is_first_met(alpha, n):
    assert fewest_pairs(alpha) == n
    assert 2 / 2**n <= alpha < 2 / 2 ** (n - 1)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_fewest_pairs_refuses_levels_that_are_none(alpha):
    with pytest.raises(ValueError, match="alpha"):
        fewest_pairs(alpha)


# --- sign_flip ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1 / 7])
def test_sign_flip_darwin(scale):
    """Case 2: Fisher 1935, §21: 863 of the 32,768 sums are at least 314."""
    assert sign_flip(DARWIN * scale, "greater", rng=rng()) == 863 / 32768
    assert sign_flip(DARWIN * scale, "two-sided", rng=rng()) == 2 * 863 / 32768


def test_sign_flip_sees_ties_that_rounding_hides_when_the_mean_is_nearly_zero():
    """In tenths these sum to 0, in floating point to 1e-16."""
    tenths = np.array([1, 2, -3, 4, 5, -9])
    null = signs(6) @ tenths
    for alternative in ALTERNATIVES:
        assert sign_flip(tenths / 10, alternative, rng=rng()) == tail_p(0, null, alternative)


@pytest.mark.parametrize("shift", [-2, 0, 3])
def test_sign_flips_of_shifted_differences_are_those_of_their_own(shift):
    """By brute force, of d + shift, both sides."""
    d = np.array([1, 2, -3, 4, 5, -9, 6])
    null = signs(7) @ (d + shift)
    expected = [tail_p(sum(d + shift), null, side) for side in ("less", "greater")]
    got = sign_flips(d / 10, np.array([0.7, shift / 10]), rng=rng())
    assert got[1].tolist() == expected


def test_sign_flips_agrees_with_scipy():
    """Exactly, at n = 12, where both go through all patterns."""
    d = rng(4).normal(0.3, size=12)
    for side, p in zip(("less", "greater"), sign_flips(d, np.zeros(1), rng=rng())[0], strict=True):
        theirs = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", alternative=side, n_resamples=np.inf
        )
        assert p == theirs.pvalue


def test_sign_flip_by_monte_carlo_agrees_with_the_exact_answer_at_n_30():
    """Exact p by convolving integers; b ~ Binomial(B, p), accepted in its central 99.9 %."""
    d = rng(1).integers(-40, 61, 30)
    pmf = np.ones(1)
    for step in np.abs(d):  # of (Σ ±d + Σ|d|)/2
        pmf = (np.pad(pmf, (0, step)) + np.pad(pmf, (step, 0))) / 2
    exact = pmf[(d.sum() + np.abs(d).sum()) // 2 :].sum()
    p, resamples = sign_flip(d, "greater", rng=rng()), 99_999
    low, high = stats.binom.interval(0.999, resamples, exact)
    assert 0.001 < exact < 0.2
    assert low <= round(p * (resamples + 1)) - 1 <= high


def test_sign_flip_by_monte_carlo_counts_the_observed_pattern():
    assert sign_flip(np.arange(1, 31), "greater", rng=rng(), resamples=999) == 1 / 1000
    assert sign_flip(np.arange(1, 31), "less", rng=rng(), resamples=999) == 1


def test_sign_flips_are_exact_up_to_the_number_of_resamples():
    """All positive: the observed pattern alone of all 2⁸; of 2³⁰, that one and 99,999 others."""
    for count, options, p in ((8, {"resamples": 2**8}, 2.0**-8), (30, {}, 1e-5)):
        d = np.arange(1, count + 1)
        assert sign_flips(d, np.zeros(1), rng=rng(), **options)[0, 1] == p
        assert sign_flip(d, "greater", rng=rng(), **options) == p


def test_sign_flip_depends_on_its_generator_only():
    d = rng(3).normal(size=30)
    assert sign_flip(d, rng=rng(7), resamples=999) == sign_flip(d, rng=rng(7), resamples=999)
    assert sign_flip(d, rng=rng(7), resamples=999) != sign_flip(d, rng=rng(8), resamples=999)


integer_differences = st.lists(
    st.integers(-1000, 1000).filter(bool), min_size=6, max_size=9
).filter(lambda d: len(set(d)) > 1)


@properties
@given(integer_differences, st.floats(1e-6, 1e6), st.sampled_from(ALTERNATIVES))
def test_sign_flip_is_brute_force_at_any_positive_scale(d, scale, alternative):
    expected = tail_p(sum(d), signs(len(d)) @ d, alternative)
    assert sign_flip(np.array(d) * scale, alternative, rng=rng()) == expected


@properties
@given(integer_differences)
def test_sign_flip_and_wilcoxon_are_symmetric_under_negation(d):
    d = np.array(d) / 7
    for a, b in zip(ALTERNATIVES, ("two-sided", "greater", "less"), strict=True):
        assert sign_flip(d, a, rng=rng()) == sign_flip(-d, b, rng=rng())
        assert wilcoxon(d, a) == pytest.approx(wilcoxon(-d, b), rel=1e-12)


# --- Wilcoxon -------------------------------------------------------------------------------------


def test_wilcoxon_darwin():
    """Case 1: documentation of scipy.stats.wilcoxon."""
    assert wilcoxon(DARWIN) == pytest.approx(0.041259765625, rel=1e-12)
    assert wilcoxon(DARWIN, "greater") == pytest.approx(0.0206298828125, rel=1e-12)


def test_wilcoxon_r():
    """Case 3: R 4.0.3, wilcox.test(x, y, paired = TRUE), in scipy's tests."""
    x = np.array([1.81, 0.82, 1.56, -0.48, 0.81, 1.28, -1.04, 0.23, -0.75, 0.14])
    y = np.array([0.71, 0.65, -0.2, 0.85, -1.1, -0.45, -0.84, -0.24, -0.68, -0.76])
    assert wilcoxon(x - y) == pytest.approx(0.10546875, rel=1e-12)
    assert wilcoxon(x - y, "less") == pytest.approx(0.9580078125, rel=1e-12)
    assert wilcoxon(x - y, "greater") == pytest.approx(0.052734375, rel=1e-12)


@pytest.mark.parametrize(
    "d",
    [
        [1, -1, 2, 2, -3, 4, 5, 5, 6],
        [0, 0, 1, -2, 3, 4, 5, 6, 7],
        [0, 1, -2, 3, 4, 5, 6, 7, -8],
        [0, 1, 1, 1, -1, 2, 2, -3, 0],
        [1, -1, 2, -2, 3, -3],
    ],
    ids=["ties", "zeros", "one zero", "both", "balanced"],
)
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_wilcoxon_with_ties_and_zeros_is_brute_force(d, alternative):
    """All sign patterns of the differences, their midranks (zeros included) as they are."""
    ranks = stats.rankdata(np.abs(d))
    null = (signs(len(d)) * np.sign(d) > 0) @ ranks
    observed = ranks[np.array(d) > 0].sum()
    assert wilcoxon(np.array(d), alternative) == pytest.approx(
        tail_p(observed, null, alternative), rel=1e-12
    )


def test_wilcoxon_is_exact_also_where_scipy_would_approximate():
    """60 pairs, by counting subsets of 1 … 60."""
    d = np.arange(1, 61) * np.where(np.arange(60) % 3, 1, -1)
    assert wilcoxon(d, "less") == pytest.approx(signed_rank_cdf(60)[d[d > 0].sum()], rel=1e-12)


# --- t, Holm --------------------------------------------------------------------------------------

A = [2.84, 2.51, 2.41, 2.95, 3.14, 3.79, 4.14, 3.85, 3.02, 3.45, 5.37, 3.81, 4.19, 3.16, 3.84]
B = [2.60, 2.82, 2.18, 3.46, 4.01, 3.04, 3.47, 4.06, 2.91, 3.59, 4.51, 3.16, 3.86, 3.31, 3.02]


def test_t_mean_and_t_tails_are_those_of_the_package_equivalence():
    """Case 4: R package equivalence, in statsmodels' tests; the p of the two one-sided tests."""
    d, margin = np.log(A) - np.log(B), np.log(1.25)
    interval = t_mean(d, 0.9)
    assert as_tuple(interval)[1:] == pytest.approx((-0.0241523, 0.1103969), abs=5e-8)
    assert interval.estimate == pytest.approx(np.mean(d), rel=1e-12)
    [_, above], [below, _] = t_tails(d, np.array([margin, -margin]))
    assert max(above, below) == pytest.approx(0.0001664157928976468, rel=1e-9)
    [_, above], [below, _] = t_tails(np.subtract(A, B), np.array([0.6, -0.6]))
    assert max(above, below) == pytest.approx(0.003166881489265175, rel=1e-9)


def test_skewness_is_that_of_the_textbook():
    """Of 0 (19 times) and 1: p = 0.05, population skewness (1 - 2p)/√(p q), by the factor
    √(n (n - 1))/(n - 2) of G₁ (Joanes & Gill 1998)."""
    d = np.eye(20)[0]
    expected = 0.9 / np.sqrt(0.05 * 0.95) * np.sqrt(20 * 19) / 18
    assert skewness(d) == pytest.approx(expected, rel=1e-12)


def test_wilcoxon_tails_are_those_of_shifted_differences():
    tails = wilcoxon_tails(DARWIN, np.array([0.0, -10.0]))
    assert tails[0, 1] == pytest.approx(0.0206298828125, rel=1e-12)
    assert tails[1, 0] == pytest.approx(wilcoxon(DARWIN - 10, "less"), rel=1e-12)


HOLM_P = [5.23656777208e-5, 2.8140506198e-4, 0.0149877310796, 0.0202732688798, 0.177096952723]
HOLM_P += [0.642193923795, 0.680845947633, 0.71626938238, 0.838541367553, 0.967833824309]


def test_holm_multtest():
    """Case 5: R package multtest, in statsmodels' tests."""
    expected = [5.23657e-4, 0.00253265, 0.119902, 0.141913, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(holm(np.array(HOLM_P)), expected, rtol=5e-6)
    np.testing.assert_allclose(holm(np.array(HOLM_P[::-1])), expected[::-1], rtol=5e-6)


def test_holm_counts_what_is_not_estimable_as_p_one():
    np.testing.assert_allclose(holm(np.array([0.02, 0.01]), m=5), [0.08, 0.05])
    np.testing.assert_allclose(holm(np.array([0.02, 0.01])), [0.02, 0.02])
    assert holm(np.empty(0), m=5).shape == holm(np.empty(0)).shape == (0,)


@pytest.mark.parametrize(
    ("p", "m"), [([0.1, np.nan], 5), ([-0.1], 5), ([1.1], 5), ([0.1, 0.2], 1), ([[0.1]], 5)]
)
def test_holm_refuses_what_is_no_family(p, m, without_shape_checks):
    shape = r"^p must have shape \(k,\) and values in \[0, 1\]$"
    with pytest.raises(ValueError, match=shape if m == 5 else "^a family of 1 cannot hold 2"):
        holm(np.array(p), m)


@settings(properties)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 5))
def test_holm_is_monotone_at_least_p_and_at_most_bonferroni(p, more):
    p, m = np.array(p), len(p) + more
    adjusted = holm(p, m)
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, m * p) + 1e-15).all()
    assert adjusted.min() == pytest.approx(min(1, m * p.min()))


# --- Survival -------------------------------------------------------------------------------------


def test_kaplan_meier_scipy():
    """Case 7: scipy's tests of ecdf."""
    t, survival = kaplan_meier(
        np.array([37, 43, 47, 56, 60, 62, 71, 77, 80, 81]), np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1])
    )
    np.testing.assert_array_equal(t, [37, 43, 47, 56, 60, 62, 71, 77, 80, 81])
    expected = [1, 1, 0.875, 0.75, 0.75, 0.75, 0.75, 0.5, 0.25, 0]
    np.testing.assert_allclose(survival, expected, rtol=1e-14)


def test_kaplan_meier_ties_and_censoring():
    """Censored at the time of an event: at risk for it. All censored: survival stays 1."""
    t, survival = kaplan_meier(np.array([9, 5, 5, 5, 7]), np.array([0, 1, 0, 1, 1]))
    np.testing.assert_array_equal(t, [5, 7, 9])
    np.testing.assert_allclose(survival, [3 / 5, 3 / 10, 3 / 10])
    never = kaplan_meier(np.full(3, 5), np.zeros(3))
    np.testing.assert_array_equal(never, [[5], [1]])


def test_kaplan_meier_refuses_by_name(without_shape_checks):
    with pytest.raises(NotEstimable, match=r"^no times$"):
        kaplan_meier(np.empty(0), np.empty(0))
    with pytest.raises(ValueError, match=r"times \(3,\) and events \(2,\) differ in shape"):
        kaplan_meier(np.arange(3), np.ones(2))


# --- What cannot be answered ----------------------------------------------------------------------

ESTIMATORS = {
    "sign_flip": lambda d: sign_flip(d, rng=rng(), resamples=99),
    "wilcoxon": wilcoxon,
    "sign_flips": lambda d: sign_flips(d, np.array([0.1]), rng=rng(), resamples=99)[0, 0],
    "wilcoxon_tails": lambda d: wilcoxon_tails(d, np.zeros(1))[0, 0],
    "t_tails": lambda d: t_tails(d, np.array([0.1]))[0, 0],
    "t_mean": t_mean,
    "skewness": lambda d: min(1, abs(skewness(d))),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(
    ("d", "reason"),
    [
        ([], "no differences"),
        ([0.5], "too few pairs: 1, 6 needed"),
        ([0.5, 1], "too few pairs: 2, 6 needed"),
        ([0, 0], "too few pairs: 2, 6 needed"),
        ([*range(5)], "too few pairs: 5, 6 needed"),
        (np.zeros(10), "all differences are zero"),
        (np.full(10, 0.3), "all differences are equal"),
        (np.log(3) + 1e-15 * np.arange(10), "all differences are equal"),
        (1e6 + 1e-9 * np.arange(10), "all differences are equal"),
        ([np.inf, *range(9)], "1 of 10 differences not finite"),
        ([-np.inf, *range(8), np.nan], "2 of 10 differences not finite"),
        (np.eye(10)[0] * 1e100, "cubed differences leave the range of floating point"),
        (np.eye(10)[0] * 1e-100, "cubed differences leave the range of floating point"),
    ],
)
def test_not_estimable(name, d, reason):
    with pytest.raises(NotEstimable, match=f"^{reason}$"):
        ESTIMATORS[name](np.array(d))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_small_integers_are_as_good_as_floats(name):
    """Their range, 200, is no int8."""
    d = np.array([100, -100, 50, 3, 7, 20, -5], dtype=np.int8)
    assert ESTIMATORS[name](d) == ESTIMATORS[name](d.astype(float))


@pytest.mark.parametrize("name", ["sign_flip", "wilcoxon"])
@pytest.mark.parametrize("nothing", [0, 1e-16])
@pytest.mark.parametrize("scale", [1, 1e6])
def test_not_estimable_where_too_few_pairs_differ(name, nothing, scale):
    """30 pairs of which 5 differ: p cannot go below 2/2⁵, whatever they are."""
    with pytest.raises(NotEstimable, match=r"^too few pairs differ: 5 of 30, 6 needed$"):
        ESTIMATORS[name](scale * np.r_[np.full(25, nothing), 1:6])
    assert ESTIMATORS[name](np.r_[np.zeros(24), 1:7]) <= 0.05


@pytest.mark.parametrize("function", [sign_flip, wilcoxon])
def test_the_level_decides_how_many_pairs_are_needed(function):
    arguments = {"rng": rng()} if function is sign_flip else {}
    assert function(np.arange(1, 8), alpha=2 / 2**7, **arguments) == 2 / 2**7
    with pytest.raises(NotEstimable, match="too few pairs: 7, 8 needed"):
        function(np.arange(1, 8), alpha=0.01, **arguments)


@pytest.mark.parametrize("tails", [sign_flips, wilcoxon_tails, t_tails, skewness, t_mean])
def test_the_level_decides_how_many_pairs_any_estimate_needs(tails):
    arguments = {"t_mean": (0.99,), "skewness": (0.01,)}.get(tails.__name__, (np.zeros(1),))
    options = {} if tails in (skewness, t_mean) else {"alpha": 0.01}
    options |= {"rng": rng()} if tails is sign_flips else {}
    with pytest.raises(NotEstimable, match="too few pairs: 7, 8 needed"):
        tails(np.arange(1, 8), *arguments, **options)
    tails(np.arange(1, 9), *arguments, **options)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_wrong_shape_is_the_callers_mistake(name, without_shape_checks):
    with pytest.raises(ValueError, match="shape") as error:
        ESTIMATORS[name](np.ones((10, 2)))
    assert not isinstance(error.value, NotEstimable)


@pytest.mark.parametrize("name", ["sign_flip", "wilcoxon"])
@pytest.mark.parametrize("d", [np.arange(9), np.ones(9) + np.eye(9)[0]])
def test_an_unknown_alternative_is_the_callers_mistake(name, d, without_shape_checks):
    arguments = {"rng": rng()} if name == "sign_flip" else {}
    with pytest.raises(ValueError, match="alternative") as error:
        {"sign_flip": sign_flip, "wilcoxon": wilcoxon}[name](d, "bigger", **arguments)
    assert not isinstance(error.value, NotEstimable)


@settings(properties, max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.floats(),
            st.floats(-3, 3),
            st.sampled_from([0.0, 1.0, -1.0, 1 + 1e-15, 1e-300, 1e300]),
        ),
        max_size=14,
    )
)
def test_whatever_the_data_the_answer_is_finite_or_not_estimable(d):
    for estimate in ESTIMATORS.values():
        try:
            answer = estimate(np.array(d))
        except NotEstimable:
            continue
        p, interval = answer if isinstance(answer, tuple) else (answer, answer)
        if not isinstance(p, Interval):
            assert 0 <= p <= 1
        if isinstance(interval, Interval):
            assert np.isfinite(as_tuple(interval)).all() and interval.low <= interval.high


# --- Power ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, 30])
def test_smallest_detectable_difference_has_the_power_by_definition(n):
    """Power of the two-sided t test from the noncentral t distribution; sd = 0.5."""
    difference = smallest_detectable_difference(0.5, n, alpha=0.05, power=0.9)
    critical, shift = stats.t.ppf(0.975, n - 1), difference / 0.5 * np.sqrt(n)
    power = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    assert power == pytest.approx(0.9, abs=1e-6)
    usual = smallest_detectable_difference(0.5, n, alpha=0.05, power=0.8)
    assert smallest_detectable_difference(0.5, n) == usual < difference


# --- Simulations ----------------------------------------------------------------------------------
#
# How often something happens in N independent data sets is compared with the rate that theory
# gives: the count must lie in the central 99.9 % of Binomial(N, rate). A right implementation thus
# fails at one seed in a thousand; seeds are fixed.


def assert_rate(happened: list[bool], rate: float) -> None:
    low, high = stats.binom.interval(0.999, len(happened), rate)
    assert low <= sum(happened) <= high, f"{np.mean(happened):.4f}, expected {rate:.4f}"


def signed_rank_cdf(n: int) -> np.ndarray:
    """P(R₊ <= k), k = 0 … n(n+1)/2, by counting subsets of 1 … n in Python's integers."""
    counts = [1]
    for rank in range(1, n + 1):
        counts = [a + b for a, b in zip(counts + [0] * rank, [0] * rank + counts, strict=True)]
    return np.array([sum(counts[: k + 1]) / 2**n for k in range(len(counts))])


@pytest.mark.slow
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_sign_flip_false_positive_rate(alternative):
    """Heavy-tailed, symmetric t₃ at n = 30: with 999 resamples p <= .05 at exactly 5 %."""
    r = rng(10 + ALTERNATIVES.index(alternative))
    p = [sign_flip(r.standard_t(3, 30), alternative, rng=r, resamples=999) for _ in range(2000)]
    assert_rate([q <= 0.05 for q in p], 0.05)


def test_slopes_are_those_of_least_squares():
    r = rng(7)
    x, values = r.normal(size=5), r.normal(size=(8, 5))
    expected = [np.polyfit(x, row, 1)[0] for row in values]
    np.testing.assert_allclose(slopes(x, values), expected, rtol=1e-10)


def test_rank_correlation_is_scipys_with_its_bca_interval():
    """0.82078 is in scipy's documentation of spearmanr; the interval by resampling spearmanr itself
    with the same random numbers."""
    x, y = np.arange(1.0, 6), np.array([5.0, 6, 7, 8, 7])
    assert rank_correlation(x, y, rng=rng()).estimate == pytest.approx(0.8207826816681233)
    x = rng(1).normal(size=30)
    y = x + rng(2).normal(size=30)

    def statistic(x, y, axis):
        return np.array([stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)])

    def either(x, y, axis=-1):
        return statistic(np.atleast_2d(x), np.atleast_2d(y), axis).reshape(np.shape(x)[:-1])

    options = {"paired": True, "method": "BCa", "n_resamples": 999, "confidence_level": 0.9}
    low, high = stats.bootstrap((x, y), either, rng=rng(3), **options).confidence_interval
    found = rank_correlation(x, y, rng=rng(3), resamples=999, confidence=0.9)
    assert as_tuple(found) == pytest.approx((stats.spearmanr(x, y).statistic, low, high))


def test_rank_correlation_looks_at_ranks_only():
    """Infinity is the largest; a growing function of either changes nothing."""
    x, y = np.array([1.0, 2, 3, 4, 5, np.inf]), np.array([2.0, 1, 4, 3, 5, 6])
    found = rank_correlation(x, y, rng=rng(), resamples=999)
    same = rank_correlation(np.array([1.0, 2, 3, 4, 5, 6]), np.exp(y), rng=rng(), resamples=999)
    assert found == same and found.estimate == pytest.approx(1 - 6 * 4 / (6 * 35))  # Σd² = 4


def test_rank_correlation_has_no_interval_where_each_point_is_like_the_others():
    x = np.arange(5.0)
    for y, estimate in ((x**3, 1), (-x, -1)):
        found = rank_correlation(x, y, rng=rng(), resamples=999)
        assert found.estimate == pytest.approx(estimate) and np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1.0, 2, 3], [1.0, 3, 2], "too few points: 3, 4 needed"),
        ([1.0, 2, 3, 4], [5.0] * 4, "all values are equal"),
        ([5.0] * 4, [1.0, 2, 3, 4], "all values are equal"),
    ],
)
def test_no_rank_correlation_without_enough_or_different_values(x, y, reason):
    with pytest.raises(NotEstimable, match=f"^{reason}$"):
        rank_correlation(np.array(x), np.array(y), rng=rng())


def test_performance_profile_of_four_values():
    """Shares by counting; the exact interval of 0 of 4 ends at 1 - 0.025^(1/4) = 0.6024."""
    share, low, high = performance_profile(np.array([1.0, 2, 2, np.inf]), np.array([0.5, 2, 9]))
    np.testing.assert_array_equal(share, [0, 0.75, 0.75])
    assert low[0] == 0 and high[0] == pytest.approx(1 - 0.025**0.25)
    assert (low <= share).all() and (share <= high).all()
    _, low, high = performance_profile(np.arange(4), np.array([-1, 3]), 0.9)
    np.testing.assert_allclose([high[0], low[1]], [1 - 0.05**0.25, 0.05**0.25])
    with pytest.raises(NotEstimable, match=r"^no values$"):
        performance_profile(np.array([]), np.array([1.0]))


@pytest.mark.slow
def test_wilcoxon_false_positive_rate():
    """Laplace at n = 30: the largest attainable level <= .05 (R₊ is discrete)."""
    level = max(2 * c for c in signed_rank_cdf(30) if 2 * c <= 0.05)
    assert 0.045 < level <= 0.05
    r = rng(20)
    assert_rate([wilcoxon(r.laplace(size=30)) <= 0.05 for _ in range(4000)], level)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize(
    ("what", "draw", "least"),
    [
        ("normal", lambda r, n: r.normal(size=n), 0.945),
        ("rounded", lambda r, n: np.round(r.normal(size=n), 1), 0.945),
        ("skewness 1", lambda r, n: r.gamma(4, size=n) - 4, 0.93),
    ],
)
def test_t_mean_coverage(what, draw, least, n):
    """20,000 data sets each: the standard error of a rate is 0.0015; three of them are allowed."""
    r = rng(50)
    intervals = [t_mean(draw(r, n)) for _ in range(20_000)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert covered >= least - 3 * 0.0015, f"{what}, {n}: {covered:.4f}"


# Nine determinations of one quantity and their variances: Kacker 2004, table 1.
KACKER = np.array([61, 61.4, 62.21, 62.3, 62.34, 62.6, 62.7, 62.84, 65.9])
KACKER_VARIANCES = np.array([0.2025, 1.21, 0.09, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225])


def test_random_effects_are_those_of_rs_metafor():
    """metafor's rma(method="PM") on Kacker's example: mean, τ², and the standard error before
    Hartung and Knapp's factor, as in statsmodels' tests; the factor by its definition."""
    found = random_effects(KACKER, KACKER_VARIANCES)
    assert found.mean == pytest.approx(62.4076199113286, abs=1e-9)
    assert found.between**2 == pytest.approx(0.705395309224248, abs=1e-8)
    weights = 1 / (KACKER_VARIANCES + 0.705395309224248)
    factor = (weights * (KACKER - 62.4076199113286) ** 2).sum() / 8
    assert found.error == pytest.approx(0.338030602684471 * np.sqrt(factor), rel=1e-7)
    assert factor == pytest.approx(1, abs=1e-6)  # Paule and Mandel's τ² is where it is 1
    assert found.freedom == 8


def test_effects_without_spread_between_them_are_pooled_as_one():
    """Equal variances and an observed spread below them: τ² = 0, the mean is plain."""
    found = random_effects(np.array([0.1, 0.11, 0.09, 0.1, 0.12, 0.08]), np.full(6, 1.0))
    assert found.between == 0 and found.mean == pytest.approx(0.1)


def test_a_new_study_is_less_certain_than_the_mean_one():
    """Higgins, Thompson & Spiegelhalter 2009, equation 12, with Hartung and Knapp's error."""
    mean = random_effects(KACKER, KACKER_VARIANCES)
    new = random_effects(KACKER, KACKER_VARIANCES, new=True)
    assert new.error == pytest.approx(np.sqrt(mean.between**2 + mean.error**2))
    assert (new.mean, new.freedom) == (mean.mean, 7)
    interval = new.interval()
    half = stats.t.ppf(0.975, 7) * new.error
    assert (interval.low, interval.high) == pytest.approx((new.mean - half, new.mean + half))


def test_the_tails_of_random_effects_are_those_of_t_tests():
    """Equal variances, all spread between the studies: the plain t tests of the effects."""
    d = np.random.default_rng(0).normal(0.3, 1.0, 12)
    found = random_effects(d, np.full(12, 1e-6))
    shifts = np.array([0.5, -0.5])
    np.testing.assert_allclose(found.tails(d, shifts), t_tails(d, shifts), rtol=1e-4)


def test_effects_without_variance_cannot_be_pooled():
    with pytest.raises(NotEstimable, match="no variance"):
        random_effects(KACKER, np.zeros(9))


@pytest.mark.parametrize(
    ("new", "variance", "promised"),
    [(False, 0.03, 0.95), (False, 0.003, 0.95), (True, 0.03, 0.92), (True, 0.003, 0.95)],
)
def test_intervals_over_studies_cover_what_they_are_for(new, variance, promised):
    """2,000 samples of 11 effects of variance 0.09: within 3 standard errors, or above. Of a new
    study it is less than stated where the estimates' own variances are large (reported for other
    estimators by Partlett & Riley 2017): 0.921 in 4,000 other samples."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(2000):
        variances = variance * rng.uniform(0.3, 1.7, 11)
        effects = rng.normal(0.2, 0.3, 11) + rng.normal(0, np.sqrt(variances))
        interval = random_effects(effects, variances, new).interval()
        truth = rng.normal(0.2, 0.3) if new else 0.2
        hits += interval.low <= truth <= interval.high
    assert hits / 2000 > promised - 3 * np.sqrt(promised * (1 - promised) / 2000)
