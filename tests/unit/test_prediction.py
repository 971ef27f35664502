"""Correlations of condition numbers with effects: pairs, points and signs of tables made up."""

import numpy as np
import pandas as pd
import pytest
from made_up import runs
from scipy import stats

from bnstudy.analysis.prediction import COLUMNS, CONDITIONS, log_ratios, predictions
from bnstudy.config.cell import SETTINGS
from bnstudy.config.models import Study

EPOCHS = "epochs_to_0.2258"
TASKS = ("article", "even", "linear", "odd", "product")


@pytest.fixture(scope="module")
def study(default_config):
    analysis = default_config["analysis"] | {"bootstraps": 999}
    return Study.from_config(default_config | {"analysis": analysis})


def conditions(made, seed=5, **of):
    """curvature.csv of these runs: random condition numbers of the untrained network and five
    saved ones. `of`: condition_effective of one of them, by the runs."""
    rng = np.random.default_rng(seed)
    frames = []
    epochs = {"untrained": -1, "first": 0, "second": 3, "middle": 9, "fourth": 30, "last": 99}
    for when, epoch in epochs.items():
        table = made[["cell", "seed"]].assign(epoch=epoch)
        for name in CONDITIONS:
            table[name] = rng.lognormal(size=len(made))
        if when in of:
            table["condition_effective"] = of[when].to_numpy()
        frames.append(table)
    return pd.concat(frames, ignore_index=True)


def of_first(table, **chosen):
    """The rows of the first condition number and of epochs, with these values."""
    rows = table[(table.condition == CONDITIONS[0]) & (table.outcome == EPOCHS)]
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    return rows


def test_over_seeds_a_condition_number_that_follows_the_epochs_predicts_them_wholly(study):
    """The slower the worse conditioned before training, the better in the middle of it; what the
    first and last saved networks say is not asked."""
    made = runs(study.analysis, widths=(100,), count=8)
    measured = conditions(made, untrained=made[EPOCHS], middle=1 / made[EPOCHS])
    table = predictions(made, measured, study)
    assert list(table) == COLUMNS and len(table) == 3 * 2 * 2 and set(table.over) == {"seeds"}
    [before] = of_first(table, when="untrained").to_dict("records")
    [during] = of_first(table, when="middle").to_dict("records")
    assert before["correlation"] == pytest.approx(-1) and before["n"] == 8
    assert during["correlation"] == pytest.approx(1) and np.isnan(during["correlation_low"])
    assert before["arm"] == "batch" and before["width"] == 100 and before["learning_rate"] == 0.001
    others = table[table.condition != CONDITIONS[0]]
    assert (others.correlation.abs() < 1).all()
    assert (others.correlation_low < others.correlation).all()
    assert (others.correlation < others.correlation_high).all()


def test_the_correlation_is_that_of_ratios_paired_by_seed(study):
    made = runs(study.analysis, widths=(100,), count=9, arms=("batch", "centred"))
    measured = conditions(made)
    [row] = of_first(predictions(made, measured, study), arm="centred", when="untrained").to_dict(
        "records"
    )
    by_arm = made.merge(measured[measured.epoch == -1]).set_index(["arm", "seed"])
    none, arm = by_arm.loc["none"], by_arm.loc["centred"]
    ratio = np.log(none.condition_effective / arm.condition_effective)
    expected = stats.spearmanr(ratio, np.log(arm[EPOCHS] / none[EPOCHS])).statistic
    assert row["correlation"] == pytest.approx(expected)


