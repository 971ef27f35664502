"""From one row a run to comparisons, verdicts and sentences, on runs made to a known answer."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import digits, runs, tables, tuned

from bnstudy.analysis import comparisons, statistics
from bnstudy.analysis.comparisons import Choice, Measured, alternatives, sensitivity
from bnstudy.analysis.hypotheses import (
    ARTICLE,
    MEAN_TASK,
    MINIBATCHES,
    NEW_TASK,
    TUNED,
    Comparison,
    all_claims,
    epochs_to,
)
from bnstudy.analysis.outcomes import log_ratio, pair_table, with_partner
from bnstudy.analysis.wording import claims_page, claims_table, tally, tuning_beside_bn
from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.files import read_csv

FIRST = 2000  # the first of the study's seeds


@pytest.fixture
def study(config):
    config["analysis"] |= {"permutations": 4999}
    return Study.from_config(config)


@pytest.fixture
def analysis(study):
    return study.analysis


def significance(made, study, **probes):
    """With probes that have as many seeds as the runs."""
    return comparisons.significance(tables(made, made.seed.nunique(), **probes), study)


def primary(table, claim, regime=ARTICLE):
    """The primary rows of a claim in a regime."""
    return table[(table.role == "primary") & (table.claim == claim) & (table.regime == regime)]


def verdicts(table, study):
    return claims_table(table, study).set_index(["claim", "regime"]).verdict


def test_a_clear_gain_in_speed_is_lower_and_equal_ends_are_the_same(study, analysis):
    table = significance(runs(analysis), study)
    [speed], [end] = (primary(table, claim).itertuples() for claim in ("C1", "C2"))
    assert speed.direction == "lower" and end.direction == "same"
    assert speed.sentence.startswith(
        "As the article ran it, width 300: epochs to a train loss of 0.2"
    )
    assert "lower, as claimed." in speed.sentence and "within a factor of 1.5, as" in end.sentence


def test_the_opposite_refutes(study, analysis):
    table = significance(runs(analysis, speed=2.0, final=0.3), study)
    found = verdicts(table, study)
    assert found["C1", ARTICLE] == found["C2", ARTICLE] == "fails"
    assert "higher, against the claim" in primary(table, "C1").sentence.item()


def test_no_effect_is_a_refutation_of_faster(study, analysis):
    """Where it is clear: the same number of epochs, within a tenth."""
    table = significance(runs(analysis, speed=1.0, spread=0.05), study)
    assert primary(table, "C1").direction.item() == "same"
    assert verdicts(table, study)["C1", ARTICLE] == "fails"


def test_what_is_not_clear_is_open(study, analysis):
    made = runs(analysis, speed=0.95, final=1.4, spread=0.5, seed=7)
    found = verdicts(significance(made, study), study)
    assert found["C1", ARTICLE] == found["C2", ARTICLE] == "open"


def test_the_effect_is_the_geometric_mean_ratio_with_its_t_interval(study, analysis):
    made = runs(analysis)
    row = primary(significance(made, study), "C1").iloc[0]
    d = log_ratio(made[made.width == 300], "epochs_to_0.2258")
    expected = statistics.t_mean(d)
    assert row.ratio == pytest.approx(np.exp(d.mean()))
    assert row.ratio_low == pytest.approx(np.exp(expected.low))
    assert row.ratio_high == pytest.approx(np.exp(expected.high))
    assert row.skewness == pytest.approx(statistics.skewness(d))


def test_holm_runs_over_the_whole_family(study, analysis):
    """Those that are absent count as p = 1: the family has one size."""
    table = significance(runs(analysis), study)
    family = table[table.role == "primary"]
    assert len(family) == sum(len(claim.comparisons) for claim in all_claims(analysis))
    assert family.p.isna().any()
    smallest = family.p.min()
    assert family.p_holm.min() == pytest.approx(smallest * len(family))
    assert table.p_holm.dtype == float
    more = significance(pd.concat([runs(analysis), tuned(analysis)]), study)
    assert (more.role == "primary").sum() == len(family)


def test_the_regimes_compare_their_own_cells(study, analysis):
    """Tuned runs whose arms differ in rate are paired; those of other objectives are not."""
    made = pd.concat([runs(analysis, speed=0.5), tuned(analysis, speed=2.0, final=4.0)])
    table = significance(made, study)
    found = verdicts(table, study)
    assert found["C1", ARTICLE] == "holds" and found["C2", ARTICLE] == "holds"
    for regime in (TUNED, MINIBATCHES):
        assert found["C1", regime] == found["C2", regime] == "fails"
    assert (
        len(primary(table, "C1", TUNED)) == 2 and (primary(table, "C1", TUNED).width == 300).all()
    )
    assert primary(table, "C1", MINIBATCHES).width.item() == 100


def test_a_choice_at_the_edge_decides_nothing(study, analysis):
    made = pd.concat([runs(analysis), tuned(analysis, speed=2.0)])
    best = {**study.reference, "rank": 1, "at_edge": True, "arm": "batch", "width": 300}
    given = tables(made) | {"tuning": pd.DataFrame([best | {"tuned_for": "epochs_to_0.2258"}])}
    table = comparisons.significance(given, study)
    first, strict = primary(table, "C1", TUNED).itertuples()
    assert first.direction == "not estimable" and "at the edge" in first.sentence
    assert strict.direction == "higher" and primary(table, "C1").direction.item() == "lower"


@pytest.mark.parametrize(
    ("network", "undecided"),
    [("dense", ["dense", "interaction"]), ("convolutional", ["convolutional", "interaction"])],
)
def test_a_choice_at_the_edge_on_digits_decides_nothing(study, analysis, network, undecided):
    tuning = pd.DataFrame({"network": ["dense", "convolutional"], "arm": "batch", "rank": 1})
    tuning["at_edge"] = tuning.network == network
    given = tables(runs(analysis)) | {"digits_tuning": tuning}
    rows = primary(comparisons.significance(given, study), "C5", TUNED).set_index("of")
    assert list(rows.index[rows.direction == "not estimable"]) == undecided
    assert rows.sentence[network].endswith("a rate was chosen at the edge of those tried.")


def test_a_regime_that_was_not_run_is_not_estimable(study, analysis):
    found = verdicts(significance(runs(analysis), study), study)
    assert found["C1", TUNED] == found["C2", MINIBATCHES] == "not estimable"


def test_features_moved_in_either_direction_hold(study, analysis):
    for factor in (0.7, 1.4):
        found = verdicts(significance(runs(analysis, features=factor), study), study)
        assert found["C3", ARTICLE] == "holds"
    found = verdicts(significance(runs(analysis, features=1.0, spread=0.03), study), study)
    assert found["C3", ARTICLE] == "fails"


def test_the_parametrisation_alone_is_a_regime_of_its_own(study, analysis):
    made = runs(analysis, arms=("batch", "batch-matched"), features=0.5)
    rows = primary(significance(made, study), "C3", "the parametrisation alone")
    assert set(rows.arm) == {"batch-matched"} and set(rows.direction) == {"lower"}
    assert "(batch-matched / none)" in rows.sentence.iloc[0]


def test_gradients_and_digits_decide_c4_and_c5(study, analysis):
    table = significance(runs(analysis), study, factors=((2.4, 1.1), (0.9, 0.95), (0.7, 0.6)))
    found = verdicts(table, study)
    assert found["C4", ARTICLE] == "holds" and found["C4", "critical weights"] == "holds"
    assert found["C4", "worst over the sizes of the weights"] == "fails"
    assert found["C5", TUNED] == "holds"
    table = significance(runs(analysis), study, ratios=(1.3, 0.8))
    assert verdicts(table, study)["C5", TUNED] == "fails"
    rows = primary(table, "C5", TUNED).set_index("of")
    assert rows.direction["dense"] == "higher" and rows.direction["convolutional"] == "not higher"
    assert rows.ratio["interaction"] == pytest.approx(0.8 / 1.3, rel=0.05)


def test_mnist1d_is_asked_what_digits_are_and_decides_nothing(study, analysis):
    """With three times and a third of the epochs; not where there is no such table."""
    without = tables(runs(analysis), ratios=(0.8, 0.8))
    tuning = pd.DataFrame({"network": ["dense"], "arm": "none", "rank": 1, "at_edge": True})
    given = without | {"mnist1d": digits(ratios=(3.0, 1 / 3)), "digits_tuning": tuning}
    table = comparisons.significance(given, study)
    rows = table[table.regime == "tuned on MNIST-1D"].set_index("of")
    assert set(rows.role) == {"exploratory"} and set(rows.claim) == {"C5"}
    assert list(rows.ratio) == pytest.approx([3, 1 / 3, 1 / 9], rel=0.05)
    assert list(rows.direction) == ["higher", "not higher", "lower"]
    assert rows.sentence["dense"].startswith(
        "Tuned on MNIST-1D: epochs to the validation loss, dense network with BN over without 3.0"
    )
    at_edge = comparisons.significance(given | {"mnist1d_tuning": tuning}, study)
    at_edge = at_edge[at_edge.regime == "tuned on MNIST-1D"].set_index("of").direction
    assert list(at_edge) == ["not estimable", "not higher", "not estimable"]
    others = comparisons.significance(without | {"digits_tuning": tuning}, study)
    pd.testing.assert_frame_equal(primary(table, "C5", TUNED), primary(others, "C5", TUNED))
    assert not others.regime.str.contains("MNIST").any()


# --- censoring ------------------------------------------------------------------------------------


def censored(made, arm, count):
    """The first `count` runs of an arm never reached the primary threshold."""
    made = made.copy()
    which = (made.arm == arm) & (made.seed < FIRST + count)
    made.loc[which, "reached_0.2258"] = False
    made.loc[which, "epochs_to_0.2258"] = 10_000
    return made


def test_a_ratio_with_censored_runs_is_a_bound(study, analysis):
    made = censored(runs(analysis), "none", 3)
    row = primary(significance(made, study), "C1").iloc[0]
    assert row.bound == "at most" and row.censored_reference == 3 and row.direction == "lower"
    assert "0 runs of batch and 3 of none never got there" in row.sentence
    row = primary(significance(censored(runs(analysis), "batch", 3), study), "C1").iloc[0]
    assert row.bound == "at least" and row.direction != "lower"


def test_censoring_makes_nothing_equal(study, analysis):
    """All budgets alike would be the same number of epochs."""
    made = censored(censored(runs(analysis, speed=1.0, spread=0.02), "none", 9), "batch", 9)
    row = primary(significance(made, study), "C1").iloc[0]
    assert row.direction == "not estimable" and "too many runs never" in row.sentence


def test_a_threshold_nobody_reached_is_not_estimable(study, analysis):
    made = censored(censored(runs(analysis), "none", 99), "batch", 99)
    row = primary(significance(made, study), "C1").iloc[0]
    assert row.direction == "not estimable" and np.isnan(row.ratio)
    assert "no run reached the threshold" in row.sentence


# --- other rows -----------------------------------------------------------------------------------


def test_other_widths_and_thresholds_are_secondary(study, analysis):
    table = significance(runs(analysis), study)
    rows = table[table.role == "secondary"]
    assert len(rows) == (2 * 5 - 1) + 1 + 2 and set(rows.regime) == {ARTICLE}
    assert (rows.p_holm.dropna() >= rows.p.dropna()).all()


def test_the_other_arms_are_compared_with_none(study, analysis):
    """At the widths at which there are some."""
    made = runs(analysis, widths=(30, 100), arms=("batch", "none-standardized"))
    arms = significance(pd.concat([made, runs(analysis, widths=(300,))]), study)
    arms = arms[arms.role == "exploratory"]
    assert set(arms.arm) == {"batch", "none-standardized"} and set(arms.reference) == {"none"}
    assert len(arms) == 4 * (len(analysis.thresholds) + 1) and set(arms.width) == {30, 100}
    assert set(arms.regime) == {"start and parametrisation"}


def test_the_diverged_runs_of_a_row_are_its_own_arms(study, analysis):
    made = runs(analysis, widths=(100,), arms=("batch", "none-standardized"))
    lost = (made.arm == "none-standardized") & (made.seed < FIRST + 2)
    made.loc[lost, ["status", "final_test_loss"]] = "diverged", np.nan
    rows = significance(made, study).query("role == 'exploratory' and column == 'final_test_loss'")
    assert dict(zip(rows.arm, rows.failed_arm, strict=True)) == {"batch": 0, "none-standardized": 2}
    assert (rows.failed_reference == 0).all()


def test_an_advantage_that_grows_with_the_width_is_a_trend(study, analysis):
    made = [
        runs(analysis, widths=(w,), speed=s, seed=w, count=30)
        for w, s in ((10, 1.0), (100, 0.8), (300, 0.6))
    ]
    table = significance(pd.concat(made), study)
    speed, final = table[table.role == "trend"].itertuples()
    assert speed.direction == "lower" and final.direction == "same"
    assert speed.quantity == "epochs to a train loss of 0.2258: d for ten times the width"
    assert (speed.allows, speed.bound, speed.regime) == ("", "", ARTICLE) and pd.isna(speed.width)
    assert np.isnan([speed.median_reference, speed.median_arm]).all()
    two = significance(pd.concat(made[:2]), study).query("role == 'trend'")
    assert list(two.n_pairs) == [0, 0], "no line through two widths"
    short = runs(analysis, widths=(1000,), count=10)
    more = significance(pd.concat([*made, short]), study)
    same = more[more.role == "trend"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, table[table.role == "trend"].reset_index(drop=True))


def test_trends_are_joined_by_seed(study, analysis):
    """A seed that one width lacks is left out at the others: d are not those of other seeds."""
    made = pd.concat(
        runs(analysis, widths=(w,), seed=w, count=30, spread=0.3) for w in (10, 100, 300)
    )
    column, failed = "epochs_to_0.2258", made.copy()
    which = (failed.width == 100) & (failed.seed == FIRST) & (failed.arm == "batch")
    failed.loc[which, column] = np.nan
    [row] = significance(failed, study).query("role == 'trend' and claim == 'C1'").itertuples()
    by_seed = made[made.seed != FIRST].pivot(index="seed", columns=["width", "arm"], values=column)
    d = [np.log(by_seed[w]["batch"] / by_seed[w]["none"]) for w in (10, 100, 300)]
    slopes = statistics.slopes(np.log10([10, 100, 300]), np.column_stack(d))
    assert row.n_pairs == 29 and row.ratio == pytest.approx(np.exp(slopes.mean()))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_pairs_are_not_estimable(study, analysis, count):
    table = significance(runs(analysis, count=count), study)
    assert set(table.direction) == {"not estimable"}
    assert table[table.role == "primary"].sentence.str.contains("not estimable").all()


def test_only_one_arm_is_not_estimable(study, analysis):
    made = runs(analysis)
    table = significance(made[made.arm == "none"], study)
    found = verdicts(table, study)
    assert found["C1", ARTICLE] == found["C2", ARTICLE] == "not estimable"


def test_runs_outside_the_grid_enter_no_test(study, analysis):
    made = runs(analysis)
    extra = made[made.seed == FIRST].assign(batch_size=50, final_test_loss=1e9)
    both = (tables(made), tables(pd.concat([made, extra])))
    pd.testing.assert_frame_equal(*(comparisons.significance(t, study) for t in both))


def test_tuning_seeds_enter_no_test(study, analysis):
    """Though they were trained at the chosen rate."""
    made = pd.concat([runs(analysis), tuned(analysis)])
    extra = made[made.seed == FIRST].assign(seed=0, final_test_loss=1e9)
    both = (tables(made), tables(pd.concat([made, extra])))
    pd.testing.assert_frame_equal(*(comparisons.significance(t, study) for t in both))


def test_adding_a_width_leaves_the_primary_numbers_alone(study, analysis):
    one, two = runs(analysis, widths=(300,)), runs(analysis, widths=(300, 500))
    columns = ["ratio", "ratio_low", "ratio_high", "p", "p_holm", "direction"]
    a, b = (comparisons.significance(tables(made), study) for made in (one, two))
    pd.testing.assert_frame_equal(
        a[a.role == "primary"][columns].reset_index(drop=True),
        b[b.role == "primary"][columns].reset_index(drop=True),
    )


def test_a_preview_says_so(study, analysis):
    preview = study.model_copy(update={"preview": True})
    table, whole = (significance(runs(analysis), of) for of in (preview, study))
    assert list(table.sentence) == [f"Preview, not the study: {text}" for text in whole.sentence]
    assert "nearest" not in table


# --- diverged runs --------------------------------------------------------------------------------


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


def values(made, column, width=300):
    table = pair_table(with_partner(made[made.width == width]), column, "batch", "none", "worst")
    return table["none"].to_numpy(), table["batch"].to_numpy()


def test_a_diverged_run_counts_against_its_arm(study, analysis):
    """As the loss of predicting the mean, or the largest of the cell; never as if it were not."""
    whole = runs(analysis)
    made = diverged(whole, "batch", [2003, 2004])
    table = significance(made, study)
    loss = primary(table, "C2").iloc[0]
    assert (loss.n_pairs, loss.failed_reference, loss.failed_arm) == (12, 0, 2)
    none, batch = values(made, "final_test_loss")
    assert np.isfinite(none).all() and list(batch[3:5]) == [1016 / 45] * 2
    assert loss.ratio > 1.5 and loss.direction != "same"
    assert "2 runs of batch and 0 of none diverged" in loss.sentence
    assert set(primary(table, "C3").n_pairs) == {10}
    assert len(values(made, "last_test_loss")[1]) == 12, "a NaN would drop the pair in silence"


def test_a_larger_loss_than_the_means_is_the_worst(study, analysis):
    made = runs(analysis)
    worst = made.index[(made.width == 300) & (made.arm == "none")][0]
    made.loc[worst, "final_test_loss"] = 1e6
    assert values(diverged(made, "batch", [2003]), "final_test_loss")[1][3] == 1e6


def test_one_arm_that_always_fails_is_worse(study, analysis):
    made = diverged(runs(analysis), "batch", range(2000, 2012))
    row = primary(significance(made, study), "C2").iloc[0]
    assert row.direction == "higher" and row.ratio > 100


def test_where_all_fail_nothing_is_estimable(study, analysis):
    made = runs(analysis)
    for arm in ("none", "batch"):
        made = diverged(made, arm, range(2000, 2012))
    table = significance(made, study)
    for claim in ("C2", "C3"):
        assert set(primary(table, claim).direction) == {"not estimable"}
    assert "12 runs of batch and 12 of none diverged" in primary(table, "C2").sentence.item()


# --- sensitivity, the page ------------------------------------------------------------------------


def test_sensitivity_says_where_another_analysis_changes_a_verdict(study, analysis):
    """Final losses 1.35 apart: the same within 1.5 and 2.25, not within 1.22."""
    made = tables(runs(analysis, final=1.35, spread=0.03))
    table = sensitivity(made, study)
    of_c2 = table[(table.claim == "C2") & (table.regime == ARTICLE)].set_index("choice")
    assert of_c2.verdict["as stated"] == of_c2.verdict["margins squared"] == "holds"
    assert of_c2.verdict["margins' square roots"] == "fails"
    assert of_c2.changed["margins' square roots"] and not of_c2.changed["margins squared"]
    assert of_c2.verdict["threshold 22.58"] == "", "it cannot act"
    cells = sum(len(claim.regimes) for claim in all_claims(analysis))
    assert len(table) == cells * len(alternatives(analysis, made["runs"]))
    assert next(iter(table)) == "choice" and list(table.index) == list(range(len(table)))
    assert not table.changed[table.verdict == ""].any()
    stated = table[table.choice == "as stated"].set_index(["claim", "regime"])
    claims = claims_table(comparisons.significance(made, study), study)
    claims = claims.set_index(["claim", "regime"])
    columns = ["verdict", "p_holm", "ratio", "ratio_low", "n_pairs"]
    pd.testing.assert_frame_equal(stated[columns], claims[columns])


def test_the_tunings_runner_up_decides_where_a_rate_was_chosen(study, analysis):
    """Here BN ends four times higher with the second best rates: C2 fails there, holds at the best
    ones, and where nothing was tuned the choice cannot act."""
    second = tuned(analysis, final=4.0).assign(tuned_rank=2)
    made = pd.concat([runs(analysis), tuned(analysis), second])
    table = sensitivity(tables(made), study)
    of_c2 = table[(table.claim == "C2") & (table.choice == "the tuning's runner-up")]
    of_c2 = of_c2.set_index("regime")
    assert of_c2.verdict[TUNED] == "fails" and of_c2.changed[TUNED]
    assert of_c2.verdict[ARTICLE] == ""
    stated = table[(table.claim == "C2") & (table.choice == "as stated")].set_index("regime")
    assert of_c2.ratio[ARTICLE] == stated.ratio[ARTICLE], "as it is without the choice"
    without = sensitivity(tables(made[made.tuned_rank == 1]), study)
    assert "the tuning's runner-up" not in set(without.choice)


@pytest.mark.parametrize(
    ("choice", "change"),
    [
        ("last epoch instead of the closing median", {"last_test_loss": 3.0}),
        ("train instead of test loss", {"final_train_loss": 3.0}),
        ("threshold 22.58", {"epochs_to_22.58": 4.0}),
    ],
)
def test_each_choice_looks_at_its_own_column(study, analysis, choice, change):
    made = runs(analysis)
    for column, factor in change.items():
        made.loc[made.arm == "batch", column] *= factor
    table = sensitivity(tables(made), study)
    changed = table[table.changed & (table.regime == ARTICLE) & (table.choice == choice)]
    assert len(changed) == 1 and changed.verdict.item() == "fails"


def test_half_of_the_seeds_are_the_first_ones(study, analysis):
    made = runs(analysis)
    late = (made.arm == "batch") & (made.seed >= FIRST + 6)
    made.loc[late, "epochs_to_0.2258"] *= 100
    table = sensitivity(tables(made), study).set_index(["choice", "claim", "regime"])
    assert table.ratio["half of the seeds", "C1", ARTICLE] == pytest.approx(0.5, rel=0.1)


def test_the_page_says_all_that_the_table_says(study, analysis):
    made = tables(runs(analysis, final=1.35, spread=0.03))
    table = claims_table(comparisons.significance(made, study), study)
    drawn = set(table.figure[:4])
    captions = {figure: (f"Title of {figure}", "what it shows") for figure in drawn}
    page = claims_page(table, sensitivity(made, study), captions)
    for claim in table.itertuples():
        assert claim.words in page and claim.summary in page and claim.evidence in page
        shown = f"![Title of {claim.figure}](figures/{claim.figure}.svg)" in page
        assert shown == (claim.figure in captions)
    assert "**A verdict changes** with another analysis: margins' square roots: fails" in page


def test_a_summary_names_every_regime_once(study, analysis):
    made = pd.concat([runs(analysis), tuned(analysis, speed=2.0)])
    table = claims_table(significance(made, study), study)
    [text] = set(table[table.claim == "C1"].summary)
    assert text.startswith(
        "Holds: as the article ran it (width 300, epochs to a train loss of 0.2258"
    )
    assert "; fails: tuned (" in text and "minibatches (width 100" in text


# --- the claims as data ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", members.names("claims"))
def test_a_claims_data_are_whole(name, study, analysis):
    """Each of its comparisons is measured on made-up tables and told in a sentence; its figure
    exists."""
    claim = next(c for c in all_claims(analysis) if c.name.lower() == name)
    assert claim.figure in members.names("figures")
    assert claim.words == members.load("claims", name).WORDS
    made = pd.concat([runs(analysis, arms=("batch", "batch-matched")), tuned(analysis)])
    table = significance(made, study)
    rows = table[(table.claim == claim.name) & (table.role == "primary")]
    assert len(rows) == len(claim.comparisons)
    rows = rows[~rows.regime.isin([MEAN_TASK, NEW_TASK])]  # see test_tasks
    assert set(rows.n_pairs) == {12}
    assert (rows.direction != "not estimable").all() and rows.sentence.str.endswith(".").all()


def test_what_decides_a_claim_is_named_as_it_was_published(default_config):
    """A name that changes is a column, or a sentence, that readers and `verify` do not find."""
    table = read_csv(Path(__file__).parents[2] / "published/extended/tables/significance.csv")
    names = ["claim", "regime", "arm", "reference", "quantity", "column", "of"]
    published = table.loc[table.role == "primary", names].fillna("").values.tolist()
    analysis = Study.from_config(default_config).analysis
    decide = [
        [claim.name, c.regime, c.arm, c.reference, c.quantity, c.column, c.of or ""]
        for claim in all_claims(analysis)
        for c in claim.comparisons
        if claim.name in set(table.claim)
    ]
    assert decide == published


@pytest.mark.parametrize("present", [(), ("runs",), ("gradients", "digits")], ids=str)
@pytest.mark.parametrize("absent", ["missing", "empty"])
def test_a_claim_without_its_cells_is_not_estimable(study, analysis, present, absent):
    made = tables(runs(analysis))
    for name in set(made) - set(present):
        made[name] = made[name][:0]
        if absent == "missing":
            del made[name]
    found = verdicts(comparisons.significance(made, study), study)
    for claim, regime, table in (
        ("C1", ARTICLE, "runs"),
        ("C3", ARTICLE, "runs"),
        ("C4", ARTICLE, "gradients"),
        ("C5", TUNED, "digits"),
    ):
        assert (found[claim, regime] == "not estimable") == (table not in present)
    stated = sensitivity(made, study)
    stated = stated[stated.choice == "as stated"].set_index(["claim", "regime"]).verdict
    pd.testing.assert_series_equal(stated, found)


def test_a_sixth_claim_is_a_file(study, analysis, monkeypatch, tmp_path):
    """It is tested beside the others, and the family grows by its comparison."""
    file = tmp_path / "c6.py"
    file.write_text(
        """
