"""From runs of several tasks to the effect on the mean task and on a new one."""

import numpy as np
import pandas as pd
import pytest
from made_up import runs, tables

from bnstudy.analysis import comparisons, statistics
from bnstudy.analysis.hypotheses import MEAN_TASK, NEW_TASK
from bnstudy.analysis.tasks import (
    associations,
    properties,
    task_effects,
    task_pairs,
    task_runs,
    task_table,
)
from bnstudy.config import members
from bnstudy.config.models import Study

TUNED = {"learning_rate": 0.1, "schedule": "cosine", "tuned_for": "epochs_to_0.2258"}
SETTINGS = {"width": 100, "epochs": 3000, "tuned_for": "epochs_to_0.2258"}
COLUMN = SETTINGS["tuned_for"]


@pytest.fixture
def study(config):
    config["analysis"] |= {"permutations": 4999}
    return Study.from_config(config)


def made(study, speeds, inputs=("plain", "shifted"), **of):
    """Runs of tasks, each with its own ratio of epochs on all kinds of inputs."""
    names = ["article", "even", "friedman", "linear", "odd", "polynomials", "product", "steps"]
    cells = [
        runs(study.analysis, [100], speed=speed, seed=7 * index + j, task=task, inputs=kind, **of)
        for index, (task, speed) in enumerate(zip(names, speeds, strict=False))
        for j, kind in enumerate(inputs)
    ]
    return pd.concat(cells, ignore_index=True)


def effects_of(table, study):
    return task_effects(task_pairs(task_runs(table, study, SETTINGS), COLUMN), 0.1)


def rows(table, study):
    """The rows on the mean task and on a new one."""
    found = comparisons.significance(tables(table, 12), study).query("role == 'primary'")
    return [found[found.regime == regime].iloc[0] for regime in (MEAN_TASK, NEW_TASK)]


def test_a_tasks_effect_is_the_mean_over_inputs_and_seeds(study):
    """Its variance that of the mean over seeds, which both kinds of inputs share."""
    table = made(study, [0.5], epochs=3000, **TUNED)
    [effect] = effects_of(table, study).itertuples()
    cells = table.pivot(index="seed", columns=["inputs", "arm"], values=COLUMN)
    d = np.log([cells[kind].batch / cells[kind].none for kind in ("plain", "shifted")]).mean(axis=0)
    assert effect.d == pytest.approx(d.mean())
    assert effect.variance == pytest.approx(d.var(ddof=1) / 12)


def test_other_runs_do_not_count(study):
    """Of other settings, seeds and arms."""
    table = made(study, [0.5, 0.6], epochs=3000, **TUNED)
    others = [
        made(study, [9.0], epochs=300, **TUNED),
        made(study, [9.0], epochs=3000, **TUNED | {"tuned_for": "final_test_loss"}),
        made(study, [9.0], epochs=3000, **TUNED, first=0),
        runs(study.analysis, [100], 12, 9.0, arms=["centred"], epochs=3000, **TUNED),
    ]
    others[-1] = others[-1].query("arm == 'centred'")
    pd.testing.assert_frame_equal(
        effects_of(pd.concat([table, *others], ignore_index=True), study), effects_of(table, study)
    )


def test_tasks_that_agree_decide_for_the_mean_and_for_a_new_one(study):
    mean, new = rows(made(study, [0.5] * 8, epochs=3000, **TUNED), study)
    assert mean.direction == new.direction == "lower"
    assert mean.ratio == pytest.approx(0.5, rel=0.05) and mean.n_pairs == 8
    assert "8 tasks" in mean.sentence


def test_tasks_that_differ_leave_a_new_one_open(study):
    """Though the mean is clearly below 1."""
    speeds = [0.3, 0.4, 0.5, 0.6, 0.5, 0.4, 0.3, 0.8]
    table = made(study, speeds, epochs=3000, **TUNED)
    mean, new = rows(table, study)
    assert (mean.direction, new.direction) == ("lower", "open")
    assert new.ratio_low < mean.ratio_low < mean.ratio_high < new.ratio_high
    effects = effects_of(table, study)
    pooled = statistics.random_effects(effects.d.to_numpy(), effects.variance.to_numpy(), new=True)
    assert new.sd_log_ratio == pytest.approx(pooled.between)
    assert new.skewness == pytest.approx(statistics.skewness(effects.d.to_numpy(), 0.05))
    assert np.isnan(new.detectable_ratio)
    assert np.log([new.ratio_low, new.ratio_high]) == pytest.approx(
        [pooled.interval().low, pooled.interval().high]
    )
    assert np.log(new.ratio) == pytest.approx(pooled.mean)
    assert pooled.mean != pytest.approx(effects.d.mean(), rel=1e-4), "weighted"


