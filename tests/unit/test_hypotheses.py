"""From one row a run to tests, verdicts and sentences, on runs made to a known answer."""

import numpy as np
import pandas as pd
import pytest
from made_up import runs, tables

from bnstudy import hypotheses
from bnstudy.claims import claims_page, claims_table
from bnstudy.figures.captions import CAPTIONS
from bnstudy.hypotheses import CLAIMS, sensitivity
from bnstudy.measures import log_ratio, paired
from bnstudy.study import Study


@pytest.fixture
def analysis(config):
    config["analysis"] |= {"permutations": 4999, "bootstraps": 999}
    return Study.from_config(config).analysis


def significance(made, analysis, **options):
    """With probes that have as many seeds as the runs."""
    return hypotheses.significance(tables(made, made.seed.nunique()), analysis, **options)


def verdict(table, hypothesis, width=300):
    rows = table[(table.hypothesis == hypothesis) & (table.width == width)]
    return rows[rows.role.isin(["primary", "secondary"])].verdict.item()


def test_a_clear_gain_in_speed_is_supported_and_equal_ends_are_equivalent(analysis):
    table = significance(runs(analysis), analysis)
    assert verdict(table, "H1") == "supported" and verdict(table, "H1", 100) == "supported"
    assert verdict(table, "H2a") == "equivalent"
    sentence = table[(table.role == "primary") & (table.hypothesis == "H1")].sentence.item()
    assert "lower, as claimed; faster at 5 of 5 thresholds" in sentence


def test_the_opposite_refutes(analysis):
    table = significance(runs(analysis, speed=2.0, final=0.3), analysis)
    assert verdict(table, "H1") == "refuted" and verdict(table, "H2a") == "refuted"


def test_no_effect_is_no_support(analysis):
    """Nothing gained in speed, ends at the margin: one draw, of which 5 % would be called wrong."""
    made = runs(analysis, speed=1.0, final=1.5, spread=0.4, count=30, seed=7)
    table = significance(made, analysis)
    assert verdict(table, "H1") == "inconclusive" and verdict(table, "H2a") == "inconclusive"


def test_the_effect_is_the_geometric_mean_ratio(analysis):
    made = runs(analysis)
    table = significance(made, analysis)
    row = table[(table.role == "primary") & (table.hypothesis == "H1")].iloc[0]
    expected = np.exp(log_ratio(made, 300, "epochs_to_0.2258").mean())
    assert row.ratio == pytest.approx(expected) and row.ratio_low < expected < row.ratio_high


def test_holm_runs_over_the_five_claims_with_a_conjunctions_largest_p(analysis):
    made = tables(runs(analysis), ratios=(0.99, 0.8))
    table = hypotheses.significance(made, analysis)
    rows = table[table.role == "primary"].set_index("hypothesis")
    claims = claims_table(table, analysis).set_index("hypothesis")
    for hypothesis in CLAIMS:
        assert claims.p[hypothesis] == rows.p[rows.index.str.startswith(hypothesis)].max()
    p = claims.p.sort_values()
    expected = np.maximum.accumulate(np.minimum(1, p * [5, 4, 3, 2, 1]))
    np.testing.assert_allclose(claims.p_holm[p.index], expected)
    assert rows.p_holm["H1"] == claims.p_holm["H1"]
    assert rows.p_holm[["H2a", "H2b", "H3a", "H4b", "H5a"]].isna().all()


@pytest.mark.parametrize(
    ("options", "probes", "expected"),
    [
        ({}, {"factors": ((2.4, 1.1), (0.9, 0.95))}, "supported equivalent supported supported "
         "supported"),
        ({}, {}, "supported equivalent supported supported supported"),
        ({"final": 0.3, "speed": 2.0}, {"factors": ((2.4, 1.1), (0.96, 1.12))},
         "refuted refuted supported refuted supported"),
        ({"features": 1.0}, {"ratios": (1.3, 0.8)}, "supported equivalent inconclusive supported "
         "refuted"),
        ({"count": 4}, {}, " ".join(["not_estimable"] * 5)),
    ],
)  # fmt: skip
def test_the_five_verdicts(analysis, options, probes, expected):
    made = runs(analysis, **options)
    table = hypotheses.significance(tables(made, made.seed.nunique(), **probes), analysis)
    got = claims_table(table, analysis).verdict
    assert list(got) == [v.replace("_", " ") for v in expected.split()]