from bnstudy.analysis.hypotheses import ARTICLE, LOWER, Comparison

CLAIM, WORDS, FIGURE = "C6", "BN shortens paths", "features"


def comparisons(analysis):
    settings = {"width": analysis.primary.width}
    return [Comparison(ARTICLE, "final_path_norm", "path norm", "features", (LOWER,), settings)]
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
    assert verdicts(after, study)["C6", ARTICLE] == "holds"
    assert "path norm" in primary(after, "C6").sentence.item()
    assert (after.role == "primary").sum() == (before.role == "primary").sum() + 1
    same = ["claim", "regime", "role", "p", "ratio", "ratio_low"]
    old = after[(after.claim != "C6") & (after.role == "primary")].reset_index(drop=True)
    pd.testing.assert_frame_equal(old[same], before[before.role == "primary"][same])


def test_what_a_reviewer_would_ask_for(analysis):
    assert Choice() == Choice("as stated", {}, 1.0, "sign-flip", False, 1)
    of_both = pd.DataFrame({"tuned_rank": [1, 2]})
    *others, last = alternatives(analysis, of_both)
    assert last == Choice("the tuning's runner-up", rank=2)
    assert (
        others
        == alternatives(analysis, pd.DataFrame())
        == [
            Choice(),
            Choice("margins' square roots", power=0.5),
            Choice("margins squared", power=2.0),
            Choice(
                "last epoch instead of the closing median", {"final_test_loss": "last_test_loss"}
            ),
            Choice("train instead of test loss", {"final_test_loss": "final_train_loss"}),
            *(
                Choice(f"threshold {other}", {"epochs_to_0.2258": f"epochs_to_{other}"})
                for other in ("22.58", "1.244", "0.02258", "0.002258")
            ),
            Choice("Wilcoxon", test="Wilcoxon"),
            Choice("t test", test="t"),
            Choice("half of the seeds", half=True),
        ]
    )