def test_a_task_that_neither_arm_learns_on_some_inputs_is_left_out(study):
    table = made(study, [0.5] * 8, epochs=3000, **TUNED)
    never = (table.task == "odd") & (table.inputs == "shifted")
    table.loc[never, "reached_0.2258"] = False
    assert "odd" not in effects_of(table, study).index
    assert rows(table, study)[0].n_pairs == 7


@pytest.mark.parametrize(("arm", "direction"), [("none", "lower"), ("batch", "open")])
def test_censored_runs_cannot_make_a_direction(study, arm, direction):
    """Those of none, which would have needed longer still, leave what they cannot have made."""
    table = made(study, [0.5] * 8, epochs=3000, **TUNED)
    table.loc[(table.task == "odd") & (table.arm == arm), "reached_0.2258"] = False
    assert rows(table, study)[0].direction == direction


def test_a_rate_at_the_edge_for_one_task_decides_nothing(study):
    table = made(study, [0.5] * 8, epochs=3000, **TUNED)
    edge = study.reference | SETTINGS | {"task": "odd", "arm": "batch", "rank": 1, "at_edge": True}
    every = tables(table, 12) | {"tuning": pd.DataFrame([edge])}
    found = comparisons.significance(every, study).query(f"regime == {MEAN_TASK!r}")
    assert list(found.direction) == ["not estimable"] and "edge" in found.reason.iloc[0]


def test_without_tasks_nothing_is_said_of_them(study):
    mean, new = rows(runs(study.analysis), study)
    assert mean.direction == new.direction == "not estimable"


def test_properties_of_known_functions():
    """Odd, even and linear by construction. The article's: of 14/3 + 56/45 + 50/3 the part 56/45 is
    even and the rest linear; its mean squared gradients are 14, 4·(1 + 4 + 9)/3 and 50."""
    assert properties("odd")["even_share"] == pytest.approx(0, abs=1e-12)
    assert properties("even")["even_share"] == pytest.approx(1)
    assert properties("even")["linear_share"] == pytest.approx(0, abs=1e-12)
    assert properties("linear")["linear_share"] == pytest.approx(1)
    article, variance = properties("article"), 14 / 3 + 56 / 45 + 50 / 3
    assert article["even_share"] == pytest.approx(56 / 45 / variance)
    assert article["linear_share"] == pytest.approx(1 - 56 / 45 / variance)
    squared = 14 + 4 * 14 / 3 + 50
    assert article["roughness"] == pytest.approx(np.sqrt(squared / variance), rel=1e-6)


def test_the_table_of_tasks_has_each_kind_of_inputs_by_itself(study):
    table = task_table(made(study, [0.5, 2.0], epochs=3000, **TUNED), study)
    rows = table.set_index(["quantity", "task", "inputs"])
    assert len(rows) == 2 * 4  # two thresholds; nothing is tuned for the loss
    assert np.exp(rows.d[COLUMN, "even", "plain"]) == pytest.approx(2, rel=0.1)
    one = rows.loc[COLUMN, "article", "shifted"]
    assert np.log(one.arm / one.reference) == pytest.approx(one.d)
    assert (rows.pairs == 12).all() and (rows.censored_arm == 0).all()


def test_a_property_that_makes_the_effect_is_found():
    """d = 0.7 of the even share, 0.3 for shifted inputs, and noise, most of it shared by a task."""
    rng, rows = np.random.default_rng(0), []
    for task in members.names("tasks"):
        own = rng.normal(0, 0.02)
        for inputs in ("plain", "shifted"):
            of = properties(task)
            noise = own + rng.normal(0, 0.01)
            d = 0.7 * of["even_share"] + 0.3 * (inputs == "shifted") + noise
            rows.append({"task": task, "inputs": inputs, "quantity": "x", "d": d, **of})
    found = associations(pd.DataFrame(rows), 0.05).set_index("property")
    assert found.coefficient["even_share"] == pytest.approx(0.7, abs=0.05)
    assert found.coefficient["C(inputs)[T.shifted]"] == pytest.approx(0.3, abs=0.01)
    assert found.low["np.log(roughness)"] < 0 < found.high["np.log(roughness)"]
    assert found.p["even_share"] < 1e-4 and (found.cells == len(rows)).all()


def test_without_tasks_nothing_goes_with_anything(study):
    table = task_table(runs(study.analysis), study)
    assert table.empty and associations(table, 0.05).empty