def test_one_refuted_part_refutes_the_conjunction(analysis):
    made = runs(analysis)
    batch = made.arm == "batch"
    made.loc[batch, "final_jacobian_error"] *= 4
    table = significance(made, analysis)
    claim = claims_table(table, analysis).set_index("claim").loc["C2"]
    assert verdict(table, "H2a") == "equivalent" and claim.verdict == "refuted"
    assert claim.deciding_part == "H2b" and claim.ratio == pytest.approx(4, rel=0.1)


def test_sensitivity_says_where_another_analysis_changes_a_verdict(analysis):
    """Final losses 1.35 apart: the same within 1.5 and 2, not within 1.25."""
    made = tables(runs(analysis, final=1.35, spread=0.05))
    table = sensitivity(made, analysis)
    of_c2 = table[table.claim == "C2"].set_index("choice")
    assert of_c2.verdict["as stated in advance"] == "equivalent"
    assert of_c2.verdict["margin 1.25"] == "refuted" and of_c2.changed["margin 1.25"]
    assert of_c2.verdict["margin 2"] == "equivalent" and not of_c2.changed["margin 2"]
    assert len(table) == 5 * len(hypotheses.alternatives(analysis))
    stated = table[table.choice == "as stated in advance"].set_index("claim")
    claims = claims_table(hypotheses.significance(made, analysis), analysis).set_index("claim")
    columns = ["verdict", "p", "p_holm", "ratio", "ratio_low", "n_pairs"]
    pd.testing.assert_frame_equal(stated[columns], claims[columns])


def test_the_page_says_all_that_the_table_says(analysis):
    made = tables(runs(analysis, final=1.35, spread=0.05))
    table = claims_table(hypotheses.significance(made, analysis), analysis)
    page = claims_page(table, sensitivity(made, analysis), CAPTIONS)
    for claim in table.itertuples():
        assert claim.words in page and claim.sentence in page and claim.evidence in page
        assert f"figures/{claim.figure}.svg" in page
    assert "**The verdict changes** with another analysis: margin 1.25: refuted." in page


def test_an_advantage_that_grows_with_the_width_is_a_trend(analysis):
    made = [runs(analysis, widths=(w,), speed=s, seed=w)
            for w, s in ((10, 1.0), (100, 0.8), (300, 0.6))]  # fmt: skip
    table = significance(pd.concat(made), analysis)
    trend = table[(table.role == "trend") & (table.hypothesis == "H1")].set_index("test")
    assert (trend.p < 0.001).all() and set(trend.index) == {"Page", "slope sign-flip"}
    flat = table[(table.role == "trend") & (table.hypothesis == "H2a")]
    assert (flat.p > 0.01).all()


def test_the_other_arms_are_compared_with_none(analysis):
    made = runs(analysis, widths=(100,), arms=("batch", "none-standardized"))
    table = significance(made, analysis)
    arms = table[table.role == "exploratory"]
    assert set(arms.arm) == {"batch", "none-standardized"} and set(arms.reference) == {"none"}
    assert len(arms) == 2 * (len(analysis.thresholds) + 1)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_pairs_are_not_estimable(analysis, count):
    table = significance(runs(analysis, count=count), analysis)
    assert set(table[table.verdict != ""].verdict) == {"not estimable"}
    assert table[table.role == "primary"].sentence.str.contains("not estimable").all()


def test_an_absent_primary_cell_is_not_estimable(analysis):
    table = significance(runs(analysis, widths=(100,)), analysis)
    assert verdict(table, "H1") == "not estimable" and verdict(table, "H1", 100) == "supported"


def test_only_one_arm_is_not_estimable(analysis):
    made = runs(analysis)
    table = significance(made[made.arm == "none"], analysis)
    assert verdict(table, "H1") == verdict(table, "H2a") == "not estimable"