# --- pairs ----------------------------------------------------------------------------------------


def test_the_pairs_of_a_comparison_are_in_the_order_of_their_seeds(study, analysis):
    """Whatever the order of the runs; a run that diverged counts with its arm."""
    made = runs(analysis, widths=(300,), count=7)
    made.loc[(made.arm == "none") & (made.seed < FIRST + 2), "reached_0.2258"] = False
    made.loc[(made.arm == "batch") & (made.seed == FIRST + 3), "reached_0.2258"] = False
    made.loc[(made.arm == "batch") & (made.seed > FIRST + 3), "status"] = "diverged"
    made.loc[(made.arm == "none") & (made.seed == FIRST), "status"] = "diverged"
    speed = all_claims(analysis)[0].comparisons[0]
    pairs = comparisons.measure(speed, {"runs": made.sample(frac=1, random_state=0)}, study)
    none, batch = (
        made[made.arm == arm]["epochs_to_0.2258"].to_numpy() for arm in ("none", "batch")
    )
    np.testing.assert_array_equal(pairs.reference, none)
    np.testing.assert_array_equal(pairs.arm, batch)
    np.testing.assert_allclose(pairs.d, np.log(batch / none))
    reference, arm = pairs.censored
    assert list(reference) == [True] * 2 + [False] * 5
    assert list(arm) == [False] * 3 + [True] + [False] * 3
    assert pairs.failed == (1, 3) and pairs.reason == ""
    half = pairs.first_half()
    for ours, whole in (
        (half.reference, none),
        (half.arm, batch),
        (half.d, pairs.d),
        (half.censored[0], reference),
        (half.censored[1], arm),
    ):
        assert list(ours) == list(whole[:4])
    assert half.failed == (1, 3)


