"""Curves to one number a run, runs to one number a pair."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from made_up import gradients, runs

from bnstudy.analysis import outcomes
from bnstudy.analysis.outcomes import (
    at_settings,
    by_batch_size,
    cell_pairs,
    censored_pairs,
    digits_pairs,
    epochs_to,
    failures,
    failures_as_worst,
    final_loss,
    gradient_pairs,
    grid_runs,
    layer_factor,
    layer_factors,
    log_ratio,
    log_ratio_of,
    pair_table,
    thinned_epochs,
    threshold_columns,
    with_partner,
)
from bnstudy.config.models import Study
from bnstudy.experiment.data import ARTICLE_VARIANCE
from bnstudy.experiment.schedules import log_spaced_epochs


def test_final_loss_is_the_median_of_the_closing_window():
    losses = np.array([[9.0, 1, 2, 100], [9.0, 4, 5, 6]])
    np.testing.assert_array_equal(final_loss(losses, 3), [2, 5])
    np.testing.assert_array_equal(final_loss(losses, 500), [5.5, 5.5])


def test_a_diverged_run_ends_at_infinity():
    assert final_loss(np.array([1.0, np.nan]), 2) == np.inf
    assert final_loss(np.array([1.0, np.inf]), 2) == np.inf
    np.testing.assert_array_equal(final_loss(np.array([[1, np.nan], [2, 3]]), 2), [np.inf, 2.5])


def test_epochs_to_a_threshold():
    losses = np.array([[5.0, 2, 3, 1], [5.0, 4, 4, 4], [2.0, 9, 9, 9], [np.nan, np.nan, 2, 2]])
    epochs, reached = epochs_to(losses, 2.0)
    np.testing.assert_array_equal(epochs, [2, 4, 1, 3])
    np.testing.assert_array_equal(reached, [True, False, True, True])
    assert epochs_to(np.full((4, 1, 5), 3.0), 2.0)[0].tolist() == [[5]] * 4


def test_log_spaced_epochs():
    epochs = log_spaced_epochs(10_000, 290)
    assert epochs[0] == 0 and epochs[-1] == 9_999
    assert len(epochs) <= 290 and (np.diff(epochs) > 0).all()
    np.testing.assert_array_equal(log_spaced_epochs(1, 290), [0])
    np.testing.assert_array_equal(log_spaced_epochs(1000, 4), [0, 9, 99, 999])
    assert len(log_spaced_epochs(1000, 0)) == 0


def test_thinned_epochs_are_all_of_a_short_run_and_few_of_a_long_one():
    np.testing.assert_array_equal(thinned_epochs(900), np.arange(900))
    epochs = thinned_epochs(1_000_000)
    assert epochs[0] == 0 and epochs[-1] == 999_999
    assert 1000 <= len(epochs) <= 1300 and (np.diff(epochs) > 0).all()
    even, log_spaced = np.linspace(0, 123_456, 1000).astype(int), log_spaced_epochs(123_457, 300)
    assert set(thinned_epochs(123_457)) == {*even, *log_spaced}


def test_the_columns_of_a_threshold():
    assert threshold_columns(0.25) == ("epochs_to_0.25", "reached_0.25")
    assert threshold_columns(1e-9) == ("epochs_to_1e-09", "reached_1e-09")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 99},
        {"batch_size": 50},
        {"batch_size": "50"},
        {"learning_rate": 0.01},
        {"task": "odd"},
        {"label_noise": 0.1},
        {"epochs": 20_000},
    ],
    ids=str,
)
def test_the_grid_is_what_the_defaults_and_the_studys_seeds_say(config, change):
    study = Study.from_config(config)
    made = runs(study.analysis, arms=("batch", "dropout"), count=3)
    assert len(grid_runs(made, study)) == len(made) == 2 * 3 * 3
    assert grid_runs(made.assign(**change), study).empty


@pytest.mark.parametrize("size", [50, "50"])
def test_a_batch_size_may_be_read_as_a_number_or_a_text(config, size):
    config["defaults"]["batch_size"] = 50
    study = Study.from_config(config)
    made = runs(study.analysis, count=3)
    assert len(grid_runs(made.assign(batch_size=size), study)) == len(made)
    assert grid_runs(made, study).empty


# --- pairs ----------------------------------------------------------------------------------------


def of_seeds(column="loss", status="finished", **arms):
    """A run per arm and seed: arm → {seed: value}."""
    return pd.DataFrame(
        [(arm, seed, value) for arm, values in arms.items() for seed, value in values.items()],
        columns=["arm", "seed", column],
    ).assign(status=status)


def test_partners_share_a_seed_whatever_other_arms_have():
    made = of_seeds(none={1: 1, 2: 2, 3: 3}, batch={2: 4, 3: 5, 4: 6}, layer={1: 7, 2: 8, 5: 9})
    assert list(with_partner(made).loss) == [2, 3, 4, 5]
    assert list(with_partner(made, "layer").loss) == [1, 2, 7, 8]
    assert list(with_partner(made, "layer", "batch").loss) == [4, 8]


def test_a_table_of_pairs_is_in_the_order_of_the_seeds():
    table = pair_table(
        of_seeds(batch={3: 1.5, 1: 2.5}, none={1: 3.5, 3: 4.5}), "loss", "batch", "none", "worst"
    )
    assert list(table) == ["none", "batch"] and list(table.index) == [1, 3]
    np.testing.assert_array_equal(table, [[3.5, 2.5], [4.5, 1.5]])


@pytest.mark.parametrize("made", [of_seeds(), of_seeds(none={1: 1.0}, batch={1: 2.0})])
def test_without_the_column_there_are_no_pairs(made):
    table = pair_table(made, "another", "batch", "none", "worst")
    assert table.shape == (0, 2) and list(table) == ["none", "batch"]
    assert set(table.dtypes) == {np.dtype(float)}


@pytest.mark.parametrize(
    ("column", "diverged", "expected"),
    [
        ("test_loss", "worst", {1: ARTICLE_VARIANCE, 2: 0.2, 3: 0.3}),  # as of the mean, at least
        ("jacobian", "worst", {1: 0.4, 2: 0.2, 3: 0.3}),
        ("jacobian", "left out", {2: 0.2, 3: 0.3}),
    ],
)
def test_a_run_that_diverged_is_the_worst_or_left_out(column, diverged, expected):
    made = of_seeds(column, none={1: 0.4, 2: 0.1, 3: 0.1}, batch={1: np.nan, 2: 0.2, 3: 0.3})
    table = pair_table(made, column, "batch", "none", diverged)
    assert table.batch.to_dict() == expected and list(table.index) == list(expected)


def test_what_is_not_finite_becomes_the_worst():
    values = pd.Series([1.0, np.inf, 3.0, np.nan])
    assert list(failures_as_worst(values, 2.0)) == [1, 3, 3, 3]
    assert list(failures_as_worst(values, 5.0)) == [1, 5, 3, 5]
    assert list(failures_as_worst(values[[0, 2]], 5.0)) == [1, 3]
    assert list(failures_as_worst(values[[1]], 5.0)) == [np.inf], "nothing to compare"


def test_failures_are_counted_by_arm():
    made = of_seeds(none={1: 0, 2: 0, 3: 0}, batch={1: 0, 2: 0, 3: 0}, layer={1: 0})
    made.loc[[0, 3, 4, 6], "status"] = "diverged"
    assert failures(made) == (1, 2)
    assert failures(made, "layer", "batch") == (2, 1)
    assert [type(count) for count in failures(made)] == [int, int]


def test_log_ratios_are_of_the_arm_over_none_by_seed():
    """A loss that is not finite counts as the worst, unless such pairs are left out."""
    made = of_seeds(none={2: 4.0, 1: 2.0, 3: 1.0}, layer={1: 1.0, 2: 8.0}, batch={1: 6.0, 4: 1.0})
    np.testing.assert_allclose(log_ratio(made, "loss"), [math.log(3)])
    np.testing.assert_allclose(log_ratio(made, "loss", "layer"), [-math.log(2), math.log(2)])
    made.loc[made.arm == "layer", "loss"] = [np.nan, 8.0]
    np.testing.assert_allclose(log_ratio(made, "loss", "layer"), [math.log(4), math.log(2)])
    np.testing.assert_allclose(log_ratio(made, "loss", "layer", "left out"), [math.log(2)])


def test_ratios_of_what_vanished_or_overflowed_are_made_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d = log_ratio_of(np.array([1, 0, 2, -1]), np.array([0, 1, 4, 1]))
        np.testing.assert_array_equal(d, [-np.inf, np.inf, math.log(4) - math.log(2), np.nan])
        factors = layer_factor(np.array([8.0, 0, 1, -1]), np.array([1.0, 0, 0, 1]), 4)
    np.testing.assert_allclose(factors, [2, np.nan, np.inf, np.nan])


def test_gradients_of_the_articles_weights_and_of_critical_ones_are_told_apart():
    """One that vanished, of the first layer of none's first seed, is no number and no warning."""
    made = gradients(3)
    vanished = (made.layer == 1) & (made.arm == "none") & (made.seed == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for of, (none, batch) in {"unscaled": (2.4, 1.1), "fan-in": (1 / 0.9, 1.05)}.items():
            found = gradient_pairs(made, of)
            assert [(each.dtype, each.any()) for each in found[3]] == [(bool, False)] * 2
            np.testing.assert_allclose(found[0], [none] * 3, rtol=0.05)
            np.testing.assert_allclose(found[1], [batch] * 3, rtol=0.05)
            lost = gradient_pairs(made.assign(gradient_norm=made.gradient_norm * ~vanished), of)
            assert list(np.isfinite(lost[2])) == [False, True, True]
            overflowed = made.assign(gradient_norm=made.gradient_norm.where(~vanished, np.inf))
            assert list(np.isfinite(gradient_pairs(overflowed, of)[2])) == [False, True, True]
            of_both = made.gradient_norm * ~((made.layer == 1) & (made.seed == 0))
            lost = gradient_pairs(made.assign(gradient_norm=of_both), of)
            assert list(np.isnan(lost[2])) == [True, False, False], "infinity less infinity"
            assert list(np.isfinite(gradient_pairs(made, of)[2])) == [True] * 3


def test_the_factors_of_a_stack_are_by_its_depth_and_cell():
    """Norms that grow by 2.4 a layer on their way back, by 1.1 with BN, in stacks of 3 and 5."""
    factors = layer_factors(gradients(2)).sort_index()
    assert list(factors.index.names) == ["depth", "initialization", "scale", "arm", "seed"]
    assert len(factors) == 2 * 3 * 2 * 2
    for depth in (3, 5):
        np.testing.assert_allclose(factors[depth, "unscaled", 10.0, "none"], 2.4, rtol=0.05)
        np.testing.assert_allclose(factors[depth, "unscaled", 10.0, "batch"], 1.1, rtol=0.05)
        np.testing.assert_allclose(factors[depth, "fan-in", 0.5, "none"], 0.4, rtol=0.05)


def test_differences_measure_the_distance_from_a_factor_of_1():
    """Norms 8, 4, 2 double a layer, 2, 6, 18 shrink to a third: |ln 1/3| - |ln 2| = ln 1.5."""
    fields = {"depth": 3, "initialization": "fan-in", "scale": 1.0}
    rows = [
        {**fields, "arm": arm, "seed": seed, "layer": layer, "gradient_norm": g}
        for seed in (1, 2)
        for arm, norms in (("none", (8, 4, 2)), ("batch", (2, 6, 18) if seed == 1 else (5, 5, 5)))
        for layer, g in enumerate(norms, start=1)
    ]
    none, batch, d, _ = gradient_pairs(pd.DataFrame(rows), "fan-in")
    assert none == pytest.approx([2, 2]) and batch == pytest.approx([3, 1])
    assert d == pytest.approx([math.log(1.5), -math.log(2)])
    assert gradient_pairs(pd.DataFrame(rows), "unscaled")[2].shape == (0,)


def test_the_worst_size_is_each_seeds_and_arms_own_and_in_the_deepest_stacks():
    """max(f, 1/f) at σ_w = 0.5 and 2: none 4 and 3, then 2 and 3; batch 1.1 and 1.2, then 1.2 and
    1. The article's weights and the shallower stacks, though worse, are not asked."""
    factors = {
        (3, 0.5): {"none": (1 / 4, 2), "batch": (1.1, 1.2)},
        (3, 2.0): {"none": (3, 1 / 3), "batch": (1 / 1.2, 1)},
        (2, 2.0): {"none": (9, 9), "batch": (9, 9)},
    }
    rows = [
        (depth, name, scale, arm, seed, layer, (f if name == "fan-in" else 9) ** -layer)
        for (depth, scale), by_arm in factors.items()
        for name in ("fan-in", "unscaled")
        for arm, pair in by_arm.items()
        for seed, f in enumerate(pair)
        for layer in range(1, depth + 1)
    ]
    columns = ["depth", "initialization", "scale", "arm", "seed", "layer", "gradient_norm"]
    none, batch, d, _ = gradient_pairs(pd.DataFrame(rows, columns=columns), "worst")
    assert none == pytest.approx([4, 3]) and batch == pytest.approx([1.2, 1.2])
    assert d == pytest.approx([math.log(1.2 / 4), math.log(1.2 / 3)])


def test_log_ratios_are_paired_by_seed():
    rows = [
        ("dense", "none", 2, 8, True),
        ("dense", "batch", 2, 4, True),
        ("dense", "batch", 1, 6, False),
        ("dense", "none", 1, 2, True),
        *(("convolutional", arm, seed, 3, True) for arm in ("none", "batch") for seed in (1, 2)),
    ]
    columns = ["network", "arm", "seed", "epochs_to_threshold", "reached"]
    table = pd.DataFrame(rows, columns=columns)
    _, _, d, (none, batch) = digits_pairs(table, "dense")
    assert d == pytest.approx([math.log(3), math.log(0.5)])
    assert not none.any() and list(batch) == [True, False]
    assert digits_pairs(table, "another")[2].shape == (0,)
    dense, convolutional, d, (of_dense, of_convolutional) = digits_pairs(table, "interaction")
    assert d == pytest.approx([math.log(1 / 3), math.log(2)])
    assert dense == pytest.approx([3, 0.5]) and convolutional == pytest.approx([1, 1])
    assert list(of_dense) == [True, False] and not of_convolutional.any()


def test_the_interaction_needs_both_networks():
    """Two seeds, on which BN takes 1/2 and 1/4 of the epochs, of the other network's 2 and 1."""
    columns = ["network", "seed", "arm", "epochs_to_threshold", "reached"]
    rows = [
        ("dense", 1, "none", 8, False),
        ("dense", 1, "batch", 4, True),
        ("dense", 2, "none", 8, True),
        ("dense", 2, "batch", 2, True),
        ("convolutional", 1, "none", 3, True),
        ("convolutional", 1, "batch", 6, True),
        ("convolutional", 2, "none", 3, True),
        ("convolutional", 2, "batch", 3, False),
    ]
    table = pd.DataFrame(rows, columns=columns)
    reference, arm, d, censored = digits_pairs(table, "interaction")
    np.testing.assert_allclose(reference, [1 / 2, 1 / 4])
    np.testing.assert_allclose(arm, [2, 1])
    np.testing.assert_allclose(d, [math.log(4), math.log(4)])
    assert [list(each) for each in censored] == [[True, False], [False, True]]
    for alone in ("dense", "convolutional"):
        parts = digits_pairs(table[table.network == alone], "interaction")
        assert [len(part) for part in (*parts[:3], *parts[3])] == [0] * 5
    none, batch, d, _ = digits_pairs(table.astype({"epochs_to_threshold": object}), "dense")
    assert list(none) == [8, 8] and list(batch) == [4, 2] and d.dtype == float


def test_censored_runs_are_those_that_never_got_there():
    """Whichever arm's; a column without a threshold has none."""
    column = "epochs_to_0.5"
    made = of_seeds(column, none={2: 10, 1: 20, 3: 30}, batch={1: 5, 2: 6, 3: 7})
    made["reached_0.5"] = [True, False, True, True, True, False]
    values, (none, batch) = censored_pairs(made, column, "batch", "none", "slowest")
    assert list(values.none) == [20, 10, 30] and list(values.batch) == [5, 6, 7]
    assert list(none) == [True, False, False] and list(batch) == [False, False, True]
    made["final_loss"] = [1.0] * 5 + [np.nan]
    values, (none, batch) = censored_pairs(made, "final_loss", "batch", "none", "worst")
    assert list(none) == list(batch) == [False] * 3 and len(values) == 3
    assert len(censored_pairs(made, "final_loss", "batch", "none", "left out")[0]) == 2


# --- cells ----------------------------------------------------------------------------------------

TUNED = {"learning_rate": 0.1, "schedule": "cosine", "tuned_for": "final_test_loss"}


def test_a_cell_has_the_defaults_settings_unless_they_are_named(config):
    """A tuned one has its own rate and schedule, one with another batch size its own budget."""
    study = Study.from_config(config)
    parts = [{}, {"epochs": 500}, {"batch_size": 50, "epochs": 500}, TUNED]
    parts += [TUNED | {"batch_size": 50, "epochs": 500}, {"learning_rate": 0.1}]
    made = pd.concat([runs(study.analysis, (9,), 1, **of) for of in parts], ignore_index=True)
    cells = made.arm == "batch"

    def found(**settings):
        """The numbers of the parts."""
        return list(np.flatnonzero(at_settings(made[cells], study, settings | {"width": 9})))

    assert found() == [0] and found(epochs=500) == [1]
    assert found(batch_size=50) == found(batch_size="50", epochs=500) == [2]
    assert found(batch_size=50, epochs=100) == []
    assert found(tuned_for="final_test_loss") == [3]
    assert found(tuned_for="final_test_loss", batch_size=50) == [4]


def test_pairs_of_a_cell_are_those_on_the_studys_seeds(config):
    study = Study.from_config(config)
    first = study.study_seeds[0]
    made = runs(study.analysis, (9, 10), 4, arms=("batch", "layer"), first=first - 1)
    made = made.drop(made.index[(made.arm == "layer") & (made.seed == first)])
    pairs = cell_pairs(made, study, {"width": 9})
    assert set(pairs.width) == {9} and set(pairs.arm) == {"none", "batch"}
    assert sorted(pairs.seed) == sorted([first, first + 1, first + 2] * 2)
    others = cell_pairs(made, study, {"width": 10}, "layer", "batch")
    assert set(others.width) == {10} and set(others.arm) == {"layer", "batch"}
    assert sorted(others.seed) == sorted([first + 1, first + 2] * 2)
    assert cell_pairs(made, study, {"width": 9, "epochs": 500}).empty


def test_batch_sizes_are_compared_at_as_many_steps(config):
    """Of 1000 points 500, 333 and 100 a batch: 2, 4, 10 steps an epoch, beside the full batch."""
    study = Study.from_config(config)

    def cell(size, epochs, arms=("batch",), **of):
        of = {"width": study.analysis.minibatches.width} | TUNED | of
        width, first = of.pop("width"), of.pop("first", 2000)
        size = {"batch_size": size, "epochs": epochs}
        return runs(study.analysis, (width,), 2, arms=arms, first=first, **size, **of)

    ours = [
        cell(500, 500, ("batch", "layer")),
        cell(333, 250),
        cell(100, 100),
        cell("full", 1000, ("batch", "layer")),
    ]
    others = [
        cell("full", 500),  # fewer steps
        cell("full", 1000, ("dropout",)).query("arm == 'dropout'"),  # no minibatches of it
        cell(500, 500, width=9),
        cell(500, 500, task="odd"),
        cell(500, 500, tuned_for="epochs_to_0.2258"),
        cell(500, 500, tuned_rank=2),
        cell(500, 500, first=0),
    ]
    found = by_batch_size(pd.concat([*ours, *others], ignore_index=True), study)
    expected = pd.concat(ours, ignore_index=True)
    pd.testing.assert_frame_equal(found.drop(columns="samples"), expected)
    size = expected.batch_size.replace("full", 1000).astype(int)
    assert list(found.samples) == list(size) and found.samples.dtype == int


def test_tests_of_tasks_are_those_of_batch_where_both_are_tuned(config):
    study = Study.from_config(config)
    of = study.analysis.tasks.model_dump()
    row = {"role": "tuned", "arm": "batch", "optimizer": "adam", "task": "odd", **of}
    others = [
        {"role": "primary"},
        {"arm": "layer"},
        {"optimizer": "sgd"},
        {"width": 9},
        {"epochs": 9},
    ]
    tests = pd.DataFrame([row, *({**row, **other} for other in others), row | {"task": "even"}])
    assert list(outcomes.tests_of_tasks(tests, study).task) == ["odd", "even"]
