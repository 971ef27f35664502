"""From one row a run to tests, verdicts and sentences, on runs made to a known answer."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from made_up import runs, tables

from bnstudy.analysis import comparisons
from bnstudy.analysis.comparisons import alternatives, sensitivity
from bnstudy.analysis.hypotheses import RULES, all_claims
from bnstudy.analysis.outcomes import log_ratio, paired
from bnstudy.analysis.wording import COUNTED, claims_page, claims_table
from bnstudy.config import members
from bnstudy.config.models import Study

FIRST = 1000  # the first of the study's seeds


@pytest.fixture
def study(config):
    config["analysis"] |= {"permutations": 4999, "bootstraps": 999}
    return Study.from_config(config)


@pytest.fixture
def quick(study):
    """For what needs no exact p."""
    fewer = study.analysis.model_copy(update={"permutations": 999})
    return study.model_copy(update={"analysis": fewer})


@pytest.fixture
def analysis(study):
    return study.analysis


def significance(made, study):
    """With probes that have as many seeds as the runs."""
    return comparisons.significance(tables(made, made.seed.nunique()), study)


def verdict(table, hypothesis, width=300):
    rows = table[(table.hypothesis == hypothesis) & (table.width == width)]
    return rows[rows.role.isin(["primary", "secondary"])].verdict.item()


def test_a_clear_gain_in_speed_is_supported_and_equal_ends_are_equivalent(study, analysis):
    table = significance(runs(analysis), study)
    assert verdict(table, "H1") == "supported" and verdict(table, "H1", 100) == "supported"
    assert verdict(table, "H2a") == "equivalent"
    sentence = table[(table.role == "primary") & (table.hypothesis == "H1")].sentence.item()
    assert "lower, as claimed; faster at 5 of 5 thresholds" in sentence


def test_the_opposite_refutes(study, analysis):
    table = significance(runs(analysis, speed=2.0, final=0.3), study)
    assert verdict(table, "H1") == "refuted" and verdict(table, "H2a") == "refuted"


def test_no_effect_is_no_support(study, analysis):
    """Nothing gained in speed, ends at the margin: one draw, of which 5 % would be called wrong."""
    made = runs(analysis, speed=1.0, final=1.5, spread=0.4, count=30, seed=7)
    table = significance(made, study)
    assert verdict(table, "H1") == "inconclusive" and verdict(table, "H2a") == "inconclusive"


def test_the_effect_is_the_geometric_mean_ratio(study, analysis):
    made = runs(analysis)
    table = significance(made, study)
    row = table[(table.role == "primary") & (table.hypothesis == "H1")].iloc[0]
    expected = np.exp(log_ratio(made, 300, "epochs_to_0.2258").mean())
    assert row.ratio == pytest.approx(expected) and row.ratio_low < expected < row.ratio_high


def test_holm_runs_over_the_claims_with_a_conjunctions_largest_p(study, analysis):
    made = tables(runs(analysis), ratios=(0.99, 0.8))
    table = comparisons.significance(made, study)
    rows = table[table.role == "primary"].set_index("hypothesis")
    decided = claims_table(table, study).set_index("hypothesis")
    for claim in all_claims():
        of_parts = rows.p[[part.name for part in claim.parts]]
        assert decided.p[claim.hypothesis] == of_parts.max()
    p = decided.p.sort_values()
    expected = np.maximum.accumulate(np.minimum(1, p * [5, 4, 3, 2, 1]))
    np.testing.assert_allclose(decided.p_holm[p.index], expected)
    assert rows.p_holm["H1"] == decided.p_holm["H1"]
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
def test_the_five_verdicts(study, analysis, options, probes, expected):
    made = runs(analysis, **options)
    table = comparisons.significance(tables(made, made.seed.nunique(), **probes), study)
    got = claims_table(table, study).verdict
    assert list(got) == [v.replace("_", " ") for v in expected.split()]


def test_one_refuted_part_refutes_the_conjunction(study, analysis):
    made = runs(analysis)
    batch = made.arm == "batch"
    made.loc[batch, "final_jacobian_error"] *= 4
    table = significance(made, study)
    claim = claims_table(table, study).set_index("claim").loc["C2"]
    assert verdict(table, "H2a") == "equivalent" and claim.verdict == "refuted"
    assert claim.deciding_part == "H2b" and claim.ratio == pytest.approx(4, rel=0.1)


def test_sensitivity_says_where_another_analysis_changes_a_verdict(study, analysis):
    """Final losses 1.35 apart: the same within 1.5 and 2, not within 1.25."""
    made = tables(runs(analysis, final=1.35, spread=0.05))
    table = sensitivity(made, study)
    of_c2 = table[table.claim == "C2"].set_index("choice")
    assert of_c2.verdict["as stated in advance"] == "equivalent"
    assert of_c2.verdict["margin 1.25"] == "refuted" and of_c2.changed["margin 1.25"]
    assert of_c2.verdict["margin 2"] == "equivalent" and not of_c2.changed["margin 2"]
    assert len(table) == 5 * len(alternatives(analysis))
    stated = table[table.choice == "as stated in advance"].set_index("claim")
    claims = claims_table(comparisons.significance(made, study), study).set_index("claim")
    columns = ["verdict", "p", "p_holm", "ratio", "ratio_low", "n_pairs"]
    pd.testing.assert_frame_equal(stated[columns], claims[columns])


def test_the_page_says_all_that_the_table_says(study, analysis):
    made = tables(runs(analysis, final=1.35, spread=0.05))
    table = claims_table(comparisons.significance(made, study), study)
    captions = {figure: (f"Title of {figure}", "what it shows") for figure in table.figure[:4]}
    page = claims_page(table, sensitivity(made, study), captions)
    for claim in table.itertuples():
        assert claim.words in page and claim.sentence in page and claim.evidence in page
        drawn = f"![Title of {claim.figure}](figures/{claim.figure}.svg)" in page
        assert drawn == (claim.figure in captions)
    assert "**The verdict changes** with another analysis: margin 1.25: refuted." in page


def test_an_advantage_that_grows_with_the_width_is_a_trend(study, analysis):
    made = [
        runs(analysis, widths=(w,), speed=s, seed=w, count=30)
        for w, s in ((10, 1.0), (100, 0.8), (300, 0.6))
    ]
    table = significance(pd.concat(made), study)
    trend = table[(table.role == "trend") & (table.hypothesis == "H1")].set_index("test")
    assert (trend.p < 0.001).all() and set(trend.index) == {"Page", "slope sign-flip"}
    flat = table[(table.role == "trend") & (table.hypothesis == "H2a")]
    assert (flat.p > 0.01).all()
    short = runs(analysis, widths=(1000,), count=10)
    more = significance(pd.concat([*made, short]), study)
    same = more[more.role == "trend"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, table[table.role == "trend"].reset_index(drop=True))


def test_the_other_arms_are_compared_with_none(study, analysis):
    made = runs(analysis, widths=(100,), arms=("batch", "none-standardized"))
    table = significance(made, study)
    arms = table[table.role == "exploratory"]
    assert set(arms.arm) == {"batch", "none-standardized"} and set(arms.reference) == {"none"}
    assert len(arms) == 2 * (len(analysis.thresholds) + 1)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_pairs_are_not_estimable(study, analysis, count):
    table = significance(runs(analysis, count=count), study)
    assert set(table[table.verdict != ""].verdict) == {"not estimable"}
    assert table[table.role == "primary"].sentence.str.contains("not estimable").all()


def test_an_absent_primary_cell_is_not_estimable(study, analysis):
    table = significance(runs(analysis, widths=(100,)), study)
    assert verdict(table, "H1") == "not estimable" and verdict(table, "H1", 100) == "supported"


def test_only_one_arm_is_not_estimable(study, analysis):
    made = runs(analysis)
    table = significance(made[made.arm == "none"], study)
    assert verdict(table, "H1") == verdict(table, "H2a") == "not estimable"


def test_a_threshold_nobody_reached_is_not_estimable(study, analysis):
    made = runs(analysis)
    made["reached_0.2258"] = False
    made["epochs_to_0.2258"] = 10_000
    table = significance(made, study)
    assert verdict(table, "H1") == "not estimable"
    assert table.reason.str.contains("no run reached").any()


def test_runs_outside_the_grid_enter_no_test(study, analysis):
    made = runs(analysis)
    extra = made[made.seed == FIRST].assign(batch_size=50, final_test_loss=1e9)
    both = (tables(made), tables(pd.concat([made, extra])))
    pd.testing.assert_frame_equal(*(comparisons.significance(t, study) for t in both))


def test_adding_a_width_leaves_the_primary_numbers_alone(study, analysis):
    one, two = runs(analysis, widths=(300,)), runs(analysis, widths=(300, 500))
    columns = ["ratio", "ratio_low", "ratio_high", "p", "p_holm"]
    a, b = (comparisons.significance(tables(made), study) for made in (one, two))
    pd.testing.assert_frame_equal(
        a[a.role == "primary"][columns].reset_index(drop=True),
        b[b.role == "primary"][columns].reset_index(drop=True),
    )


def test_a_preview_says_so(study, analysis):
    preview = study.model_copy(update={"preview": True})
    table = significance(runs(analysis), preview)
    assert table.sentence[table.verdict != ""].str.startswith("Preview").all()
    assert claims_table(table, preview).sentence.str.startswith("Preview").all()


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


def test_a_diverged_run_counts_against_its_arm(study, analysis):
    """As the loss of predicting the mean, or the largest of the cell; never as if it were not."""
    whole = runs(analysis)
    tests = significance(diverged(whole, "batch", [1003, 1004]), study)
    loss = tests[(tests.hypothesis == "H2a") & (tests.role == "primary")].iloc[0]
    assert (loss.n_pairs, loss.failed_none, loss.failed_batch) == (12, 0, 2)
    none, batch = paired(diverged(whole, "batch", [1003, 1004]), 300, "final_test_loss")
    assert np.isfinite(none).all() and (batch > 20).sum() == 2
    assert list(batch[3:5]) == [1016 / 45] * 2
    assert loss.ratio > 1.5 and loss.verdict != "equivalent"
    assert "diverged runs: 2 with BN, 0 without; they count as the worst" in loss.sentence
    features = tests[(tests.hypothesis == "H3a") & (tests.role == "primary")].iloc[0]
    assert features.n_pairs == 10 and "their pairs are left out" in features.sentence
    last = paired(diverged(whole, "batch", [1003, 1004]), 300, "last_test_loss")[1]
    assert len(last) == 12, "a NaN would drop the pair in silence"


def test_a_larger_loss_than_the_means_is_the_worst(study, analysis):
    made = runs(analysis)
    worst = made.index[(made.width == 300) & (made.arm == "none")][0]
    made.loc[worst, "final_test_loss"] = 1e6
    assert paired(diverged(made, "batch", [1003]), 300, "final_test_loss")[1][3] == 1e6


def test_one_arm_that_always_fails_is_worse(study, analysis):
    made = diverged(runs(analysis), "batch", range(1000, 1012))
    tests = significance(made, study)
    row = tests[(tests.hypothesis == "H2a") & (tests.role == "primary")].iloc[0]
    assert row.verdict == "refuted" and row.ratio > 100


def test_where_all_fail_nothing_is_estimable(study, analysis):
    made = runs(analysis)
    for arm in ("none", "batch"):
        made = diverged(made, arm, range(1000, 1012))
    tests = significance(made, study)
    rows = tests[tests.hypothesis.isin(["H2a", "H2b", "H3a"]) & (tests.role == "primary")]
    assert set(rows.verdict) == {"not estimable"}
    assert rows.sentence.str.contains("diverged runs: 12 with BN, 12 without").all()


# --- The claims as data ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", members.names("claims"))
def test_a_claims_data_are_whole(name, study, analysis):
    """Each of its parts is measured on made-up tables, decided by its rule and told in a sentence;
    its figure exists."""
    claim = next(c for c in all_claims() if c.name.lower() == name)
    assert claim.figure in members.names("figures") and claim.rule in RULES.values()
    table = significance(runs(analysis), study)
    rows = table[(table.claim == claim.name) & (table.role == "primary")].set_index("hypothesis")
    assert list(rows.index) == [part.name for part in claim.parts]
    for part in claim.parts:
        row = rows.loc[part.name]
        assert part.name.startswith(claim.hypothesis) and part.diverged in COUNTED
        assert row.n_pairs == 12 and row.verdict in ("supported", "equivalent")
        assert row.quantity and "{" not in row.quantity + row.sentence
        assert row.sentence.endswith(
            (part.rule.judged[row.verdict].format(margin=1.5) + ".", "5 thresholds.")
        )


@pytest.mark.parametrize("present", [(), ("runs",), ("gradients", "digits")], ids=str)
@pytest.mark.parametrize("absent", ["missing", "empty"])
def test_a_claim_without_its_cells_is_not_estimable(quick, analysis, present, absent):
    made = tables(runs(analysis))
    for name in set(made) - set(present):
        made[name] = made[name][:0]
        if absent == "missing":
            del made[name]
    verdicts = claims_table(comparisons.significance(made, quick), quick).set_index("claim").verdict
    of = {"C1": "runs", "C2": "runs", "C3": "runs", "C4": "gradients", "C5": "digits"}
    for claim, table in of.items():
        assert (verdicts[claim] == "not estimable") == (table not in present)
    stated = sensitivity(made, quick)
    stated = stated[stated.choice == "as stated in advance"].set_index("claim").verdict
    pd.testing.assert_series_equal(stated, verdicts)


def test_runs_without_diagnostics_leave_their_parts_open(study, analysis):
    made = runs(analysis).drop(columns=["final_jacobian_error", "final_saturated_share"])
    table = significance(made, study)
    assert verdict(table, "H2b") == verdict(table, "H3a") == "not estimable"
    assert verdict(table, "H2a") == "equivalent" and verdict(table, "H3b") == "supported"


def test_a_sixth_claim_is_a_file(study, analysis, monkeypatch, tmp_path):
    """It is tested beside the others, and the family grows to six."""
    file = tmp_path / "c6.py"
    file.write_text(
        """
CLAIM, WORDS, HYPOTHESIS, RULE, FIGURE = "C6", "BN shortens paths", "H6", "lower", "features"
PARTS = {
    "H6": {
        "column": "final_path_norm",
        "quantity": "path norm",
        "phrase": "the path norm",
        "diverged": "left out",
    }
}
"""
    )
    made = tables(runs(analysis))
    before = comparisons.significance(made, study)
    spec = importlib.util.spec_from_file_location("c6", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names, load = members.names, members.load
    monkeypatch.setattr(members, "names", lambda kind: [*names(kind), "c6"])
    monkeypatch.setattr(members, "load", lambda kind, n: module if n == "c6" else load(kind, n))
    after = comparisons.significance(made, study)
    table = claims_table(after, study).set_index("claim")
    assert table.verdict["C6"] == "supported"
    assert "the path norm was 0.65 times" in table.evidence["C6"]
    smallest = table.p.min()
    assert table.p_holm[table.p == smallest].tolist() == pytest.approx([6 * smallest])
    same = ["hypothesis", "role", "p", "ratio", "ratio_low"]
    old = after[after.claim != "C6"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old[same], before[same])