def test_what_is_never_censored_is_not(study, analysis):
    made = runs(analysis, widths=(300,), count=7)
    end = all_claims(analysis)[1].comparisons[0]
    pairs = comparisons.measure(end, {"runs": made}, study)
    assert [list(each) for each in pairs.censored] == [[False] * 7] * 2


@pytest.mark.parametrize("table", ["runs", "gradients", "digits"])
def test_without_a_table_there_are_no_pairs(study, table):
    pairs = comparisons.measure(replace(ONE, table=table), {}, study)
    assert [len(values) for values in (pairs.reference, pairs.arm, pairs.d)] == [0, 0, 0]
    assert [len(each) for each in pairs.censored] == [0, 0] and pairs.failed == (0, 0)


def test_a_choice_is_of_its_own_column_and_rank(analysis):
    """And leaves alone what it does not name."""
    speed = all_claims(analysis)[0].comparisons[0]
    assert Choice(half=True, test="t").of(speed) == speed
    other = Choice(columns={"epochs_to_0.2258": "epochs_to_1.244"})
    assert other.of(speed) == replace(speed, column="epochs_to_1.244") and other.acts_on(speed)
    assert not Choice(columns={"final_test_loss": "x"}).acts_on(speed)
    second = Choice(rank=2)
    assert not second.acts_on(speed)
    tuned_speed = all_claims(analysis)[0].comparisons[1]
    assert second.acts_on(tuned_speed)
    assert second.of(tuned_speed).settings == {**tuned_speed.settings, "tuned_rank": 2}