def test_a_threshold_nobody_reached_is_not_estimable(analysis):
    made = runs(analysis)
    made["reached_0.2258"] = False
    made["epochs_to_0.2258"] = 10_000
    table = significance(made, analysis)
    assert verdict(table, "H1") == "not estimable"
    assert table.reason.str.contains("no run reached").any()


def test_runs_outside_the_grid_enter_no_test(analysis):
    made = runs(analysis)
    extra = made[made.seed == 0].assign(seed=99, in_grid=False, final_test_loss=1e9)
    both = (tables(made), tables(pd.concat([made, extra])))
    pd.testing.assert_frame_equal(*(hypotheses.significance(t, analysis) for t in both))


def test_adding_a_width_leaves_the_primary_numbers_alone(analysis):
    one, two = runs(analysis, widths=(300,)), runs(analysis, widths=(300, 500))
    columns = ["ratio", "ratio_low", "ratio_high", "p", "p_holm"]
    a, b = (hypotheses.significance(tables(made), analysis) for made in (one, two))
    pd.testing.assert_frame_equal(
        a[a.role == "primary"][columns].reset_index(drop=True),
        b[b.role == "primary"][columns].reset_index(drop=True),
    )


def test_a_preview_says_so(analysis):
    table = significance(runs(analysis), analysis, preview=True)
    assert table.sentence[table.verdict != ""].str.startswith("Preview").all()


def diverged(made, arm, seeds):
    """`made` runs in which these seeds of an arm have failed."""
    made = made.copy()
    failed = (made.arm == arm) & made.seed.isin(seeds)
    losses = [c for c in made if c.endswith("_loss")]
    made.loc[failed, losses] = np.inf
    made.loc[failed, [c for c in made if c.startswith("final_") and c not in losses]] = np.nan
    made.loc[failed, "last_test_loss"] = np.nan
    made.loc[failed, "status"] = "diverged"
    return made


def test_a_diverged_run_counts_against_its_arm(analysis):
    """As the loss of predicting the mean, or the largest of the cell; never as if it were not."""
    whole = runs(analysis)
    tests = significance(diverged(whole, "batch", [3, 4]), analysis)
    loss = tests[(tests.hypothesis == "H2a") & (tests.role == "primary")].iloc[0]
    assert (loss.n_pairs, loss.failed_none, loss.failed_batch) == (12, 0, 2)
    none, batch = paired(diverged(whole, "batch", [3, 4]), 300, "final_test_loss")
    assert np.isfinite(none).all() and (batch > 20).sum() == 2
    assert list(batch[3:5]) == [1016 / 45] * 2
    assert loss.ratio > 1.5 and loss.verdict != "equivalent"
    assert "diverged runs: 2 with BN, 0 without; they count as the worst" in loss.sentence
    features = tests[(tests.hypothesis == "H3a") & (tests.role == "primary")].iloc[0]
    assert features.n_pairs == 10 and "their pairs are left out" in features.sentence
    last = paired(diverged(whole, "batch", [3, 4]), 300, "last_test_loss")[1]
    assert len(last) == 12, "a NaN would drop the pair in silence"


def test_a_larger_loss_than_the_means_is_the_worst(analysis):
    made = runs(analysis)
    worst = made.index[(made.width == 300) & (made.arm == "none")][0]
    made.loc[worst, "final_test_loss"] = 1e6
    assert paired(diverged(made, "batch", [3]), 300, "final_test_loss")[1][3] == 1e6


def test_one_arm_that_always_fails_is_worse(analysis):
    made = diverged(runs(analysis), "batch", range(12))
    tests = significance(made, analysis)
    row = tests[(tests.hypothesis == "H2a") & (tests.role == "primary")].iloc[0]
    assert row.verdict == "refuted" and row.ratio > 100


def test_where_all_fail_nothing_is_estimable(analysis):
    made = runs(analysis)
    for arm in ("none", "batch"):
        made = diverged(made, arm, range(12))
    tests = significance(made, analysis)
    rows = tests[tests.hypothesis.isin(["H2a", "H2b", "H3a"]) & (tests.role == "primary")]
    assert set(rows.verdict) == {"not estimable"}
    assert rows.sentence.str.contains("diverged runs: 12 with BN, 12 without").all()
