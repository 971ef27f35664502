"""The decision rule: what three tests say of a comparison, and comparisons of a claim."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bnstudy.analysis import statistics
from bnstudy.analysis.comparisons import adjusted
from bnstudy.analysis.decisions import (
    NOT_ESTIMABLE,
    NOT_HIGHER,
    OPEN,
    decide,
    direction,
    estimable,
    three_way,
    verdict,
)

MARGIN = 1.5
M = np.log(MARGIN)
EVERY = ("lower", "same", "higher")


def flips(resamples=99_999, seed=0):
    generator = np.random.default_rng(seed)
    return lambda d, shifts: statistics.sign_flips(d, shifts, rng=generator, resamples=resamples)


def of_mean(mean, n=12, spread=0.1, seed=1):
    """Differences with this mean, exactly."""
    d = np.random.default_rng(seed).normal(size=n) * spread
    return d - d.mean() + mean


def p_of(d, allows=EVERY):
    return three_way(d, MARGIN, allows, flips())


# --- three ways -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "least"), [(-2 * M, "lower"), (0, "same"), (0.5 * M, "same"), (2 * M, "higher")]
)
def test_the_least_p_is_that_of_where_the_mean_lies(mean, least):
    p = p_of(of_mean(mean))
    assert min(p, key=p.get) == least and p[least] < 0.001
    assert all(value > 0.5 for name, value in p.items() if name != least)


@pytest.mark.parametrize("mean", [0.25, -1.1 * M, 1.1 * M])
def test_they_are_the_shifted_sign_flip_tests_by_brute_force(mean):
    """From scipy's exact permutation test, each at its own margin and side; lower and higher are
    doubled, also where that is below 1."""
    d = of_mean(mean, n=8, spread=0.3)

    def test(shift, side):
        return stats.permutation_test(
            (d + shift,), np.mean, permutation_type="samples", alternative=side
        ).pvalue

    p = p_of(d)
    assert p["lower"] == min(1, 2 * test(M, "less"))
    assert p["higher"] == min(1, 2 * test(-M, "greater"))
    assert p["same"] == max(test(M, "greater"), test(-M, "less"))
    assert min(p["lower"], p["higher"]) < 1 or abs(mean) < M


def test_they_mirror_each_other():
    d = of_mean(0.3, spread=0.4)
    there, back = p_of(d), p_of(-d)
    assert there["lower"] == back["higher"] and there["same"] == back["same"]


def test_a_claim_that_allows_lower_and_same_is_one_test_at_the_upper_margin():
    d = of_mean(0.2, spread=0.3)
    p = p_of(d, ("lower", "same"))
    assert p.keys() == {NOT_HIGHER, "higher"}
    [[below, above]] = statistics.sign_flips(d - M, np.zeros(1), rng=np.random.default_rng(0))
    assert p[NOT_HIGHER] == below and p["higher"] == min(1, 2 * above)
    p = p_of(d + M, ("same", "lower"))
    [[below, above]] = statistics.sign_flips(d, np.zeros(1), rng=np.random.default_rng(0))
    assert p[NOT_HIGHER] == below > 0.5 and p["higher"] == 2 * above < 1


# --- censoring ------------------------------------------------------------------------------------

ALL = {"lower": 0.1, "same": 0.2, "higher": 0.3, NOT_HIGHER: 0.4}


@pytest.mark.parametrize(
    ("reference", "arm", "left"),
    [
        (0, 0, {"lower", "same", "higher", NOT_HIGHER}),
        (1, 0, {"lower", "same", NOT_HIGHER}),
        (0, 1, {"same", "higher"}),
        (2, 0, {"lower", NOT_HIGHER}),
        (0, 2, {"higher"}),
        (1, 1, {"same"}),
    ],
)
def test_censoring_leaves_only_what_it_works_against(reference, arm, left):
    """Of ten pairs; the first run of the one arm and of the other are of the same pair."""
    censored = tuple(np.arange(10) < count for count in (reference, arm))
    assert estimable(ALL, censored).keys() == left


def test_pairs_count_once_however_many_of_their_runs_are_censored():
    either = np.arange(10) == 0, np.arange(10) == 1
    assert "same" not in estimable(ALL, either)


def test_censoring_takes_nothing_from_nothing():
    assert estimable({}, (np.ones(3, bool),) * 2) == {}


@pytest.mark.filterwarnings("error")
def test_no_pairs_have_none_censored():
    assert estimable(ALL, (np.zeros(0, bool),) * 2) == ALL


# --- Holm, directions -----------------------------------------------------------------------------


def test_holm_runs_over_the_role_and_counts_the_absent_as_one():
    table = pd.DataFrame({"role": ["primary"] * 3 + ["secondary"], "p": [0.01, np.nan, 0.02, 0.03]})
    np.testing.assert_allclose(adjusted(table), [0.03, np.nan, 0.04, 0.03])


@pytest.mark.parametrize(
    ("p_holm", "expected"), [(0.049, "lower"), (0.05, OPEN), (np.nan, NOT_ESTIMABLE)]
)
def test_a_direction_needs_an_adjusted_p_below_alpha(p_holm, expected):
    row = pd.Series({"p_holm": p_holm, "nearest": "lower", "p": 0.001})
    assert direction(row, 0.05) == expected


# --- claims ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directions", "allows", "expected"),
    [
        (["lower"], [("lower",)], "holds"),
        (["same"], [("lower",)], "fails"),
        (["higher"], [("lower",)], "fails"),
        ([OPEN], [("lower",)], OPEN),
        ([NOT_ESTIMABLE], [("lower",)], NOT_ESTIMABLE),
        (["lower", "higher"], [("lower", "higher")] * 2, "holds"),
        (["lower", "same"], [("lower", "higher")] * 2, "fails"),
        (["lower", OPEN], [("lower",)] * 2, OPEN),
        (["same", OPEN], [("lower",)] * 2, "fails"),
        (["higher", NOT_ESTIMABLE], [("lower",)] * 2, "fails"),
        (["lower", NOT_ESTIMABLE], [("lower",)] * 2, NOT_ESTIMABLE),
        ([NOT_HIGHER, "same"], [("lower", "same"), ("same",)], "holds"),
        ([NOT_HIGHER, "higher"], [("lower", "same"), ("same",)], "fails"),
        ([], [], NOT_ESTIMABLE),
    ],
)
def test_a_claim_holds_if_all_do_and_fails_if_one_does(directions, allows, expected):
    assert verdict(directions, allows) == expected


def test_each_direction_has_its_own_allowance():
    with pytest.raises(ValueError):
        verdict(["lower"], [])


def rows_of(*rows):
    columns = ["claim", "regime", "direction", "allows", "p_holm", "quantity"]
    others = dict.fromkeys(["arm", "width", "n_pairs", "ratio", "ratio_low", "ratio_high"], 1)
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(role="primary", bound="", margin=MARGIN, **others)


def test_the_comparison_that_is_excluded_decides_else_the_weakest():
    table = rows_of(
        ("C1", "a", "lower", "lower", 0.001, "first"),
        ("C1", "a", "lower", "lower", 0.01, "second"),
        ("C1", "b", "higher", "lower", 0.001, "third"),
        ("C1", "b", OPEN, "lower", 0.2, "fourth"),
        ("C2", "a", NOT_ESTIMABLE, "same", np.nan, "fifth"),
        ("C2", "a", "same", "same", 0.01, "sixth"),
    )
    decided = decide(table).set_index(["claim", "regime"])
    assert list(decided.verdict) == ["holds", "fails", NOT_ESTIMABLE]
    assert list(decided.quantity) == ["second", "third", "fifth"]
    assert list(decided.comparisons) == [2, 2, 2]


def test_a_verdict_has_the_numbers_of_the_comparison_that_decides():
    """Claims and regimes in their order in the table; rows that are not primary decide nothing."""
    table = rows_of(
        ("C2", "tuned", "lower", "lower or higher", 0.02, "decides"),
        ("C2", "tuned", "higher", "lower or higher", 0.01, "clearer"),
        ("C2", "article", "same", "lower or higher", 0.03, "excluded"),
        ("C1", "tuned", "lower", "lower", 0.04, "alone"),
        ("C1", "article", "lower", "lower", 0.05, "secondary"),
    )
    numbers = ["arm", "width", "quantity", "n_pairs", "ratio", "ratio_low", "ratio_high", "bound"]
    for index, name in enumerate([*numbers, "margin"]):
        table[name] = 10 * index + np.arange(5)
    table.loc[4, "role"] = "secondary"
    decided = decide(table)
    assert list(decided.claim) == ["C2", "C2", "C1"]
    assert list(decided.regime) == ["tuned", "article", "tuned"]
    assert list(decided.verdict) == ["holds", "fails", "holds"]
    same = [*numbers, "margin", "p_holm", "direction"]
    assert list(decided) == ["claim", "regime", "verdict", "comparisons", *same]
    pd.testing.assert_frame_equal(
        decided[same], table.loc[[0, 2, 3], same].reset_index(drop=True), check_dtype=False
    )


# --- simulations ----------------------------------------------------------------------------------


def rate(mean, spread, n=30, count=1500):
    """How often each direction is decided at 5 %, over data sets with this true mean."""
    r = np.random.default_rng(5)
    found = []
    for _ in range(count):
        d = mean + r.normal(size=n) * spread
        p = three_way(d, MARGIN, EVERY, flips(999, r.integers(2**32)))
        nearest = min(p, key=p.get)
        found.append(nearest if p[nearest] < 0.05 else OPEN)
    return pd.Series(found).value_counts(normalize=True)


def at_most(level, count=1500):
    """The level, and what 1,500 data sets scatter above it once in a thousand."""
    return stats.binom.ppf(0.999, count, level) / count


@pytest.mark.slow
@pytest.mark.parametrize("mean", [-M, -0.5 * M, 0.0, 0.5 * M, M])
@pytest.mark.parametrize("spread", [0.2, 0.8])
def test_wrong_directions_are_rare(mean, spread):
    """Strictly between the margins lower and higher are wrong; at one, both neighbours are right
    and only the third is wrong; 5 % for all of them together."""
    found = rate(mean, spread)
    right = {"same"} | ({"lower"} if mean <= -M else set()) | ({"higher"} if mean >= M else set())
    wrong = sum(found.get(name, 0.0) for name in EVERY if name not in right)
    assert wrong <= at_most(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mean", "wrong"), [(M + 0.001, ("lower", "same")), (-M - 0.001, ("same", "higher"))]
)
def test_beside_a_margin_the_neighbour_is_wrong_in_five_percent_at_most(mean, wrong):
    """Where it counts most: just outside, where `same` is at its level."""
    found = rate(mean, 0.2)
    assert sum(found.get(name, 0.0) for name in wrong) <= at_most(0.05)


@pytest.mark.slow
def test_at_the_margin_same_has_its_level():
    """So the test is not idle: the one-sided test at the margin rejects in 5 % (999 resamples)."""
    same = rate(M, 0.2).get("same", 0.0)
    low, high = stats.binom.interval(0.999, 1500, 0.05)
    assert low / 1500 <= same <= high / 1500


@pytest.mark.slow
def test_the_family_is_controlled():
    """Twelve comparisons at the margins' edges and in the middle: a wrong direction anywhere in at
    most 5 % of families."""
    r, wrong = np.random.default_rng(6), 0
    means = [-M - 0.001, M + 0.001, 0.0, 0.9 * M] * 3
    for _ in range(400):
        rows = []
        for mean in means:
            p = three_way(
                mean + r.normal(size=30) * 0.3, MARGIN, EVERY, flips(999, r.integers(2**32))
            )
            nearest = min(p, key=p.get)
            rows.append({"role": "primary", "p": p[nearest], "nearest": nearest, "mean": mean})
        table = pd.DataFrame(rows)
        table["p_holm"] = adjusted(table)
        found = [direction(row, 0.05) for row in table.itertuples()]
        truth = ["lower" if m < -M else "higher" if m > M else "same" for m in means]
        wrong += any(f not in (t, OPEN) for f, t in zip(found, truth, strict=True))
    assert wrong / 400 <= at_most(0.05, 400)