def test_the_first_half_is_of_every_part(analysis):
    """Of 13 pairs the first seven."""
    pairs = measured(np.arange(13.0), (2, 9), failed=(3, 4), reason="x")
    half = pairs.first_half()
    for name in ("reference", "arm", "d"):
        assert list(getattr(half, name)) == list(getattr(pairs, name)[:7])
    assert [list(each) for each in half.censored] == [[True] * 2 + [False] * 5, [True] * 7]
    assert half.failed == (3, 4) and half.reason == "x"


def test_the_flip_of_a_name_is_two_sided_with_its_own_random_numbers(analysis):
    d = np.random.default_rng(3).normal(0.3, 0.5, size=30)
    expected = statistics.sign_flip(
        d, rng=comparisons.generator_of(analysis, "a", 1), resamples=analysis.permutations
    )
    assert comparisons.flip(d, analysis, "a", 1)() == expected
    strict = analysis.model_copy(update={"alpha": 0.01})
    with pytest.raises(statistics.NotEstimable, match="8 needed"):
        comparisons.flip(d[:7], strict, "a")()


def test_epochs_to_a_threshold_are_fields_of_a_comparison():
    assert epochs_to(0.0225800, of="x") == {
        "column": "epochs_to_0.02258",
        "quantity": "epochs to a train loss of 0.02258",
        "margin": "epochs",
        "diverged": "slowest",
        "of": "x",
    }