def test_over_tasks_points_are_means_of_the_same_arm_and_settings(study):
    """Each task its own speed, the condition number what the speed is: -1 over the five tasks, for
    either arm; a task alone has no row over tasks."""
    made = [
        runs(
            study.analysis, (100,), 3, speed=0.5 + 0.1 * index, task=task, arms=("batch", "scaled")
        )
        for index, task in enumerate(TASKS)
    ]
    made = pd.concat(made, ignore_index=True)
    table = predictions(made, conditions(made, untrained=made[EPOCHS]), study)
    assert set(table.over) == {"tasks"}, "three seeds and two arms are too few"
    rows = of_first(table, when="untrained")
    assert rows.arm.tolist() == ["batch", "scaled"] and rows.n.tolist() == [5, 5]
    assert rows.correlation.to_numpy() == pytest.approx([-1, -1])
    assert rows.task.isna().all() and rows.inputs.isna().all() and set(rows.width) == {100}


def test_over_settings_points_are_all_arms_and_settings_of_a_task(study):
    """Two arms at two rates; another task is not among them."""
    made = [
        runs(study.analysis, (100,), 2, speed=speed, learning_rate=rate, arms=("batch", "scaled"))
        for speed, rate in ((0.5, 0.001), (0.8, 0.01))
    ]
    made.append(runs(study.analysis, (100,), 2, task="odd"))
    made = pd.concat(made, ignore_index=True)
    table = predictions(made, conditions(made, untrained=made[EPOCHS]), study)
    assert set(table.over) == {"settings"}
    [row] = of_first(table, when="untrained").to_dict("records")
    assert row["n"] == 4 and row["correlation"] == pytest.approx(-1)
    assert row["task"] == "article" and pd.isna(row["arm"]) and pd.isna(row["learning_rate"])


def test_tuned_arms_are_paired_whatever_rate_was_chosen_for_each_others_at_equal_ones(study):
    """One tuned pair per seed and objective; of untuned runs only those at the rate 0.01."""
    tuned = [
        runs(study.analysis, (100,), 2, tuned_for=objective)
        for objective in ("final_test_loss", EPOCHS)
    ]
    for made in tuned:
        made["learning_rate"] = np.where(made.arm == "none", 0.3, 0.1)
    rates = [runs(study.analysis, (100,), 2, learning_rate=rate) for rate in (0.01, 0.03)]
    lone = rates[1][rates[1].arm == "batch"]
    made = pd.concat([*tuned, rates[0], lone], ignore_index=True)
    pairs = log_ratios(made, conditions(made, untrained=made[EPOCHS]), [EPOCHS])
    assert len(pairs) == 2 * 2 + 2 and set(pairs.arm) == {"batch"}
    assert set(pairs[pairs.tuned_for != "nothing"].learning_rate.isna()) == {True}
    assert set(pairs[pairs.tuned_for == "nothing"].learning_rate) == {0.01}
    np.testing.assert_allclose(pairs["condition_effective untrained"], -pairs[EPOCHS])


def test_a_run_that_diverged_has_the_worst_of_all_effects(study):
    """Its loss is infinite: the highest rank. Where both did there is no d, and no point."""
    made = runs(study.analysis, widths=(100,), count=6)
    made.loc[(made.arm == "batch") & (made.seed == 2000), "final_test_loss"] = np.inf
    made.loc[made.seed == 2001, "final_test_loss"] = np.inf
    measured = conditions(made, untrained=made.final_test_loss.replace(np.inf, 1e9))
    table = predictions(made, measured, study)
    [row] = table[
        (table.condition == CONDITIONS[0])
        & (table.when == "untrained")
        & (table.outcome == "final_test_loss")
    ].to_dict("records")
    assert row["n"] == 5 and row["correlation"] == pytest.approx(-1)


def test_where_all_effects_are_equal_there_is_no_correlation_but_a_reason(study):
    made = runs(study.analysis, widths=(100,), count=6).assign(**{EPOCHS: 30})
    rows = of_first(predictions(made, conditions(made), study))
    assert rows.correlation.isna().all() and set(rows.reason) == {"all values are equal"}


def test_without_curvature_there_is_nothing_to_predict_with(study):
    made = runs(study.analysis, widths=(100,), count=6)
    table = predictions(made, conditions(made)[:0].astype(object), study)
    assert table.empty and list(table) == COLUMNS and set(SETTINGS) < set(table)