# --- one row, by hand -----------------------------------------------------------------------------

ONE = Comparison(
    "a regime",
    "a_column",
    "a quantity",
    "losses",
    ("lower", "same"),
    {"width": 7, "learning_rate": 0.1},
    arm="arm",
    reference="reference",
    of="a part",
    claim="C9",
)


def measured(d, censored=(0, 0), **others):
    """Pairs with these d, of which the first so many of the reference and of the arm are
    censored."""
    d = np.array(d, dtype=float)
    reference = 1.0 + np.arange(len(d)) ** 2
    flags = tuple(np.arange(len(d)) < count for count in censored)
    return Measured(reference, reference * np.exp(d), d, flags, **others)


def test_a_row_says_what_was_compared_and_measured(analysis):
    """Every number from its own test, by name; p_lower and p_higher are those at margin 1.5."""
    d = 0.1 * np.array([-3, 1, 2, -1, 4, 2, -2, 5, 1, -4, 3, 6]) - 0.6
    pairs = measured(d, (2, 1), failed=(3, 4))
    allows = replace(ONE, allows=("lower", "same", "higher"))
    row = comparisons._row(allows, pairs, "a role", analysis)
    [below, low], [high, _] = statistics.sign_flips(
        d, np.log([1.5, 1 / 1.5]), rng=np.random.default_rng(0)
    )
    assert row == comparisons.effect_of(d, analysis) | {
        "claim": "C9",
        "regime": "a regime",
        "role": "a role",
        "arm": "arm",
        "reference": "reference",
        "width": 7,
        **dict.fromkeys(["task", "inputs", "optimizer", "batch_size", "epochs"]),
        "quantity": "a quantity",
        "column": "a_column",
        "of": "a part",
        "margin": 1.5,
        "allows": "lower or same or higher",
        "median_reference": (1 + 25 + 1 + 36) / 2,
        "median_arm": np.median(pairs.arm),
        "n_pairs": 12,
        "bound": "about",
        "censored_reference": 2,
        "censored_arm": 1,
        "failed_reference": 3,
        "failed_arm": 4,
        "p_lower": 2 * below,
        "p_same": max(low, high),
        "p_higher": 1,
        "p": pytest.approx(np.nan, nan_ok=True),
        "nearest": "",
        "at_floor": False,
        "reason": "too many runs never reached the threshold",
    }


def test_what_the_margin_and_the_claim_allow_is_what_is_tested(analysis):
    d = 0.1 * np.arange(12) - 0.2
    row = comparisons._row(ONE, measured(d), "primary", analysis, Choice(power=2.0))
    [[below, above]] = statistics.sign_flips(d, -2 * np.log([1.5]), rng=np.random.default_rng(0))
    assert row["margin"] == 1.5**2 and row["allows"] == "lower or same"
    assert row["p_not_higher"] == row["p"] == below and row["nearest"] == "not higher"
    assert row["p_higher"] == min(1, 2 * above) and "p_same" not in row and row["reason"] == ""


@pytest.mark.parametrize(
    ("test", "tails"), [("Wilcoxon", statistics.wilcoxon_tails), ("t", statistics.t_tails)]
)
def test_another_test_is_another_p(analysis, test, tails):
    d = 0.1 * np.arange(12) - 0.2
    row = comparisons._row(ONE, measured(d), "primary", analysis, Choice(test=test))
    [[below, _]] = tails(d, -np.log([1.5]))
    assert row["p"] == below


@pytest.mark.parametrize(
    ("counts", "bound"),
    [((0, 0), ""), ((1, 0), "at most"), ((0, 1), "at least"), ((1, 1), "about")],
)
def test_a_bound_is_named_by_whose_runs_are_censored(analysis, counts, bound):
    row = comparisons._row(ONE, measured(np.arange(12.0), counts), "primary", analysis)
    assert row["bound"] == bound


@pytest.mark.parametrize(("count", "floor"), [(30, True), (12, False)])
def test_p_is_at_its_floor_where_no_pattern_is_as_extreme(analysis, count, floor):
    """Doubled: 2 of 5,000 of the random patterns, of 12 pairs 2 of all 4,096."""
    d = 5 + 0.1 * np.arange(count)
    row = comparisons._row(ONE, measured(d), "primary", analysis)
    assert row["p"] == 2 / (5000 if floor else 4096) and row["at_floor"] == floor
    few = analysis.model_copy(update={"permutations": 4096})  # random ones could give 2 of 4,097
    row = comparisons._row(ONE, measured(d), "primary", few)
    assert row["at_floor"] == floor


def test_the_level_decides_how_many_pairs_a_row_needs(analysis):
    """At 1 % 8 pairs, whichever the test is."""
    strict, pairs = analysis.model_copy(update={"alpha": 0.01}), measured(np.arange(7.0))
    for test in ("sign-flip", "Wilcoxon", "t"):
        row = comparisons._row(ONE, pairs, "primary", strict, Choice(test=test))
        assert row["reason"] == "too few pairs: 7, 8 needed" and np.isnan(row["ratio"])
        assert np.isnan(row["p"]) and row["nearest"] == "" and row["n_pairs"] == 7
        assert "p_higher" not in row and row["at_floor"] is False
        assert comparisons._row(ONE, pairs, "primary", analysis, Choice(test=test))["p"] < 1


def test_a_reason_to_say_nothing_is_the_rows(analysis):
    row = comparisons._row(ONE, measured(np.arange(12.0), reason="an edge"), "primary", analysis)
    assert row["reason"] == "an edge" and np.isnan(row["p"]) and "p_higher" not in row
    assert row["ratio"] == pytest.approx(np.exp(5.5))
    both = measured(np.arange(12.0), (12, 12), reason="an edge")
    row = comparisons._row(ONE, both, "primary", analysis)
    assert row["reason"] == "no run reached the threshold" and np.isnan(row["ratio"])
    one = comparisons._row(ONE, measured(np.arange(12.0), (12, 11)), "primary", analysis)
    assert one["reason"] != row["reason"] and one["n_pairs"] == row["n_pairs"] == 12
    single = comparisons._row(ONE, measured([1.0], (1, 1)), "primary", analysis)
    assert single["reason"] == row["reason"]


@pytest.mark.filterwarnings("error")
def test_no_pairs_have_no_medians(analysis):
    row = comparisons._row(ONE, measured([]), "primary", analysis)
    assert np.isnan(row["median_reference"]) and np.isnan(row["median_arm"])
    assert row["reason"] == "no differences" and row["n_pairs"] == 0


def test_each_comparison_has_random_numbers_of_its_own(analysis):
    d = np.random.default_rng(3).normal(0.3, 0.3, size=30)

    def p(comparison, seed=0):
        of = analysis.model_copy(update={"seed": seed})
        return comparisons._row(comparison, measured(d), "primary", of)["p"]

    assert p(ONE) == p(ONE)
    assert len({p(ONE), p(replace(ONE, regime="other")), p(ONE, 1)}) == 3
    expected = statistics.sign_flips(
        d,
        -np.log([1.5]),
        rng=comparisons.generator_of(analysis, ONE.name),
        resamples=analysis.permutations,
    )
    assert p(ONE, analysis.seed) == expected[0, 0]
    assert ONE.name == "C9, a regime, arm, a_column, a part, width 7, learning_rate 0.1"
    same = np.random.default_rng([analysis.seed, *b"C9 7"])
    assert comparisons.generator_of(analysis, "C9", 7).integers(2**60) == same.integers(2**60)


def test_the_size_of_an_effect(analysis):
    """Of d = 0 … 9: mean 4.5, variance 55/6 (n (n + 1)/12), no skewness; the interval's half width
    is t(.975, 9) = 2.262157 standard errors."""
    sd = np.sqrt(55 / 6)
    half = 2.2621571628 * sd / np.sqrt(10)
    row = comparisons.effect_of(np.arange(10.0), analysis)
    assert row == {
        "n_pairs": 10,
        "ratio": pytest.approx(np.exp(4.5)),
        "ratio_low": pytest.approx(np.exp(4.5 - half)),
        "ratio_high": pytest.approx(np.exp(4.5 + half)),
        "sd_log_ratio": pytest.approx(sd),
        "skewness": pytest.approx(0, abs=1e-12),
        "detectable_ratio": np.exp(statistics.smallest_detectable_difference(sd, 10, 0.05, 0.8)),
    }
    wide = comparisons.effect_of(np.arange(10.0), analysis.model_copy(update={"alpha": 0.01}))
    assert wide["ratio_low"] < row["ratio_low"] and wide["ratio_high"] > row["ratio_high"]
    assert wide["detectable_ratio"] > row["detectable_ratio"]
    strict = comparisons.effect_of(np.arange(7.0), analysis.model_copy(update={"alpha": 0.01}))
    assert np.isnan(strict["skewness"]), "too few pairs at that level"
    assert np.isfinite(comparisons.effect_of(np.arange(7.0), analysis)["skewness"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("d", "spread"),
    [([], np.nan), ([1], np.nan), ([1, 2], np.sqrt(0.5)), ([1, 1], 0), ([np.inf, 1, 2], np.nan)],
)
def test_the_size_of_an_effect_that_is_not_estimable(analysis, d, spread):
    """Two pairs have a spread, and so a difference that two such pairs would show."""
    row = comparisons.effect_of(np.array(d, dtype=float), analysis)
    assert row.pop("n_pairs") == len(d)
    assert row.pop("sd_log_ratio") == pytest.approx(spread, nan_ok=True)
    assert np.isfinite(row.pop("detectable_ratio")) == (spread > 0)
    assert np.isnan(list(row.values())).all()


def test_what_a_rate_does_stands_beside_what_bn_does(study, analysis):
    """At the article's rate BN halves the epochs; tuned, all need a tenth, and BN four fifths."""
    usual = runs(analysis, [300])
    best = {"learning_rate": 0.1, "schedule": "cosine"}
    chosen = runs(analysis, [300], speed=0.8, tuned_for="epochs_to_0.2258", **best)
    chosen["epochs_to_0.2258"] /= 10
    table = significance(pd.concat([usual, chosen], ignore_index=True), study)
    [line] = tuning_beside_bn(table)
    row = primary(table, "C1").iloc[0]
    assert f"from {row.median_reference:,.0f} to {row.median_reference / 10:.3g};" in line
    assert f"BN's ratio is {row.ratio:.2f}" in line and "0.8" in line.split("rate, and ")[1]


def test_the_verdicts_are_counted(study, analysis):
    table = claims_table(significance(runs(analysis), study), study)
    first = tally(table)[0]
    regimes = len(table[table.claim == "C1"])
    assert first == f"C1, of {regimes} regimes: holds in 1, not estimable in {regimes - 1}."


def tuned_at(analysis, seed, **settings):
    """Ten pairs tuned for the final loss at the width for minibatches."""
    best = {"learning_rate": 0.1, "schedule": "cosine", "tuned_for": "final_test_loss"}
    made = runs(analysis, [analysis.minibatches.width], 10, seed=seed, **best | settings)
    return made.astype({"batch_size": str})


def test_an_effect_on_the_loss_that_fades_with_the_budget_is_a_trend(study, analysis):
    """ln(final) is -0.9, -0.6, -0.3 at 100, 1,000, 10,000 epochs: 0.3 for ten times the budget."""
    made = [
        tuned_at(analysis, i, final=np.exp(-0.9 + 0.3 * i), epochs=10 ** (2 + i)) for i in range(3)
    ]
    table = significance(pd.concat(made), study)
    [row] = table[table.quantity.str.endswith("d for ten times the budget")].itertuples()
    assert np.log(row.ratio) == pytest.approx(0.3, abs=0.05) and row.n_pairs == 10
    two = significance(pd.concat(made[1:]), study)
    assert not two.quantity.str.contains("ten times the budget").any()


def test_an_excess_that_is_inverse_to_the_batch_size_is_a_trend(study, analysis):
    """A loss of none times 1 + 100/size: what is above none falls tenfold for ten times the size.
    The full batch does not count."""
    points = study.dataset.train_size
    made = [
        tuned_at(
            analysis,
            size,
            final=1 + 100 / size,
            spread=0.001,
            batch_size=size if size < points else "full",
            epochs=size * 10,
        )
        for size in (10, 100, 250, points)
    ]
    table = significance(pd.concat(made), study)
    [row] = table[table.quantity.str.contains("above none")].itertuples()
    assert row.ratio == pytest.approx(0.1, rel=0.02) and row.arm == "batch"


def test_every_arm_is_compared_with_none_wherever_both_are_tuned(study, analysis):
    made = pd.concat(
        [
            tuned_at(analysis, 1, arms=("batch", "centred")),
            tuned_at(analysis, 2, optimizer="sgd"),
            tuned_at(analysis, 3, arms=("scaled",), epochs=300).query("arm == 'scaled'"),
            tuned_at(analysis, 4, tuned_rank=2, epochs=77),
            tuned_at(analysis, 5, first=0, epochs=88),
        ],
        ignore_index=True,
    )
    table = significance(made, study).query("role == 'tuned'")
    assert list(zip(table.arm, table.optimizer, table.epochs, strict=True)) == [
        ("batch", "adam", 10_000),
        ("centred", "adam", 10_000),
        ("batch", "sgd", 10_000),
    ]
    assert set(table.column) == {"final_test_loss"} and set(table.n_pairs) == {10}


def test_rows_of_tuned_arms_are_on_what_they_are_tuned_for_in_the_runs_order(study, analysis):
    made = [tuned_at(analysis, 1), tuned_at(analysis, 2, tuned_for="epochs_to_0.2258")]
    table = significance(pd.concat(made, ignore_index=True), study).query("role == 'tuned'")
    assert list(table.column) == ["final_test_loss", "epochs_to_0.2258"]
    assert table.quantity.str.startswith("epochs").tolist() == [False, True]
    assert set(table.regime) == {TUNED}


# --- where a choice acts, and MNIST-1D ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "acts"),
    [
        ({"half": True}, ["runs"]),  # tasks' pairs are tasks
        ({"test": "t"}, ["runs"]),
        ({"half": True, "test": "t"}, ["runs"]),
        ({"power": 2.0}, ["runs", "tasks"]),
        ({"columns": {"epochs_to_0.2258": "epochs_to_1.244"}}, ["runs", "tasks"]),
        ({"columns": {"final_test_loss": "last_test_loss"}}, []),
    ],
    ids=str,
)
def test_a_choice_acts_where_it_can_change_something(analysis, options, acts):
    speed = all_claims(analysis)[0].comparisons
    by_table = {comparison.table: comparison for comparison in speed}
    assert set(by_table) == {"runs", "tasks"}
    assert [t for t, one in sorted(by_table.items()) if Choice("x", **options).acts_on(one)] == acts


def test_the_networks_of_c5_are_compared_on_mnist1d_where_it_was_trained(study, analysis):
    """Exploratory, in the order of what C5 asks: the dense network, the convolutional, their ratio;
    each beside that on digits."""
    made = tables(runs(analysis), 12) | {"mnist1d": digits(ratios=(0.5, 2.0))}
    table = comparisons.significance(made, study)
    rows = table[table.regime == "tuned on MNIST-1D"]
    assert set(rows.role) == {"exploratory"} and set(rows.claim) == {"C5"}
    np.testing.assert_allclose(rows.ratio, [0.5, 2, 4], rtol=0.05)
    on_digits = primary(table, "C5", "tuned")
    assert list(rows.quantity) == [q.replace(" on digits", "") for q in on_digits.quantity]
    without = comparisons.significance(made | {"mnist1d": digits()[:0]}, study)
    assert "tuned on MNIST-1D" not in set(without.regime)
